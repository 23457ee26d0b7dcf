"""What a comparison report is made of, whether the answers come from an ablation or from anybody's prediction files.

Enters: a `Study`: aligned answers, what is known of each run, declared contrasts and claims. Leaves: its `Findings`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caer.comparison.answers import Answers
from caer.comparison.claims import Kind, Verdict, judge
from caer.comparison.contrasts import Contrast, Pair, contrasts
from caer.comparison.scores import VariantScores, score
from caer.evaluation.gate_quality import GateRows, judge_gate
from preprocessing.errors import unknown_name

Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What is known of one variant with one seed besides its answers; None where it is not known.

    Attributes:
        place: the run's folder, or the prediction file.
        parameters: of the judged network.
        training_seconds: of all stages; a stage that variants share counts in full.
        inference_ms: milliseconds a row of the network's forward passes.
        hashes: `protocol_hash`, `row_hash`, `weights_sha256`, `manifest_hashes`.
        commit: of the code that trained it.
        calibration: by task `before`, `after`, `temperature`, as in `metrics.json`.
        curves: by stage one row an epoch, as in `metrics.csv`.
        shared_stages: stages that other variants use too.
    """

    place: str
    parameters: int | None = None
    training_seconds: float | None = None
    inference_ms: float | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    calibration: Mapping[str, Json] = field(default_factory=dict)
    curves: Mapping[int, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    shared_stages: tuple[int, ...] = ()

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(len(rows) for rows in self.curves.values())


@dataclass(frozen=True)
class Claim:
    """A statement about a - b; see `caer.comparison.claims`.

    Attributes:
        text: in words.
        pair: what is compared.
        kind: `greater` or `equivalent`.
        margin: in units of the metric.
        number: which of the article's claims it is.
        made_for: the set that it was made for.
        compare: `equal_epochs` or `equal_time`, where cost is part of the claim.
    """

    text: str
    pair: Pair
    kind: Kind = "greater"
    margin: float = 0.0
    number: int | None = None
    made_for: str | None = None
    compare: str | None = None


@dataclass(frozen=True)
class Study:
    """Everything that a report shows or computes from.

    Attributes:
        name: of the report.
        kind: what it is, in a word or two.
        split: the judged split.
        data: what the rows are from.
        labels: by variant what tables call it, in the declared order; variants without any answers included.
        answers: by task.
        runs: by variant and seed.
        gates: by task, variant and seed, for those that have gates.
        pairs: declared contrasts.
        claims: declared claims.
        failures: by (variant, seed) why there are no answers.
        monitor: the column of `Run.curves` that epochs are chosen by.
        lowest_is_best: of that column.
        provenance: names and values of the page's last section.
        config: the whole config as JSON values.
    """

    name: str
    kind: str
    split: str
    data: str
    labels: Mapping[str, str]
    answers: Mapping[str, Answers]
    runs: Mapping[str, Mapping[int, Run]]
    gates: Mapping[str, Mapping[str, Mapping[int, GateRows]]] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    claims: Sequence[Claim] = ()
    failures: Mapping[tuple[str, int], str] = field(default_factory=dict)
    monitor: str = ""
    lowest_is_best: bool = False
    provenance: Sequence[tuple[str, str]] = ()
    config: Json = field(default_factory=dict)

    @property
    def variants(self) -> list[str]:
        """Variants with answers, in the declared order."""
        return [variant for variant in self.labels if self.runs.get(variant)]

    @property
    def fewest_seeds(self) -> int:
        """Seeds of the variant that has fewest."""
        return min(len(self.runs[variant]) for variant in self.variants)


@dataclass(frozen=True)
class Findings:
    """What the rows say.

    Attributes:
        scores: by task and variant.
        contrasts: of the declared pairs that can be judged.
        verdicts: one a claim; a text that says why where it cannot be judged.
        gates: by task, variant and seed, as `caer.evaluation.gate_quality.judge_gate` has it.
        unjudged: by declared contrast why it cannot be judged.
    """

    scores: Mapping[str, Mapping[str, VariantScores]]
    contrasts: Sequence[Contrast]
    verdicts: Sequence[Verdict | str]
    gates: Mapping[str, Mapping[str, Mapping[int, Json]]]
    unjudged: Mapping[str, str]


def find(study: Study) -> Findings:
    """Compute everything once."""
    problems = {pair.name: reason for pair in study.pairs if (reason := _why_not(study, pair))}
    return Findings(
        scores={task: {v: score(answers, v) for v in answers.variants} for task, answers in study.answers.items()},
        contrasts=contrasts(study.answers, [pair for pair in study.pairs if pair.name not in problems]),
        verdicts=[_verdict(study, claim) for claim in study.claims],
        gates=_by_run(study.gates, judge_gate),
        unjudged=problems,
    )


def _by_run(
    tree: Mapping[str, Mapping[str, Mapping[int, GateRows]]], do: Callable[[GateRows], Json]
) -> dict[str, dict[str, dict[int, Json]]]:
    return {
        task: {variant: {seed: do(rows) for seed, rows in seeds.items()} for variant, seeds in variants.items()}
        for task, variants in tree.items()
    }


def _why_not(study: Study, pair: Pair) -> str:
    """Why a pair cannot be judged: a variant without finished runs, or no seed in common; empty where it can."""
    if pair.task not in study.answers:
        raise unknown_name("task", pair.task, study.answers)
    for variant in (pair.a, pair.b):
        if variant not in study.labels:
            raise unknown_name("variant", variant, study.labels)
        if not study.runs.get(variant):
            return f"{study.labels[variant]} has no finished run"
    seeds = study.answers[pair.task].seeds(pair.a, pair.b)
    return "" if seeds else f"{study.labels[pair.a]} and {study.labels[pair.b]} have no finished seed in common"


def _verdict(study: Study, claim: Claim) -> Verdict | str:
    pair = claim.pair
    if reason := _why_not(study, pair):
        return reason
    return judge(study.answers[pair.task], pair.a, pair.b, claim.margin, claim.kind, pair.metric)

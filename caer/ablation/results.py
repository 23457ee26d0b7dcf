"""What an ablation has found so far, read from its run folders: the report and the tables are made of this and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caer.ablation.config import AblationConfig
from caer.ablation.plan import PlannedRun, is_judged, plan, shared_stages, users
from caer.ablation.record import Declaration, config_hash, read_declaration, read_failures
from caer.config import Config
from caer.engine.checkpoint import read_provenance
from caer.engine.provenance import commit
from caer.evaluation.predictions import Predictions, read_predictions
from preprocessing.files import read_json


@dataclass(frozen=True)
class SeedResult:
    """One variant with one seed, trained and judged.

    Attributes:
        variant: its name in the ablation.
        seed: its seed.
        run: the folder of the stage that was judged.
        metrics: `metrics.json` of the ablation's split (see `caer.evaluation.evaluate`).
        predictions: its rows of that split.
        val_predictions: the same model on val, for temperatures and what else is fitted.
        training_seconds: of all its stages; a stage shared with other variants counts in full.
        parameters: of the network that was judged, in all.
        shared_stages: numbers of the stages that other variants share, or that another run trained.
    """

    variant: str
    seed: int
    run: Path
    metrics: dict[str, Any]
    predictions: Predictions
    val_predictions: Predictions
    training_seconds: float
    parameters: int
    shared_stages: tuple[int, ...] = ()


@dataclass(frozen=True)
class AblationResults:
    """All that is there of an ablation.

    Attributes:
        config: the ablation.
        results: by variant (in the config's order) and seed; what is not judged is absent.
        failures: by (variant, seed) why it is absent, where it was tried.
        settings: by variant its experiment, with the first seed.
        config_hash: SHA-256 of the ablation's settings.
        commit: of the code that reads the results; each run's own stands in its metrics.
        declared: when the contrasts and claims became what they are, and what had been seen by then; None where it is not noted.
    """

    config: AblationConfig
    results: dict[str, dict[int, SeedResult]]
    failures: dict[tuple[str, int], str] = field(default_factory=dict)
    settings: dict[str, Config] = field(default_factory=dict)
    config_hash: str = ""
    commit: str | None = None
    declared: Declaration | None = None


def load_results(ablation: AblationConfig) -> AblationResults:
    """Everything judged so far, of the variants and seeds that the config names.

    Raises:
        UserError: files of a run that are damaged or of an unknown version.
    """
    runs = plan(ablation)
    needed_by = users(runs)
    results: dict[str, dict[int, SeedResult]] = {variant: {} for variant in ablation.variants}
    for run in runs:
        if is_judged(run, ablation.split):
            results[run.variant][run.seed] = _load(run, ablation.split, shared_stages(run, needed_by))
    failures = {key: reason for key, reason in read_failures(ablation).items() if key[1] not in results[key[0]]}
    settings = {run.variant: run.config for run in reversed(runs)}
    return AblationResults(ablation, results, failures, settings, config_hash(ablation), commit(), read_declaration(ablation))


def _load(run: PlannedRun, split: str, shared: tuple[int, ...]) -> SeedResult:
    facts = [read_provenance(run.stage(number)) for number in run.recipes]
    folder = run.folder / "eval"
    return SeedResult(
        run.variant,
        run.seed,
        run.judged,
        read_json(folder / split / "metrics.json", "the metrics of an evaluation"),
        read_predictions(folder / split / "predictions.parquet"),
        read_predictions(folder / "val" / "predictions.parquet"),
        training_seconds=sum(fact["seconds"] for fact in facts),
        parameters=facts[-1]["parameters"]["total"],
        shared_stages=shared,
    )

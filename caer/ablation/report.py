"""An ablation's report: its results as a `Study`, written as `report.html`, `report.md`, `results.csv`.

Enters: `AblationResults`. Leaves: three files in the report's folder.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from caer.ablation.config import Claim, Contrast
from caer.ablation.results import AblationResults, SeedResult
from caer.comparison import study
from caer.comparison.answers import align
from caer.comparison.contrasts import Pair
from caer.engine.history import Row, read_csv
from caer.engine.module import monitor_key
from caer.engine.provenance import machine_text
from caer.evaluation.gate_quality import GateRows, gate_rows
from caer.report.comparison.page import write_study
from preprocessing.errors import UserError

Json = dict[str, Any]
_HUNDREDTHS = 0.01


def write_ablation_report(results: AblationResults, folder: Path) -> study.Findings:
    """Write the report of what is there, and return what it says.

    Raises:
        UserError: nothing is judged yet, or the runs do not judge the same rows by the same protocol.
    """
    return write_study(as_study(results), folder)


def as_study(results: AblationResults) -> study.Study:
    """The ablation as a report's material.

    Raises:
        UserError: as `write_ablation_report`.
    """
    judged = {variant: by_seed for variant, by_seed in results.results.items() if by_seed}
    if not judged:
        raise UserError(f"{results.config.folder}: no variant is judged yet; a report needs at least one finished run")
    predictions = {variant: {seed: r.predictions for seed, r in by_seed.items()} for variant, by_seed in judged.items()}
    first, config, chosen_by = _runs(judged)[0], results.config, next(iter(results.settings.values()), None)
    if not first.predictions.tasks:
        raise UserError(f"{config.folder}: no task whose answer is one of several classes; the report compares these only")
    return study.Study(
        name=config.name,
        kind="Ablation",
        split=config.split,
        data=", ".join(sorted(set(first.predictions.rows["source"]))),
        labels={variant: config.label(variant) for variant in config.variants},
        answers={task: align(predictions, task) for task in first.predictions.tasks},
        runs={variant: {seed: _run(result) for seed, result in by_seed.items()} for variant, by_seed in judged.items()},
        gates={task: _gates(judged, task) for task in first.predictions.tasks},
        pairs=[_pair(contrast) for contrast in config.contrasts],
        claims=[_claim(claim) for claim in config.claims],
        failures=results.failures,
        monitor="val/loss" if chosen_by is None else monitor_key(chosen_by),
        lowest_is_best=chosen_by is None or chosen_by.monitor.mode == "min",
        provenance=_provenance(results, _runs(judged)),
        config=config.model_dump(mode="json"),
    )


def _runs(judged: Mapping[str, Mapping[int, SeedResult]]) -> list[SeedResult]:
    return [result for by_seed in judged.values() for result in by_seed.values()]


def _pair(declared: Contrast | Claim) -> Pair:
    name = declared.name if isinstance(declared, Contrast) else declared.text
    return Pair(name, declared.a, declared.b, declared.task, declared.metric)


def _claim(claim: Claim) -> study.Claim:
    margin = claim.margin * _HUNDREDTHS
    return study.Claim(claim.text, _pair(claim), claim.kind, margin, claim.number, claim.made_for, claim.compare)


def _gates(judged: Mapping[str, Mapping[int, SeedResult]], task: str) -> dict[str, dict[int, GateRows]]:
    found: dict[str, dict[int, GateRows]] = {}
    for variant, by_seed in judged.items():
        for seed, result in by_seed.items():
            if (rows := gate_rows(result.predictions, task)) is not None:
                found.setdefault(variant, {})[seed] = rows
    return found


def _run(result: SeedResult) -> study.Run:
    run = result.metrics["run"]
    return study.Run(
        place=str(result.run),
        parameters=result.parameters,
        training_seconds=result.training_seconds,
        inference_ms=run.get("inference_ms"),
        hashes={
            **{name: run[name] for name in ("protocol_hash", "row_hash", "weights_sha256")},
            "manifest_hashes": " ".join(map(str, run["manifest_hashes"])),
        },
        commit=run["trained"].get("commit"),
        calibration={task: found["calibration"] for task, found in result.metrics["tasks"].items() if "calibration" in found},
        curves={int(folder.name.removeprefix("stage")): trained_epochs(folder) for folder in _stages(result)},
        shared_stages=result.shared_stages,
    )


def _stages(result: SeedResult) -> list[Path]:
    """Folders of the stages that the judged network is made of; a single judged stage stands for itself."""
    last = int(result.run.name.removeprefix("stage"))
    numbered = {int(name): folder for folder in result.run.parent.glob("stage*") if (name := folder.name[5:]).isdigit()}
    return [folder for number, folder in sorted(numbered.items()) if number <= last]


def trained_epochs(folder: Path) -> list[Row]:
    """The trained epochs of a stage's `metrics.csv`; none for a stage that only joins others."""
    return [row for row in read_csv(folder / "metrics.csv") if "seconds" in row]


def _provenance(results: AblationResults, runs: list[SeedResult]) -> list[tuple[str, str]]:
    facts = [result.metrics["run"] for result in runs]
    machines = [machine_text(run["trained"]["machine"]) for run in facts if "machine" in run["trained"]]
    versions = facts[0]["evaluated_by"]["versions"]
    looks = [result.metrics["looks"]["earlier_looks"] + 1 for result in runs if result.metrics["looks"]]
    entries = [
        ("Trained at commit", _distinct(run["trained"].get("commit") for run in facts)),
        ("Judged at commit", _distinct(run["evaluated_by"]["commit"] for run in facts)),
        ("Report written at commit", str(results.commit or "unknown")),
        ("Ablation's config (hash)", results.config_hash),
        ("Seeds", _distinct(sorted(result.seed for result in runs))),
        ("Manifest rows (hash)", _distinct(value for run in facts for value in run["manifest_hashes"])),
        ("Judged rows (hash)", facts[0]["row_hash"]),
        ("Protocol (hash)", facts[0]["protocol_hash"]),
        ("Trained on", _distinct(machines)),
        ("Judged on", _distinct(machine_text(run["evaluated_by"]["machine"]) for run in facts)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]
    if results.declared is not None or results.config.claims:
        entries.append(("Contrasts and claims declared", str(results.declared or "as they are now, not noted when")))
    if looks:
        entries.append(("Looks", f"at most {max(looks)} at {results.config.split} by a run; each stands in its ledger"))
    return [(name, value) for name, value in entries if value]


def _distinct(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value or "unknown") for value in values))

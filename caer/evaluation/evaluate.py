"""Judge a run: predictions, scores with intervals, calibration, galleries, one page.

Enters: RUN and a split. Leaves: `RUN/eval/SPLIT/{predictions.parquet, metrics.json, report.html, samples.html, *.png}` and, for
every split but val, a line in the run's ledger, written before any score is.

`metrics.json` (schema_version 1): `run` (provenance), `split`, `rows` (counts), `looks` (the ledger's line), `unlabelled` (tasks
that no judged row is labelled for), `untrained` (those that no training row was), `tasks` {T: kind, rows, per_class, confusion,
branches, calibration, gates, subgroups {column: [...]}, on demo data ceilings and gate_reliability};
numbers and tags (`kind`; classes where it is absent) have other scores, see `number_summary` and `tag_summary`. Every estimate
is `{value, low, high}` with a 95% interval from a group bootstrap; undefined values are null.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from caer.data.rows import Rows, protocol_hash
from caer.engine.checkpoint import LoadedRun, load_run
from caer.engine.precision import resolve_device
from caer.engine.provenance import code_and_machine, commit
from caer.evaluation import ceilings, subgroups, summary
from caer.evaluation.judged import judged_rows
from caer.evaluation.ledger import record_look
from caer.evaluation.predictions import (
    Predictions,
    TaskRows,
    class_priors,
    predict_rows,
    read_predictions,
    same_origin,
    task_meta,
    write_predictions,
)
from caer.evaluation.timing import forward_time
from preprocessing.errors import UserError
from preprocessing.files import read_json, sha256_file, sole_writer, write_json

SCHEMA_VERSION = 1
TRAINED_ON = "train"
REJECTED = "rejected"
"""Rows that a reviewer has taken out of the data; all others stay in the denominator."""


@dataclass(frozen=True)
class Evaluation:
    """A judged run.

    Attributes:
        folder: where the files lie.
        metrics: the content of `metrics.json`.
        predictions: the table of `predictions.parquet`.
    """

    folder: Path
    metrics: dict[str, Any]
    predictions: Predictions


def evaluate_run(
    run: str | Path, split: str = "val", by: Sequence[str] = (), report: bool = True, reuse: bool = False
) -> Evaluation:
    """Judge a run on a split.

    Args:
        run: a stage's folder, `runs/NAME/seedS` (its last finished stage), or `runs/NAME` where it has one seed.
        split: `val`, `test`, or another split of the data but train.
        by: columns whose values become subgroups.
        report: also write pictures, `report.html` and `samples.html`.
        reuse: return what an earlier call found for the same weights, rows and columns; that is no further look. A page that it
            did not write is made up for.

    Raises:
        UserError: for a run, split or column that is not there.
    """
    check_split(split)
    loaded = load_run(run)
    rows = Rows(loaded.config, loaded.tasks)
    judged, rejected = without_rejected(rows.split(split))
    truth = ceilings.read_truth(rows)
    columns = _subgroup_columns(judged, truth, by)
    folder = _run_folder(run, loaded) / "eval"
    if reuse and (stored := _stored(loaded, rows, folder / split, by)):
        if report and not (stored.folder / "report.html").is_file():
            with sole_writer(folder):
                _draw(stored, loaded, judged)
        return stored
    with sole_writer(folder):
        predictions = _predict(loaded, rows, judged, split)
        val = predictions if split == "val" else _val_predictions(loaded, rows, folder / "val" / "predictions.parquet")
        metrics = _metrics(loaded, rows, predictions, rejected) | {"split": split, "tasks": summary.summarize(predictions, val)}
        for name, task in metrics["tasks"].items():
            labelled = judged_rows(predictions, name)
            task["subgroups"] = {column: subgroups.by_column(labelled, names) for column, names in columns.items()}
            if truth is not None and isinstance(labelled, TaskRows):
                task.update(ceilings.demo_facts(labelled, name, truth))
        metrics["unlabelled"] = [name for name in loaded.tasks if name not in metrics["tasks"]]
        metrics["untrained"] = [name for name in loaded.config.tasks if name not in loaded.tasks]
        metrics["looks"] = _looks(loaded, split, predictions, metrics["tasks"])
        for page in ("report.html", "samples.html"):  # never a page beside numbers that it does not show
            (folder / split / page).unlink(missing_ok=True)
        write_predictions(predictions, folder / split / "predictions.parquet")
        write_json(folder / split / "metrics.json", metrics)
        evaluation = Evaluation(folder / split, metrics, predictions)
        if report:
            _draw(evaluation, loaded, judged)
    return evaluation


def _draw(evaluation: Evaluation, loaded: LoadedRun, judged: pd.DataFrame) -> None:
    """The page and its pictures."""
    from caer.report.page import write_report

    write_report(evaluation.folder, evaluation.metrics, evaluation.predictions, loaded, judged)


def _stored(loaded: LoadedRun, rows: Rows, folder: Path, by: Sequence[str]) -> Evaluation | None:
    """An earlier evaluation, where weights, rows and columns are still the same."""
    paths = [folder / name for name in ("metrics.json", "predictions.parquet")]
    if not all(path.is_file() for path in paths):
        return None
    metrics, predictions = read_json(paths[0], "the metrics of an evaluation"), read_predictions(paths[1])
    same = same_origin(metrics["run"], _origin(loaded, rows)) and metrics["run"]["row_hash"] == predictions.row_hash
    if not same or any(set(by) - set(task["subgroups"]) for task in metrics["tasks"].values()):
        return None
    return Evaluation(folder, metrics, predictions)


def _run_folder(run: str | Path, loaded: LoadedRun) -> Path:
    """The folder that RUN names: the stage's own where a stage is named, else the seed's."""
    return loaded.folder if Path(run).resolve() == loaded.folder.resolve() else loaded.folder.parent


def check_split(split: str) -> None:
    """Raise `UserError` for the split that runs are trained on."""
    if split == TRAINED_ON:
        raise UserError(f"--split {TRAINED_ON}: a run is not judged on the rows it was trained on; give val or test")


def without_rejected(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows that no reviewer has taken out of the data, and how many these were."""
    kept = rows[rows["status"] != REJECTED].reset_index(drop=True)
    return kept, len(rows) - len(kept)


def _subgroup_columns(judged: pd.DataFrame, truth: pd.DataFrame | None, by: Sequence[str]) -> dict[str, pd.Series]:
    """By column the subgroup of each judged row, indexed by `sample_id`."""
    table = judged
    if truth is not None:
        drawn = truth.reindex(judged["image"]).reset_index(drop=True)
        table = judged.assign(**{name: drawn[name] for name in drawn.columns if name not in judged.columns})
    return {name: subgroups.find_column(name, table).set_axis(judged["sample_id"]) for name in by}


def _predict(loaded: LoadedRun, rows: Rows, judged: pd.DataFrame, split: str) -> Predictions:
    device = resolve_device(loaded.config)
    priors = class_priors(loaded.tasks, loaded.meta.get("class_counts", {}))
    with forward_time(loaded.model.to(device), device) as forward:
        table = predict_rows(
            loaded.model,
            loaded.tasks,
            judged,
            loaded.config,
            loaded.output,
            device=device,
            precision=loaded.meta.get("precision", "32"),
            priors=priors,
        )
    meta = {
        **task_meta(loaded.tasks),
        "priors": priors,
        "split": split,
        "name": loaded.config.name,
        "seed": loaded.config.seed,
        "stage": loaded.stage,
        "output": loaded.output,
        "protocol_hash": protocol_hash(rows),
        "inference_ms": forward.milliseconds(),
        **_origin(loaded, rows),
    }
    return Predictions(table, meta)


def _origin(loaded: LoadedRun, rows: Rows) -> dict[str, Any]:
    """What predictions depend on: stored ones are used again where it is unchanged."""
    return {
        "weights_sha256": sha256_file(loaded.folder / "best.safetensors"),
        "settings_sha256": loaded.config.answering_hash,
        "manifest_hashes": [manifest.meta.get("row_hash") for manifest in rows.manifests],
    }


def _val_predictions(loaded: LoadedRun, rows: Rows, path: Path) -> Predictions | None:
    """Predictions of the val rows, for the temperature: those beside this split where they are of the same weights and rows."""
    if not (rows.table["split"] == "val").any():
        return None
    if (stored := _stored_predictions(path, _origin(loaded, rows))) is not None:
        return stored
    predictions = _predict(loaded, rows, without_rejected(rows.split("val"))[0], "val")
    write_predictions(predictions, path)
    return predictions


def _stored_predictions(path: Path, origin: dict[str, Any]) -> Predictions | None:
    """Predictions of that origin in a file; None where there are none, or none that this code can read: they are made again."""
    try:
        stored = read_predictions(path)
    except UserError:
        return None
    return stored if same_origin(stored.meta, origin) else None


def _metrics(loaded: LoadedRun, rows: Rows, predictions: Predictions, rejected: int) -> dict[str, Any]:
    table = predictions.rows
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {
            "name": loaded.config.name,
            "seed": loaded.config.seed,
            "stage": loaded.stage,
            "output": loaded.output,
            "row_hash": predictions.row_hash,
            "protocol_hash": predictions.meta["protocol_hash"],
            "inference_ms": predictions.meta["inference_ms"],
            **_origin(loaded, rows),
            "evaluated_by": _provenance(),
            "trained": loaded.meta,
            "config": loaded.config.model_dump(mode="json"),
        },
        "rows": {
            "all": len(table),
            "detected": int((table["status"] == "ok").sum()),
            "by_status": {str(k): int(n) for k, n in table["status"].value_counts().sort_index().items()},
            "answered_by": {str(k): int(n) for k, n in table["answered_by"].value_counts().sort_index().items()},
            "rejected_in_review": rejected,
        },
    }


def _provenance() -> dict[str, Any]:
    facts = code_and_machine()
    return facts | {"versions": facts["versions"] | {package: version(package) for package in ("scipy", "matplotlib")}}


def _looks(loaded: LoadedRun, split: str, predictions: Predictions, tasks: dict[str, Any]) -> dict[str, Any] | None:
    """The ledger's line of this look; None on val, which selection may see."""
    if split == "val":
        return None
    scores = {
        f"{name}/{metric}": estimate["value"]
        for name, task in tasks.items()
        for metric, estimate in task["rows"]["all"].items()
        if isinstance(estimate, dict)
    }
    look = {
        "split": split,
        "stage": loaded.stage,
        "commit": commit(),
        "row_hash": predictions.row_hash,
        "weights_sha256": predictions.meta["weights_sha256"],
        "scores": scores,
    }
    return record_look(loaded.folder.parent, look)

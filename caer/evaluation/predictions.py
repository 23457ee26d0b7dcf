"""`predictions.parquet`: the contract between a model and everything that judges it.

Enters: a model with its tasks and the labelled rows of a split, whatever their status. Leaves: one row each with
    sample_id, source, group, split, status, image
    answered_by    `model`; `context` where a fusion had no face to look at; `prior` where the model could not look at all and the
                   class shares of its training rows stand in
and per task T `target_T` (int64, -1 unlabelled), `prob_T` (K floats), `face_prob_T`, `context_prob_T` (K floats, null where the
branch had nothing to look at or is not part of the run's stage), `gates_T` (face, context; with gates per class 2 K numbers,
those of the face first; null without gates). The file's metadata, key `caer`, is JSON: schema_version, tasks {T: classes},
kinds {T: kind}, facts {T: {...}}, priors {T: [K]} and where the predictions came from.

What a task's kind (`caer.tasks.base.Kind`; `classes` where the metadata do not say) changes:
    classes, ordered   nothing; ordered classes stand in their order
    tags               bit k of `target_T` is 1 where the row has tag k; each of the K probabilities stands for itself
    number             `target_T` float64 (NaN unlabelled) with `low_T` and `high_T`, the interval that holds the true number
                       (both equal where it is known, `target_T` the midpoint); the answers are floats, `pred_T`, `face_pred_T`,
                       `context_pred_T` (NaN for null); tasks {T: []}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from caer.config import Config
from caer.data.features import to_device
from caer.data.loaders import eval_loader
from caer.data.rows import context_only, row_hash
from caer.data.targets import target_columns
from caer.evaluation.soundness import what_is_wrong
from gating.output import ModelOutput
from preprocessing.errors import UserError
from preprocessing.files import write_atomic
from preprocessing.progress import progress

SCHEMA_VERSION = 1
KEPT = ("sample_id", "source", "group", "split", "status", "image")
BRANCHES = ("face", "context")
ONE_OF = ("classes", "ordered")


@dataclass(frozen=True)
class Predictions:
    """A prediction table with its metadata (see the module's docstring)."""

    rows: pd.DataFrame
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of every task."""
        return {name: self.meta.get("kinds", {}).get(name, "classes") for name in self.meta["tasks"]}

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Classes of the tasks whose answer is one of them (kinds `classes` and `ordered`)."""
        return {name: list(self.meta["tasks"][name]) for name, kind in self.kinds.items() if kind in ONE_OF}

    @property
    def row_hash(self) -> str:
        """SHA-256 over the sorted (sample_id, target...) of the rows: equal where the same rows carry the same truth."""
        return row_hash(self.rows, self.kinds)


@dataclass(frozen=True)
class TaskRows:
    """The rows that are labelled for a task whose answer is one of K classes, as arrays.

    Attributes:
        rows: their lines of the prediction table.
        classes: K names.
        targets: [N] int.
        probabilities: [N, K], the run's answer.
        branches: by branch [N, K], the class prior where a row gave it nothing to look at; only branches that the stage has.
        gates: [N, 2], averaged over classes, NaN where there are none; None without any.
        detected: [N] bool, rows with a face.
        answered_by: [N] str.
        codes: [N] int, what is resampled together: the group, else the photo.
        kind: `classes` or `ordered`.
    """

    rows: pd.DataFrame
    classes: list[str]
    targets: np.ndarray
    probabilities: np.ndarray
    branches: dict[str, np.ndarray]
    gates: np.ndarray | None
    detected: np.ndarray
    answered_by: np.ndarray
    codes: np.ndarray
    kind: str = "classes"

    def correct(self, probabilities: np.ndarray | None = None) -> np.ndarray:
        """[N] 1.0 where the largest probability (default: the run's answer) is at the target."""
        chosen = self.probabilities if probabilities is None else probabilities
        return (chosen.argmax(axis=1) == self.targets).astype(float)


def group_names(rows: pd.DataFrame) -> np.ndarray:
    """[N] what hangs together: a row's group, else its photo (two faces of one photo are not independent), within its source."""
    return (rows["source"] + "\0" + rows["group"].where(rows["group"] != "", "\0" + rows["image"])).to_numpy(str)


def task_rows(predictions: Predictions, task: str) -> TaskRows:
    """The labelled rows of a task of kind `classes` or `ordered`."""
    rows = predictions.rows[predictions.rows[f"target_{task}"] >= 0].reset_index(drop=True)
    classes, prior = predictions.tasks[task], np.asarray(predictions.meta["priors"][task])
    branches = {}
    for branch in BRANCHES:
        column = rows[f"{branch}_prob_{task}"]
        if column.notna().any():
            branches[branch] = np.array([prior if value is None else value for value in column], dtype=float)
    gates = None
    if rows[f"gates_{task}"].notna().any():
        gates = np.array([_pair(value) for value in rows[f"gates_{task}"]])
    return TaskRows(
        rows=rows,
        classes=classes,
        targets=rows[f"target_{task}"].to_numpy(np.int64),
        probabilities=np.array(rows[f"prob_{task}"].tolist(), dtype=float).reshape(-1, len(classes)),
        branches=branches,
        gates=gates,
        detected=rows["status"].eq("ok").to_numpy(),
        answered_by=rows["answered_by"].to_numpy(str),
        codes=np.unique(group_names(rows), return_inverse=True)[1],
        kind=predictions.kinds[task],
    )


def _pair(gates: Any) -> tuple[float, float]:
    if gates is None:
        return (np.nan, np.nan)
    face, context = np.asarray(gates, dtype=float).reshape(2, -1).mean(axis=1)
    return (float(face), float(context))


def class_priors(tasks: Mapping[str, Any], class_counts: Mapping[str, list[int]]) -> dict[str, list[float]]:
    """What stands in where the model cannot look, by task: class shares of the training rows, or their median."""
    return {name: task.prior(class_counts.get(name, [])) for name, task in tasks.items()}


def task_meta(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that say how to read each task's columns."""
    return {
        "tasks": {name: list(getattr(task.config, "classes", [])) for name, task in tasks.items()},
        "kinds": {name: task.kind for name, task in tasks.items()},
        "facts": {name: task.facts for name, task in tasks.items()},
    }


def answered_by(rows: pd.DataFrame, output: str) -> np.ndarray:
    """[N] `model`, `context` or `prior`: what a stage with this output can look at in each row."""
    face, photo = rows["has_face"].to_numpy(bool), rows["image_file"].ne("").to_numpy(bool)
    if output == "face":
        return np.where(face, "model", "prior")
    if output == "context":
        return np.where(photo & (face | context_only(rows).to_numpy(bool)), "model", "prior")
    alone = context_only(rows).to_numpy(bool) & ~face
    return np.select([face & photo, alone], ["model", "context"], "prior")


def predict_rows(
    model: nn.Module,
    tasks: Mapping[str, Any],
    rows: pd.DataFrame,
    config: Config,
    output: str,
    *,
    device: torch.device,
    precision: str,
    priors: Mapping[str, list[float]],
) -> pd.DataFrame:
    """Predict every row of a table from `caer.data.rows`; none is left out.

    Args:
        model: in eval mode; takes batches, returns `ModelOutput`.
        tasks: built tasks by name.
        rows: labelled rows of any status.
        config: the experiment.
        output: `face`, `context` or `fused`, as the run's stage.
        device: where to compute.
        precision: `32` or `bf16`, as the run was trained.
        priors: class shares by task, the answer where the model cannot look.
    """
    source = answered_by(rows, output)
    seen = rows[source != "prior"].reset_index(drop=True)
    table = rows.loc[:, list(KEPT)].assign(answered_by=source)
    answers: dict[str, list[Any]] = {}
    if len(seen):
        loader = eval_loader(config, seen, model.inputs(output))  # type: ignore[operator]
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), bf16, progress(len(seen), "rows") as shown:
            for batch in loader:
                _collect(model(to_device(batch, device)), tasks, batch["has_face"].numpy(), answers)
                shown.advance(len(batch["has_face"]))
    at = np.flatnonzero(source != "prior")
    for name, task in tasks.items():
        for column in target_columns(rows, [name]):
            table[column] = rows[column].to_numpy()
        answer = answer_name(task.kind)
        for column in (f"{answer}_{name}", *(f"{branch}_{answer}_{name}" for branch in BRANCHES), f"gates_{name}"):
            prior = priors[name][0] if answer == "pred" else list(priors[name])
            values: list[Any] = [prior if column.startswith(f"{answer}_") else None] * len(rows)
            if column in answers:
                for i, value in zip(at, answers[column], strict=True):
                    values[i] = value
            kind = float if answer == "pred" and not column.startswith("gates_") else object
            table[column] = pd.Series(values, index=table.index, dtype=kind)
    return table


def answer_name(kind: str) -> str:
    """How the columns with a task's answers are called: `pred` for a number, `prob` for all else."""
    return "pred" if kind == "number" else "prob"


def _collect(output: ModelOutput, tasks: Mapping[str, Any], has_face: np.ndarray, answers: dict[str, list[Any]]) -> None:
    """Append a batch's answers to the lists of their columns."""
    for name, task in tasks.items():
        answer = answer_name(task.kind)
        answers.setdefault(f"{answer}_{name}", []).extend(_answers(task, output.logits[name]))
        for branch in BRANCHES:
            logits = output.branch_logits.get(branch, {}).get(name)
            values = [None] * len(has_face) if logits is None else _answers(task, logits)
            looked = has_face if branch == "face" else np.ones(len(has_face), bool)
            kept = [value if there else None for value, there in zip(values, looked, strict=True)]
            answers.setdefault(f"{branch}_{answer}_{name}", []).extend(kept)
        gates = None if output.gates is None else output.gates.get(name)
        flat = [None] * len(has_face) if gates is None else gates.double().flatten(1).cpu().tolist()
        answers.setdefault(f"gates_{name}", []).extend(flat)


def _answers(task: Any, logits: torch.Tensor) -> list[Any]:
    """Each row's probabilities; of a number the number itself."""
    values = task.probabilities(logits.float()).double().cpu()
    return (values[:, 0] if task.kind == "number" else values).tolist()


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write the Parquet file atomically."""
    lists = pa.list_(pa.float64())
    columns = {}
    for name in predictions.rows.columns:
        values = predictions.rows[name].tolist()
        kind = lists if "prob_" in name or name.startswith("gates_") else None
        columns[name] = pa.array(values, type=kind)
    meta = {"schema_version": SCHEMA_VERSION, **predictions.meta}
    table = pa.table(columns).replace_schema_metadata({"caer": json.dumps(meta, ensure_ascii=False)})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue().to_pybytes())


def same_origin(recorded: Mapping[str, Any], origin: Mapping[str, Any]) -> bool:
    """Whether recorded answers are of an origin; where its settings were not recorded yet, they are taken for the same."""
    return all(recorded.get(key, value if key == "settings_sha256" else None) == value for key, value in origin.items())


def read_predictions(path: Path) -> Predictions:
    """Read a prediction file.

    Raises:
        UserError: absent, not Parquet, without this project's metadata, of an unknown schema, or other than its metadata say.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected predictions.parquet, as `python -m caer evaluate` writes it") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error})") from None
    meta = _unpacked((table.schema.metadata or {}).get(b"caer", b""))
    if meta.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {meta.get('schema_version')!r} is unknown; this code reads {SCHEMA_VERSION}")
    rows = pd.DataFrame(table.to_pydict())
    if wrong := what_is_wrong(rows, meta, (*KEPT, "answered_by")):
        raise UserError(f"{path}: damaged, {wrong}; write it again with `python -m caer evaluate`")
    return Predictions(rows, meta)


def _unpacked(packed: bytes) -> dict[str, Any]:
    """A file's metadata; empty where there are none that can be read."""
    try:
        meta = json.loads(packed)
    except ValueError:
        return {}
    return meta if isinstance(meta, dict) else {}

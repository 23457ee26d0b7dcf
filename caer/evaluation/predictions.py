"""`predictions.parquet`: the contract between a model and everything that judges it.

Enters: a model with its tasks and the labelled rows of a split, whatever their status. Leaves: one row each with
    sample_id, source, group, split, status, image
    answered_by    `model`; `context` where a fusion had no face to look at; `prior` where the model could not look at all and the
                   class shares of its training rows stand in
and per task T `target_T` (int64, -1 unlabelled), `prob_T` (K floats), `face_prob_T`, `context_prob_T` (K floats, null where the
branch had nothing to look at or is not part of the run's stage), `gates_T` (face, context; with gates per class 2 K numbers,
those of the face first; null without gates). The file's metadata, key `caer`, is JSON: schema_version, tasks {T: classes},
priors {T: [K]} and where the predictions came from.
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
from gating.output import ModelOutput
from preprocessing.errors import UserError
from preprocessing.files import write_atomic
from preprocessing.progress import progress

SCHEMA_VERSION = 1
KEPT = ("sample_id", "source", "group", "split", "status", "image")
BRANCHES = ("face", "context")


@dataclass(frozen=True)
class Predictions:
    """A prediction table with its metadata (see the module's docstring)."""

    rows: pd.DataFrame
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Classes by task."""
        return dict(self.meta["tasks"])

    @property
    def row_hash(self) -> str:
        """SHA-256 over the sorted (sample_id, target...) of the rows: equal where the same rows carry the same truth."""
        return row_hash(self.rows, self.tasks)


@dataclass(frozen=True)
class TaskRows:
    """The rows that are labelled for one task, as arrays.

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

    def correct(self, probabilities: np.ndarray | None = None) -> np.ndarray:
        """[N] 1.0 where the largest probability (default: the run's answer) is at the target."""
        chosen = self.probabilities if probabilities is None else probabilities
        return (chosen.argmax(axis=1) == self.targets).astype(float)


def group_names(rows: pd.DataFrame) -> np.ndarray:
    """[N] what hangs together: a row's group, else its photo (two faces of one photo are not independent), within its source."""
    return (rows["source"] + "\0" + rows["group"].where(rows["group"] != "", "\0" + rows["image"])).to_numpy(str)


def task_rows(predictions: Predictions, task: str) -> TaskRows:
    """One task's labelled rows."""
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
    )


def _pair(gates: Any) -> tuple[float, float]:
    if gates is None:
        return (np.nan, np.nan)
    face, context = np.asarray(gates, dtype=float).reshape(2, -1).mean(axis=1)
    return (float(face), float(context))


def class_priors(tasks: Mapping[str, Any], class_counts: Mapping[str, list[int]]) -> dict[str, list[float]]:
    """Class shares of the training rows by task; equal shares where a run has no counts."""
    priors = {}
    for name, task in tasks.items():
        counts = np.asarray(class_counts.get(name, []), dtype=float)
        if counts.shape != (task.out_dim,) or not counts.sum():
            counts = np.ones(task.out_dim)
        priors[name] = (counts / counts.sum()).tolist()
    return priors


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
    for name in tasks:
        table[f"target_{name}"] = rows[f"target_{name}"].to_numpy()
        for column in (f"prob_{name}", *(f"{branch}_prob_{name}" for branch in BRANCHES), f"gates_{name}"):
            values: list[Any] = [list(priors[name]) if column.startswith("prob_") else None] * len(rows)
            if column in answers:
                for i, value in zip(at, answers[column], strict=True):
                    values[i] = value
            table[column] = pd.Series(values, index=table.index, dtype=object)
    return table


def _collect(output: ModelOutput, tasks: Mapping[str, Any], has_face: np.ndarray, answers: dict[str, list[Any]]) -> None:
    """Append a batch's answers to the lists of their columns."""
    for name, task in tasks.items():
        answers.setdefault(f"prob_{name}", []).extend(_probabilities(task, output.logits[name]))
        for branch in BRANCHES:
            logits = output.branch_logits.get(branch, {}).get(name)
            values = [None] * len(has_face) if logits is None else _probabilities(task, logits)
            looked = has_face if branch == "face" else np.ones(len(has_face), bool)
            kept = [value if there else None for value, there in zip(values, looked, strict=True)]
            answers.setdefault(f"{branch}_prob_{name}", []).extend(kept)
        gates = None if output.gates is None else output.gates.get(name)
        flat = [None] * len(has_face) if gates is None else gates.double().flatten(1).cpu().tolist()
        answers.setdefault(f"gates_{name}", []).extend(flat)


def _probabilities(task: Any, logits: torch.Tensor) -> list[list[float]]:
    return task.probabilities(logits.float()).double().cpu().tolist()


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


def read_predictions(path: Path) -> Predictions:
    """Read a prediction file.

    Raises:
        UserError: absent, not Parquet, without this project's metadata, or of an unknown schema.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected predictions.parquet, as `python -m caer evaluate` writes it") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error})") from None
    packed = (table.schema.metadata or {}).get(b"caer")
    meta = json.loads(packed) if packed else {}
    if meta.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {meta.get('schema_version')!r} is unknown; this code reads {SCHEMA_VERSION}")
    return Predictions(pd.DataFrame(table.to_pydict()), meta)

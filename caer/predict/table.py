"""Answers as a table: the columns of `predict --out F.parquet` and of a photo store's library.

One row a face, or one for a photo without an answerable face. Beside the fields of `FacePrediction` there are for each task T:
    T                 the answer, in the words of the annotation; a number as it is
    T_confidence      its calibrated probability; only where the answer is one of K classes
    T_probabilities   a struct with one field a class or tag; not for numbers
    T_gates           (face, context); with gates per class 2 K numbers, those of the face first
The file's metadata, key `caer`, is JSON.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from caer.predict.answers import FacePrediction, names_of, one_of, plain
from caer.tasks import Task

FIXED = [
    ("status", pa.string()),
    ("reason", pa.string()),
    ("answered_by", pa.string()),
    ("rank", pa.int32()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("box", pa.list_(pa.float32())),
    ("landmarks", pa.list_(pa.float32())),
    ("score", pa.float32()),
]
PLACE = [("path", pa.string()), ("frame", pa.int64()), ("time", pa.float64())]
RESERVED = frozenset(name for name, _ in [*PLACE, *FIXED]) | {"size", "mtime_ns", "checked_ns", "sha256"}


def column_name(task: str) -> str:
    """The column of a task's answer: its name, unless another column is called so."""
    return f"task_{task}" if task.lower() in RESERVED else task


def answer_fields(tasks: Mapping[str, Task]) -> list[pa.Field]:
    """Columns of an answer without those of its place."""
    fields = [pa.field(name, kind) for name, kind in FIXED]
    for task in tasks.values():
        name = column_name(task.name)
        fields.append(pa.field(name, pa.float64() if task.kind == "number" else pa.string()))
        if one_of(task):
            fields.append(pa.field(f"{name}_confidence", pa.float64()))
        if names_of(task):
            fields.append(pa.field(f"{name}_probabilities", pa.struct([(c, pa.float64()) for c in names_of(task)])))
        fields.append(pa.field(f"{name}_gates", pa.list_(pa.float64())))
    return fields


def answer_row(face: FacePrediction, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """An answer as values of `answer_fields`."""
    row: dict[str, Any] = {name: getattr(face, name) for name in ("status", "reason", "answered_by", "rank", "width", "height")}
    row |= {"box": _flat(face.box), "landmarks": _flat(face.landmarks), "score": face.score}
    for key, task in tasks.items():
        if key not in face.label:
            continue
        name = column_name(key)
        row[name], row[f"{name}_confidence"] = plain(face.label[key]), face.confidence.get(key)
        if key in face.probabilities:
            row[f"{name}_probabilities"] = dict(zip(names_of(task), face.probabilities[key].tolist(), strict=True))
        row[f"{name}_gates"] = None if face.gates is None else _flat(face.gates.get(key))
    return row


def _flat(array: np.ndarray | None) -> list[float] | None:
    return None if array is None else np.asarray(array, dtype=np.float64).reshape(-1).tolist()


def with_metadata(schema: pa.Schema, meta: Mapping[str, Any]) -> pa.Schema:
    """The schema with JSON under the key `caer`."""
    return schema.with_metadata({"caer": json.dumps(meta, ensure_ascii=False, sort_keys=True)})

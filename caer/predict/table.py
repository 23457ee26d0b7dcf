"""Answers as a table: the columns of `predict --out F.parquet` and of a photo store's library.

One row a face, or one for a photo without an answerable face. Beside the fields of `FacePrediction` there are for each task T:
    T                 the answer, in the words of the annotation
    T_confidence      its calibrated probability
    T_probabilities   a struct with one field a class (a list where the task has no classes)
    T_gates           (face, context); with gates per class 2 K numbers, those of the face first
The file's metadata, key `caer`, is JSON.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from caer.predict.answers import FacePrediction, classes_of, plain
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
        name, classes = column_name(task.name), classes_of(task)
        struct = None if classes is None or len(classes) != task.out_dim else pa.struct([(c, pa.float64()) for c in classes])
        fields += [
            pa.field(name, _answer_type(task)),
            pa.field(f"{name}_confidence", pa.float64()),
            pa.field(f"{name}_probabilities", struct or pa.list_(pa.float64())),
            pa.field(f"{name}_gates", pa.list_(pa.float64())),
        ]
    return fields


def _answer_type(task: Task) -> pa.DataType:
    """Text, number or list of texts: what the task decodes to."""
    example = plain(task.decode(np.full((1, task.out_dim), 1 / task.out_dim))[0])
    if isinstance(example, bool):
        return pa.bool_()
    if isinstance(example, int | float):
        return pa.float64()
    return pa.list_(pa.string()) if isinstance(example, list | tuple) else pa.string()


def answer_row(face: FacePrediction, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """An answer as values of `answer_fields`."""
    row: dict[str, Any] = {name: getattr(face, name) for name in ("status", "reason", "answered_by", "rank", "width", "height")}
    row |= {"box": _flat(face.box), "landmarks": _flat(face.landmarks), "score": face.score}
    for key, task in tasks.items():
        if key not in face.label:
            continue
        name, classes, values = column_name(key), classes_of(task), _flat(face.probabilities[key])
        row[name], row[f"{name}_confidence"] = plain(face.label[key]), face.confidence.get(key)
        struct = classes is not None and len(classes) == task.out_dim
        row[f"{name}_probabilities"] = dict(zip(classes or [], values or [], strict=True)) if struct else values
        row[f"{name}_gates"] = None if face.gates is None else _flat(face.gates.get(key))
    return row


def _flat(array: np.ndarray | None) -> list[float] | None:
    return None if array is None else np.asarray(array, dtype=np.float64).reshape(-1).tolist()


def with_metadata(schema: pa.Schema, meta: Mapping[str, Any]) -> pa.Schema:
    """The schema with JSON under the key `caer`."""
    return schema.with_metadata({"caer": json.dumps(meta, ensure_ascii=False, sort_keys=True)})

"""The answer for one face, and how it reads as plain JSON.

Enters: what the network said. Leaves: `FacePrediction`; a dict of plain values for files and pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caer.predict.sources import Photo
from caer.tasks import Task


@dataclass(frozen=True)
class FacePrediction:
    """The answer for one face, or for a photo without a usable one. Coordinates are pixels of the upright photo.

    Attributes:
        status: `ok`; `no_face`, `too_small`; `missing`, `unreadable`, `empty`, `bomb` for files that give no picture; `failed`
            where the face cannot be cut out; `reason` says why.
        answered_by: `model`; `context` where a model with two branches had no face to look at; `none` where it could not look at
            all: then `probabilities` and `label` are empty.
        rank: 0 for the chosen face, then in order of selection.
        width, height: of the upright photo; 0 where there is none.
        box: (4,) float32 `[x1, y1, x2, y2]`, or None.
        landmarks: (5, 2) float32 in the order of `preprocessing.types.Face`, or None.
        score: the detector's confidence in [0, 1], or None.
        probabilities: by task, [K] float64 in the order of the task's classes or tags; a number has none.
        label: by task, the answer in the words of the annotation; of a number (regression) the number itself.
        calibrated: by task, the probabilities after the temperature fitted on the run's val rows; as trained where the run has no
            temperature (`Predictor.temperatures`).
        confidence: by task, the calibrated probability of the label; only of tasks whose answer is one of K classes.
        branches: by branch (`face`, `context`), then by task, that branch's own probabilities [K]; empty where it did not look.
        gates: by task, [2] or, with gates per class, [2, K] float64 in the order (face, context); None without gates.
        attention: [h, w] float32, where the context branch looked (sums to one); None without attention.
    """

    status: str
    reason: str = ""
    answered_by: str = "none"
    rank: int = 0
    width: int = 0
    height: int = 0
    box: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    score: float | None = None
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    calibrated: dict[str, np.ndarray] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    branches: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    gates: dict[str, np.ndarray] | None = None
    attention: np.ndarray | None = None


def names_of(task: Task) -> list[str]:
    """What a task's probabilities stand for: its classes or tags; nothing for a number."""
    return [] if task.kind == "number" else list(task.config.classes)


def one_of(task: Task) -> bool:
    """Whether the answer is one of K classes, so that its probability is a confidence."""
    return task.kind in ("classes", "ordered")


def to_json(photo: Photo, answer: FacePrediction, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """One face as plain JSON values: `path`, of a video `frame` and `time` in seconds, where the face is, its answer by task."""
    record: dict[str, Any] = {"path": photo.path}
    if photo.frame is not None:
        record |= {"frame": photo.frame, "time": photo.time}
    record |= {name: getattr(answer, name) for name in ("status", "reason", "answered_by", "rank", "width", "height")}
    record |= {"box": _rounded(answer.box, 2), "landmarks": _rounded(answer.landmarks, 2), "score": _rounded(answer.score, 5)}
    record["tasks"] = {name: _task(answer, name, task) for name, task in tasks.items() if name in answer.label}
    return record


def _task(answer: FacePrediction, name: str, task: Task) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": plain(answer.label[name])}
    if name in answer.confidence:
        entry["confidence"] = _rounded(answer.confidence[name], 6)
    if name in answer.probabilities:
        entry["probabilities"] = dict(zip(names_of(task), _rounded(answer.probabilities[name], 6), strict=True))
    if answer.gates is not None and name in answer.gates:
        entry["gates"] = dict(zip(("face", "context"), _rounded(answer.gates[name], 6), strict=True))
    return entry


def plain(value: Any) -> Any:
    """A label as a plain Python value."""
    return value.item() if isinstance(value, np.generic) else value


def _rounded(value: Any, digits: int) -> Any:
    return None if value is None else np.round(np.asarray(value, dtype=np.float64), digits).tolist()

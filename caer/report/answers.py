"""What a run answers for one photo, task by task, in words.

Enters: a prediction table and a row's place in it. Leaves: `Answer`s, also for tasks that the row is not annotated for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from caer.evaluation.predictions import ONE_OF, Predictions
from caer.evaluation.tags import many_hot


@dataclass(frozen=True)
class Answer:
    """One task's answer for one row.

    Attributes:
        task: its name.
        said: the answer, with its confidence or unit.
        annotated: the annotation, None where the row has none.
        right: whether they agree; None without an annotation, and for a number that is known exactly: it is more or less off.
    """

    task: str
    said: str
    annotated: str | None
    right: bool | None


def answers(predictions: Predictions, row: int) -> list[Answer]:
    """Every task's answer for a row of the table."""
    line = predictions.rows.iloc[row]
    return [_answer(predictions, name, kind, line) for name, kind in predictions.kinds.items()]


def _answer(predictions: Predictions, name: str, kind: str, line: pd.Series) -> Answer:
    facts = predictions.meta.get("facts", {}).get(name, {})
    if kind == "number":
        return _number(name, line, facts["unit"])
    probabilities, target = np.asarray(line[f"prob_{name}"], dtype=float), int(line[f"target_{name}"])
    if kind in ONE_OF:
        return _one_class(name, predictions.tasks[name], probabilities, target)
    return _tags(name, list(predictions.meta["tasks"][name]), probabilities >= facts["threshold"], target)


def _one_class(name: str, classes: list[str], probabilities: np.ndarray, target: int) -> Answer:
    chosen = int(probabilities.argmax())
    said = f"{classes[chosen]} {100 * probabilities[chosen]:.0f}%"
    return Answer(name, said, None, None) if target < 0 else Answer(name, said, classes[target], chosen == target)


def _tags(name: str, classes: list[str], chosen: np.ndarray, target: int) -> Answer:
    said = _joined(classes, chosen)
    if target < 0:
        return Answer(name, said, None, None)
    truth = many_hot(np.array([target]), len(classes))[0]
    return Answer(name, said, _joined(classes, truth), bool((truth == chosen).all()))


def _joined(classes: list[str], present: np.ndarray) -> str:
    return ", ".join(name for name, there in zip(classes, present, strict=True) if there) or "none"


def _number(name: str, line: Any, unit: str) -> Answer:
    value, low, high = (float(line[f"{part}_{name}"]) for part in ("pred", "low", "high"))
    said = f"{value:.1f} {unit}".strip()
    if np.isnan(low):
        return Answer(name, said, None, None)
    if low == high:
        return Answer(name, said, f"{low:g} ({value - low:+.1f})".replace("-", "−"), None)
    return Answer(name, said, f"{low:g} to {high:g}", low <= value <= high)

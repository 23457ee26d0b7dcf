"""Is a prediction file what its metadata say? Asked once, where it is read, so that nothing after it has to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def what_is_wrong(rows: pd.DataFrame, meta: Mapping[str, Any], needed: tuple[str, ...]) -> str | None:
    """The first thing that makes a prediction table unreadable, in a few words; None for a sound one.

    Args:
        rows: the table of a `predictions.parquet`.
        meta: its metadata; see `caer.evaluation.predictions`.
        needed: columns that every such table has.
    """
    tasks, kinds = meta.get("tasks"), meta.get("kinds", {})
    if not isinstance(tasks, dict) or not isinstance(kinds, dict) or not all(isinstance(c, list) for c in tasks.values()):
        return "its metadata name no tasks with their classes"
    answers = {task: "pred" if kinds.get(task) == "number" else "prob" for task in tasks}
    wanted = [*needed, *(f"{column}_{task}" for task, answer in answers.items() for column in ("target", answer))]
    if absent := [name for name in wanted if name not in rows]:
        return f"the columns {', '.join(absent)} are absent"
    if rows["sample_id"].isna().any():
        return "rows without a sample_id"
    return next(filter(None, (_wrong_values(rows, task, tasks[task], kinds.get(task, "classes")) for task in tasks)), None)


def _wrong_values(rows: pd.DataFrame, task: str, classes: list[str], kind: str) -> str | None:
    target = rows[f"target_{task}"]
    if not pd.api.types.is_numeric_dtype(target):
        return f"target_{task} holds no numbers"
    if kind != "number" and not _probabilities(rows[f"prob_{task}"], len(classes)):
        return f"prob_{task} holds other than {len(classes)} probabilities a row"
    if kind in ("classes", "ordered") and (target >= len(classes)).any():
        return f"target_{task} names more than its {len(classes)} classes"
    return None


def _probabilities(column: pd.Series, count: int) -> bool:
    """Whether every value is a list of so many numbers from 0 to 1, but for what rounding adds."""
    try:
        values = np.array(column.tolist(), dtype=float)
    except (TypeError, ValueError):
        return False
    return not len(column) or (values.shape == (len(column), count) and bool(((values >= 0) & (values <= 1 + 1e-6)).all()))

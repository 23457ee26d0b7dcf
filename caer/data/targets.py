"""Encoded targets in a table of rows (or of predictions).

Every task T has a column `target_T`; a number also has `low_T` and `high_T`, the interval that holds it.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd


def targets_of(rows: pd.DataFrame, task: str) -> np.ndarray:
    """Encoded targets of a task: [N], or [N, 2] (low, high) of numbers."""
    if f"low_{task}" in rows:
        return rows[[f"low_{task}", f"high_{task}"]].to_numpy(np.float64)
    return rows[f"target_{task}"].to_numpy()


def target_columns(rows: pd.DataFrame, tasks: Iterable[str]) -> list[str]:
    """The columns that hold the truth, tasks in the order of their names."""
    wanted = [f"{part}_{name}" for name in sorted(tasks) for part in ("target", "low", "high")]
    return [column for column in wanted if column in rows]


def is_labelled(targets: np.ndarray) -> np.ndarray:
    """[N] bool of encoded targets: -1 (whole numbers) and NaN (real numbers) stand for a missing annotation."""
    flat = targets if targets.ndim == 1 else targets[:, 0]
    return ~np.isnan(flat) if flat.dtype.kind == "f" else flat >= 0

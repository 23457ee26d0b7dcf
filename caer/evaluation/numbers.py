"""Metrics of numbers in plain NumPy.

Enters: targets [N, 2], the interval [low, high] that holds the true number (both ends are the number where it is known), and
answers [N]. Leaves: floats in the unit of the numbers.

Conventions:
- MAE and RMSE are over the rows whose number is known; NaN where there are none. They are never computed on intervals.
- MAE to the midpoint is over the rows with an interval; it is called that because the true number may lie anywhere in it.
- The distance is that to the nearest point of the interval: 0 inside, the absolute error where the number is known. It is over
  all rows; `inside` is the share of rows with an interval that holds the answer.
- Closeness, 1 - distance / range, can be averaged with accuracies.
"""

import numpy as np

EXACT = ("mae", "rmse")
INTERVAL = ("mae_to_midpoint", "distance", "inside")


def known(targets: np.ndarray) -> np.ndarray:
    """[N] bool: rows whose number is known."""
    return targets[:, 0] == targets[:, 1]


def distances(targets: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """[N] distance of each answer to its interval."""
    return np.maximum(0.0, np.maximum(targets[:, 0] - answers, answers - targets[:, 1]))


def scores(targets: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """mae, rmse, mae_to_midpoint, distance and inside."""
    targets, answers = np.asarray(targets, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    exact, away = known(targets), distances(targets, answers)
    errors = np.abs(answers - targets.mean(axis=1))
    return {
        "mae": _mean(errors[exact]),
        "rmse": float(np.sqrt(_mean(errors[exact] ** 2))),
        "mae_to_midpoint": _mean(errors[~exact]),
        "distance": _mean(away),
        "inside": _mean(away[~exact] == 0),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")

"""Metrics of ordered classes in plain NumPy: how far an answer is off, in classes.

Enters: targets [N] int (0..K-1) and probabilities [N, K], or confusion matrices [..., K, K] (truth in rows). Leaves: floats, or
arrays over the leading dimensions. Quadratic kappa is Cohen's with weights (i - j)^2: 1 for perfect answers, 0 for those that
chance alone would give; NaN where truth and answers are one and the same class. It agrees with scikit-learn's.
"""

import numpy as np

from caer.evaluation.metrics import confusion_of, predicted, ratio


def quadratic_kappa_of(confusion: np.ndarray) -> np.ndarray:
    """Quadratic kappa [...]."""
    weights = _distances(confusion.shape[-1]) ** 2
    total = confusion.sum(axis=(-2, -1))
    expected = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    return 1 - ratio((weights * confusion).sum(axis=(-2, -1)) * total, (weights * expected).sum(axis=(-2, -1)))


def near(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether the likeliest class of a row is the target or next to it [N] bool."""
    return np.abs(predicted(probabilities) - targets) <= 1


def within_one(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of such rows; NaN without rows."""
    return float(near(targets, probabilities).mean()) if len(targets) else float("nan")


def quadratic_kappa(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Quadratic kappa of the likeliest classes."""
    return float(quadratic_kappa_of(confusion_of(targets, probabilities)))


def _distances(classes: int) -> np.ndarray:
    return np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))

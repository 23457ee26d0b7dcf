"""Classification metrics in plain NumPy.

Enters: targets [N] int (0..K-1; unlabelled rows are left out by the caller) and probabilities [N, K] that sum to one.
Leaves: floats, or arrays over the leading dimensions where a function takes confusion matrices [..., K, K].

Conventions:
- A confusion matrix has the truth in rows and the prediction in columns. The predicted class has the largest probability, the
  lower index among equals.
- Precision of a class that is never predicted, and recall of a class that has no rows, are undefined (NaN), not 0.
- F1 = 2 TP / (2 TP + FP + FN): 0 for a class that occurs but is never hit, NaN where it neither occurs nor is predicted.
- Macro-F1 is the mean over the classes whose F1 is defined; balanced accuracy is the mean recall over the classes that occur.
  Both agree with scikit-learn's defaults.
- NLL is in nats, with probabilities not below 1e-12. The Brier score sums over the classes (0 is best, 2 is worst).
- ECE takes the confidence of the predicted class in 15 bins of equal mass; rows of equal confidence are never torn apart (so the
  order of rows does not matter), which may leave fewer bins.
"""

import itertools
import math

import numpy as np

LOWEST = 1e-12
"""Probabilities below this count as this."""

BINS = 15


def predicted(probabilities: np.ndarray) -> np.ndarray:
    """Predicted class [N] int64 of probabilities [N, K]."""
    return np.asarray(probabilities).argmax(axis=1)


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts [K, K] int64, truth in rows."""
    cells = np.asarray(targets, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def confusion_cells(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """One-hot confusion cell [..., N, K * K] of each answer in `predictions` [..., N]: their sums determine the scores below."""
    return np.eye(classes * classes)[np.asarray(targets) * classes + np.asarray(predictions)]


def from_cells(sums: np.ndarray) -> np.ndarray:
    """Summed cells [..., K * K] as confusion matrices [..., K, K]."""
    side = math.isqrt(sums.shape[-1])
    return sums.reshape(*sums.shape[:-1], side, side)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Numerator / denominator; NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Accuracy [...] of confusion matrices [..., K, K]."""
    return ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def precision_of(confusion: np.ndarray) -> np.ndarray:
    """Precision [..., K] of each class; NaN for one that is never predicted."""
    return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2))


def recall_of(confusion: np.ndarray) -> np.ndarray:
    """Recall [..., K] of each class; NaN for one without rows."""
    return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def f1_of(confusion: np.ndarray) -> np.ndarray:
    """F1 [..., K] of each class; NaN for one that neither occurs nor is predicted."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f1_of(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 [...] over the classes whose F1 is defined."""
    return _mean_of_defined(f1_of(confusion))


def balanced_accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Mean recall [...] over the classes that occur."""
    return _mean_of_defined(recall_of(confusion))


def confusion_of(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts [K, K] of the likeliest classes, truth in rows."""
    probabilities = np.asarray(probabilities)
    return confusion_matrix(targets, predicted(probabilities), probabilities.shape[1])


def accuracy(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of rows whose largest probability is at the target; NaN without rows."""
    return float(accuracy_of(confusion_of(targets, probabilities)))


def macro_f1(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 over the classes that occur or are predicted."""
    return float(macro_f1_of(confusion_of(targets, probabilities)))


def balanced_accuracy(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    return float(balanced_accuracy_of(confusion_of(targets, probabilities)))


def row_nll(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood [N] of each row in nats."""
    at_target = np.asarray(probabilities, dtype=np.float64)[np.arange(len(targets)), targets]
    return -np.log(np.maximum(at_target, LOWEST))


def row_brier(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Brier score [N] of each row, summed over the classes, in [0, 2]."""
    errors = np.array(probabilities, dtype=np.float64)
    errors[np.arange(len(targets)), targets] -= 1.0
    return (errors**2).sum(axis=1)


def nll(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log-likelihood in nats; NaN without rows."""
    return float(row_nll(targets, probabilities).mean()) if len(targets) else float("nan")


def brier(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean Brier score; NaN without rows."""
    return float(row_brier(targets, probabilities).mean()) if len(targets) else float("nan")


def reliability_bins(targets: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """At most `bins` bins of about equal mass in rising confidence: `count`, mean `confidence` and `accuracy` of each."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not len(probabilities):
        return []
    order = np.argsort(probabilities.max(axis=1), kind="stable")
    confidence = probabilities.max(axis=1)[order]
    correct = (predicted(probabilities) == targets)[order]
    cuts = np.arange(1, bins) * len(order) // bins
    cuts = np.searchsorted(confidence, confidence[np.maximum(cuts - 1, 0)], side="right")
    edges = np.unique(np.concatenate([[0], cuts, [len(order)]]))
    return [
        {"count": int(b - a), "confidence": float(confidence[a:b].mean()), "accuracy": float(correct[a:b].mean())}
        for a, b in itertools.pairwise(edges)
    ]


def ece(targets: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy, bins weighted by their rows; NaN without rows."""
    table = reliability_bins(targets, probabilities, bins)
    total = sum(row["count"] for row in table)
    distances = (row["count"] * abs(row["confidence"] - row["accuracy"]) for row in table)
    return sum(distances) / total if total else float("nan")


def classification_scores(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The scores a training stage logs: accuracy, macro_f1, balanced_accuracy, nll, brier, ece."""
    confusion = confusion_of(targets, probabilities)
    return {
        "accuracy": float(accuracy_of(confusion)),
        "macro_f1": float(macro_f1_of(confusion)),
        "balanced_accuracy": float(balanced_accuracy_of(confusion)),
        "nll": nll(targets, probabilities),
        "brier": brier(targets, probabilities),
        "ece": ece(targets, probabilities),
    }

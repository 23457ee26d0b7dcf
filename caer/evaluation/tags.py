"""Metrics of tags (several may be true of a row) in plain NumPy.

Enters: truth [N, K] bool and probabilities [N, K]. Leaves: floats, or a value a row.

Conventions:
- Average precision of a tag is the sum over the distinct probabilities, from the highest, of precision times the gain in recall;
  rows of equal probability enter together, so that their order does not matter. It agrees with scikit-learn's, and is undefined
  (NaN) for a tag that no row has.
- mAP is the mean over the tags whose average precision is defined.
"""

import numpy as np

from caer.evaluation.metrics import LOWEST

MOST = 62
"""Tags that a target of 64 bits can hold."""


def many_hot(targets: np.ndarray, count: int) -> np.ndarray:
    """Whole numbers [N] with a bit for each tag -> [N, K] bool."""
    return (np.asarray(targets, dtype=np.int64)[:, None] >> np.arange(count)) & 1 == 1


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision of one tag: truth [N] bool, probabilities [N]."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-probabilities, kind="stable")
    hits, shown = np.cumsum(truth[order]), np.arange(1, len(order) + 1)
    last_of_equals = np.append(np.diff(probabilities[order]) != 0, True)
    precision, recall = (hits / shown)[last_of_equals], (hits / hits[-1])[last_of_equals]
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def average_precisions(truth: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Average precision of each tag [K]."""
    return [average_precision(truth[:, k], np.asarray(probabilities)[:, k]) for k in range(truth.shape[1])]


def mean_average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the tags that occur; NaN where none does."""
    known = [value for value in average_precisions(truth, probabilities) if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def micro_f1(truth: np.ndarray, chosen: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) over all tags and rows; NaN where no tag occurs or is answered."""
    total = truth.sum() + chosen.sum()
    return float(2 * (truth & chosen).sum() / total) if total else float("nan")


def exact(truth: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """[N] bool: rows that are right in every tag."""
    return (truth == chosen).all(axis=1)


def nll(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log-likelihood of a tag in nats."""
    at_truth = np.where(truth, probabilities, 1 - np.asarray(probabilities, dtype=np.float64))
    return float(-np.log(np.maximum(at_truth, LOWEST)).mean())

"""Temperature scaling (Guo et al., https://arxiv.org/abs/1706.04599): fitted on validation predictions, applied to others.

Enters: targets [N] int and probabilities [N, K] (their logarithms are the logits up to a constant). Leaves: a temperature,
rescaled probabilities, scores before and after. Where the validation rows themselves are evaluated, each row is rescaled by a
temperature that was fitted without its group (cross-fitting in 5 folds), so that no row judges itself.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from caer.evaluation import metrics

BOUNDS = (0.05, 20.0)
"""Range in which a temperature is sought."""

FOLDS = 5


def rescale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Softmax of log-probabilities [N, K] divided by a temperature (one, or one a row [N]); the predicted class stays."""
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), metrics.LOWEST))
    logits /= np.asarray(temperature, dtype=np.float64).reshape(-1, 1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the smallest NLL on these rows, within `BOUNDS`; 1 without rows."""
    if not len(targets):
        return 1.0

    def loss(log_temperature: float) -> float:
        return metrics.nll(targets, rescale(probabilities, np.exp(log_temperature)))

    fitted = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(fitted.x))


def cross_fitted(targets: np.ndarray, probabilities: np.ndarray, codes: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Temperature [N] of each row, fitted on the rows of other folds; groups (codes [N]) are never split."""
    fold = np.unique(codes, return_inverse=True)[1] % folds
    temperatures = np.ones(len(targets))
    for number in np.unique(fold):
        rest = fold != number
        temperatures[~rest] = fit_temperature(targets[rest], probabilities[rest])
    return temperatures


def calibration_scores(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, object]:
    """`nll`, `brier`, `ece` and the reliability `bins`."""
    return {
        "nll": metrics.nll(targets, probabilities),
        "brier": metrics.brier(targets, probabilities),
        "ece": metrics.ece(targets, probabilities),
        "bins": metrics.reliability_bins(targets, probabilities),
    }

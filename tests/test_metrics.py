"""Metrics against values computed by hand, and against scikit-learn where it has the same definition."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from caer.evaluation import metrics


def one_hot(predictions: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[predictions]


# truth 0 0 0 1 1 2, predicted 0 0 1 1 2 2 -> confusion [[2,1,0],[0,1,1],[0,0,1]]
TARGETS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = one_hot([0, 0, 1, 1, 2, 2], 3)


def test_confusion_has_truth_in_rows() -> None:
    confusion = metrics.confusion_matrix(TARGETS, metrics.predicted(PROBABILITIES), 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_hand_computed_scores() -> None:
    confusion = metrics.confusion_matrix(TARGETS, metrics.predicted(PROBABILITIES), 3)
    np.testing.assert_allclose(metrics.precision_of(confusion), [1, 1 / 2, 1 / 2])
    np.testing.assert_allclose(metrics.recall_of(confusion), [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(metrics.f1_of(confusion), [4 / 5, 1 / 2, 2 / 3])
    assert metrics.accuracy(TARGETS, PROBABILITIES) == pytest.approx(4 / 6)
    assert metrics.macro_f1(TARGETS, PROBABILITIES) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert metrics.balanced_accuracy(TARGETS, PROBABILITIES) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_undefined_is_nan_and_left_out_of_means() -> None:
    # Class 2 never occurs and is never predicted; class 1 occurs and is never predicted.
    targets, probabilities = np.array([0, 1]), one_hot([0, 0], 3)
    confusion = metrics.confusion_matrix(targets, metrics.predicted(probabilities), 3)
    assert np.isnan(metrics.precision_of(confusion)).tolist() == [False, True, True]
    assert np.isnan(metrics.recall_of(confusion)).tolist() == [False, False, True]
    np.testing.assert_allclose(metrics.f1_of(confusion), [2 / 3, 0, np.nan])
    assert metrics.macro_f1(targets, probabilities) == pytest.approx(1 / 3)
    assert metrics.balanced_accuracy(targets, probabilities) == pytest.approx(1 / 2)


def test_no_rows_give_nan_not_an_error() -> None:
    scores = metrics.classification_scores(np.zeros(0, dtype=int), np.zeros((0, 3)))
    assert all(math.isnan(value) for value in scores.values())


def test_agrees_with_scikit_learn_on_random_predictions() -> None:
    rng = np.random.default_rng(5)
    targets = rng.integers(0, 4, 200)
    probabilities = rng.dirichlet(np.ones(5), 200)  # class 4 is predicted but never occurs
    predictions = probabilities.argmax(1)
    assert metrics.macro_f1(targets, probabilities) == pytest.approx(sk.f1_score(targets, predictions, average="macro"))
    with pytest.warns(UserWarning, match="not in y_true"):
        expected = sk.balanced_accuracy_score(targets, predictions)
    assert metrics.balanced_accuracy(targets, probabilities) == pytest.approx(expected)
    assert metrics.nll(targets, probabilities) == pytest.approx(sk.log_loss(targets, probabilities, labels=range(5)))


def test_nll_and_brier_by_hand() -> None:
    targets, probabilities = np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]])
    assert metrics.nll(targets, probabilities) == pytest.approx((math.log(2) - math.log(0.8)) / 2)
    assert metrics.brier(targets, probabilities) == pytest.approx((0.5 + 0.08) / 2)
    assert metrics.brier(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(2.0)
    assert metrics.nll(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-math.log(1e-12))


def test_ece_by_hand() -> None:
    # Two bins: confidences 0.6 0.7 (one of two right), 0.9 1.0 (both right).
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [1.0, 0.0]])
    targets = np.array([0, 1, 0, 0])
    bins = metrics.reliability_bins(targets, probabilities, bins=2)
    assert [row["count"] for row in bins] == [2, 2]
    assert metrics.ece(targets, probabilities, bins=2) == pytest.approx((abs(0.65 - 0.5) + abs(0.95 - 1.0)) / 2)


def test_ece_bins_have_equal_mass_and_ignore_row_order() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 150)
    targets = rng.integers(0, 3, 150)
    assert [row["count"] for row in metrics.reliability_bins(targets, probabilities)] == [10] * 15
    tied = np.tile([0.7, 0.2, 0.1], (150, 1))
    assert len(metrics.reliability_bins(targets, tied)) == 1
    rounded = np.round(probabilities, 1)
    order = rng.permutation(150)
    assert metrics.ece(targets, rounded) == pytest.approx(metrics.ece(targets[order], rounded[order]), abs=1e-12)


def test_calibrated_predictions_have_small_ece() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), 20_000)
    targets = (rng.random((20_000, 1)) > probabilities.cumsum(1)).sum(1).clip(max=3)
    assert metrics.ece(targets, probabilities) < 0.02
    overconfident = probabilities**3 / (probabilities**3).sum(1, keepdims=True)
    assert metrics.ece(targets, overconfident) > 0.1

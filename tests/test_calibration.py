"""Temperature scaling finds a known temperature, and never lets a row judge itself."""

import numpy as np
import pytest

from caer.evaluation import calibration, metrics


def drawn(n: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets drawn from calibrated probabilities, and those probabilities made too sharp: logits times `sharpness`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    calibrated = calibration.rescale(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1.0)
    targets = (rng.random((n, 1)) > calibrated.cumsum(1)).sum(1).clip(max=3)
    return targets, calibration.rescale(calibrated, 1 / sharpness)


def test_temperature_one_changes_nothing_and_order_stays() -> None:
    _, probabilities = drawn(50, 1.0)
    np.testing.assert_allclose(calibration.rescale(probabilities, 1.0), probabilities, atol=1e-12)
    softened = calibration.rescale(probabilities, 3.0)
    np.testing.assert_allclose(softened.sum(1), 1)
    assert (softened.argmax(1) == probabilities.argmax(1)).all()
    assert (softened.max(1) <= probabilities.max(1) + 1e-12).all()


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 4.0])
def test_the_planted_temperature_is_found_and_heals_unseen_rows(sharpness: float) -> None:
    temperature = calibration.fit_temperature(*drawn(8000, sharpness, seed=1))
    assert temperature == pytest.approx(sharpness, rel=0.06)
    targets, probabilities = drawn(8000, sharpness, seed=2)
    healed = calibration.rescale(probabilities, temperature)
    assert metrics.nll(targets, healed) < metrics.nll(targets, probabilities)
    assert metrics.ece(targets, healed) < 0.03 < metrics.ece(targets, probabilities)


def test_certain_predictions_stay_within_the_bounds() -> None:
    always_right = calibration.fit_temperature(np.array([0, 1]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    always_wrong = calibration.fit_temperature(np.array([1, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert calibration.BOUNDS[0] <= always_right < 0.1
    assert 10 < always_wrong <= calibration.BOUNDS[1]
    assert calibration.fit_temperature(np.zeros(0, dtype=int), np.zeros((0, 2))) == 1.0


def test_cross_fitting_leaves_a_rows_own_group_out() -> None:
    targets, probabilities = drawn(200, 2.0)
    codes = np.repeat(np.arange(50), 4)
    before = calibration.cross_fitted(targets, probabilities, codes)
    assert all(len(np.unique(before[codes == g])) == 1 for g in range(50))
    # Whatever happens to a group's own targets, its temperature stays.
    changed = targets.copy()
    changed[codes == 7] = (changed[codes == 7] + 1) % 4
    after = calibration.cross_fitted(changed, probabilities, codes)
    same_fold = codes % calibration.FOLDS == 7 % calibration.FOLDS
    np.testing.assert_array_equal(after[same_fold], before[same_fold])
    assert (after[~same_fold] != before[~same_fold]).all()

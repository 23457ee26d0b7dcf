"""Intervals and p-values on made-up predictions: known by hand, by the binomial law, or by simulated coverage."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from caer.evaluation import metrics, statistics
from caer.evaluation.statistics import Plan


def singles(n: int) -> np.ndarray:
    return np.arange(n)


def test_interval_of_single_rows_is_the_binomial_one() -> None:
    # The bootstrap distribution of 80 right out of 100 is Binomial(100, 0.8) / 100 exactly.
    correct = np.repeat([1.0, 0.0], [80, 20])
    estimate = statistics.share(correct, singles(100), plan=Plan(draws=50_000))
    low, high = stats.binom.ppf([0.025, 0.975], 100, 0.8) / 100
    assert estimate.value == pytest.approx(0.8)
    assert estimate.low == pytest.approx(low, abs=0.0101)
    assert estimate.high == pytest.approx(high, abs=0.0101)


def test_groups_are_resampled_whole() -> None:
    # Ten copies of each row add no information: the interval must be that of the 100 groups, not of 1,000 rows.
    correct = np.repeat([1.0, 0.0], [80, 20])
    once = statistics.share(correct, singles(100))
    copied = statistics.share(np.repeat(correct, 10), np.repeat(singles(100), 10))
    assert (copied.low, copied.high) == (once.low, once.high)
    # Groups that are all alike (one right, one wrong) leave no doubt at all.
    alike = statistics.share(np.tile([1.0, 0.0], 50), np.repeat(np.arange(50), 2))
    assert (alike.value, alike.low, alike.high) == (0.5, 0.5, 0.5)


def test_no_error_seen_gives_the_exact_binomial_bound() -> None:
    estimate = statistics.share(np.ones(20), singles(20))
    assert estimate.low == pytest.approx(stats.beta.ppf(0.025, 20, 1))
    assert estimate.high == 1.0
    assert statistics.share(np.zeros(20), singles(20)).high == pytest.approx(stats.beta.ppf(0.975, 1, 20))


def test_too_little_data_gives_no_interval() -> None:
    assert statistics.share(np.array([1.0, 0.0]), np.array([0, 0])) == statistics.Estimate(0.5)
    empty = statistics.share(np.zeros(0), np.zeros(0, dtype=int)).to_json()
    assert empty == {"value": None, "low": None, "high": None}


def test_resampling_distinct_sums_equals_resampling_groups() -> None:
    rng = np.random.default_rng(3)
    sums = rng.integers(0, 3, (40, 2)).astype(float)
    fast = statistics.resample_sums(sums, Plan(draws=20_000))
    plain = sums[rng.integers(0, 40, (20_000, 40))].sum(axis=1)
    np.testing.assert_allclose(fast.mean(0), plain.mean(0), rtol=0.01)
    np.testing.assert_allclose(np.cov(fast.T), np.cov(plain.T), rtol=0.05, atol=0.5)


def test_coverage_of_the_group_bootstrap() -> None:
    # 60 groups of 5 rows whose accuracy differs between groups: intervals over rows would be too short.
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(60), 5)
    covered = []
    for _ in range(300):
        skill = rng.beta(2, 1, 60)  # mean 2/3
        correct = (rng.random(300) < skill[codes]).astype(float)
        estimate = statistics.share(correct, codes, Plan(draws=500, seed=int(rng.integers(1 << 30))))
        assert estimate.low is not None
        assert estimate.high is not None
        covered.append(estimate.low <= 2 / 3 <= estimate.high)
    assert 0.90 <= np.mean(covered) <= 0.985


def test_paired_difference_is_shorter_than_independent_ones() -> None:
    rng = np.random.default_rng(2)
    b = (rng.random(500) < 0.7).astype(float)
    a = b.copy()
    a[np.flatnonzero(b == 0)[:20]] = 1  # a is right on 20 rows more and wrong on none
    estimate = statistics.difference(a, b, singles(500), plan=Plan(draws=20_000))
    low, high = stats.binom.ppf([0.025, 0.975], 500, 0.04) / 500
    assert estimate.value == pytest.approx(0.04)
    assert estimate.low == pytest.approx(low, abs=0.0021)
    assert estimate.high == pytest.approx(high, abs=0.0021)
    same = statistics.difference(b, b, singles(500))
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_contrast_of_marked_rows() -> None:
    values, mark = np.array([3.0, 3, 1, 1]), np.array([True, True, False, False])
    estimate = statistics.contrast(values, mark, singles(4))
    assert estimate.value == pytest.approx(2)
    assert estimate.low == pytest.approx(2)  # draws without either kind are undefined and left out


def test_confusion_statistics_share_one_set_of_draws() -> None:
    rng = np.random.default_rng(4)
    targets, predictions = rng.integers(0, 3, 400), rng.integers(0, 3, 400)
    cells = np.eye(9)[targets * 3 + predictions]

    def statistic(sums: np.ndarray) -> np.ndarray:
        confusion = sums.reshape(*sums.shape[:-1], 3, 3)
        return np.concatenate([metrics.macro_f1_of(confusion)[..., None], metrics.recall_of(confusion)], axis=-1)

    macro, *recalls = statistics.bootstrap(cells, singles(400), statistic)
    assert macro.value == pytest.approx(metrics.macro_f1(targets, np.eye(3)[predictions]))
    assert len(recalls) == 3
    for estimate in (macro, *recalls):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high


def test_crossed_bootstrap_with_one_seed_equals_the_paired_one() -> None:
    rng = np.random.default_rng(6)
    a, b = (rng.random((2, 300)) < [[0.8], [0.7]]).astype(float)
    crossed = statistics.crossed_difference(a[None], b[None], singles(300), plan=Plan(draws=20_000))
    paired = statistics.difference(a, b, singles(300), plan=Plan(draws=20_000))
    assert crossed.value == pytest.approx(paired.value)
    assert crossed.low == pytest.approx(paired.low, abs=0.005)
    assert crossed.high == pytest.approx(paired.high, abs=0.005)


def test_crossed_bootstrap_sees_the_seeds() -> None:
    # Variant a gains 0, 10 or 20 points by seed, alike in every group: only the seeds vary, and with three of them a draw of
    # only one seed (1 in 27 each) lies just inside the 2.5% tails, so the interval reaches the smallest and the largest gain.
    codes = np.repeat(np.arange(50), 10)
    b = np.zeros((3, 500))
    a = np.stack([np.tile(np.repeat([1.0, 0.0], [k, 10 - k]), 50) for k in (0, 1, 2)])
    estimate = statistics.crossed_difference(a, b, codes)
    assert estimate.value == pytest.approx(0.1)
    assert (estimate.low, estimate.high) == pytest.approx((0.0, 0.2))


def test_crossed_bootstrap_takes_any_statistic_of_sums() -> None:
    rng = np.random.default_rng(8)
    targets = rng.integers(0, 2, 200)
    good, bad = targets.copy(), targets.copy()
    bad[:60] = 1 - bad[:60]
    cells = [np.eye(4)[targets * 2 + p][None].repeat(2, axis=0) for p in (good, bad)]
    estimate = statistics.crossed_difference(
        *cells, singles(200), statistic=lambda s: metrics.macro_f1_of(s.reshape(*s.shape[:-1], 2, 2))
    )
    assert estimate.value == pytest.approx(1 - metrics.macro_f1(targets, np.eye(2)[bad]))
    assert estimate.low is not None
    assert estimate.low > 0.2


def test_permutation_p_by_hand() -> None:
    five = np.arange(5)
    assert statistics.permutation_p(np.ones(5), np.zeros(5), five) == pytest.approx(2 / 32)
    # Differences +1 +1 +1 -1: of 16 sign patterns those with |sum| >= 2 are 2 (all alike) + 8 (one differs) = 10.
    assert statistics.permutation_p(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), five[:4]) == pytest.approx(10 / 16)
    assert statistics.permutation_p(np.ones(5), np.ones(5), five) == 1.0
    # Two rows of one group flip together: one unit, p = 1.
    assert statistics.permutation_p(np.ones(2), np.zeros(2), np.array([0, 0])) == 1.0


def test_permutation_p_of_many_rows_is_the_sign_test() -> None:
    # 30 rows for a, 12 for b, 200 alike: the permutation law is 2 Binomial(42, 1/2) - 42.
    a = np.repeat([1.0, 0.0, 1.0], [30, 12, 200])
    b = np.repeat([0.0, 1.0, 1.0], [30, 12, 200])
    exact = stats.binomtest(30, 42).pvalue
    assert statistics.permutation_p(a, b, singles(242), draws=50_000) == pytest.approx(exact, rel=0.1)


def test_permutation_averages_the_seeds_instead_of_pooling_them() -> None:
    a, b = np.ones((10, 3)), np.zeros((10, 3))
    assert statistics.permutation_p(a, b, singles(3)) == pytest.approx(2 / 8)


def test_permutation_p_keeps_its_level_under_the_null() -> None:
    rng = np.random.default_rng(9)
    p = [
        statistics.permutation_p(*(rng.random((2, 80)) < 0.6).astype(float), np.repeat(np.arange(40), 2), draws=400, seed=i)
        for i in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.09


def test_smallest_detectable_difference() -> None:
    gap = np.repeat([1.0, -1.0, 0.0], [30, 30, 940])
    zeros = np.zeros(1000)
    assert statistics.smallest_detectable(gap, zeros, singles(1000)) == pytest.approx(2.8016 * math.sqrt(0.06 / 1000), rel=1e-3)
    # Rows doubled within their groups promise nothing more.
    doubled = statistics.smallest_detectable(np.repeat(gap, 2), np.zeros(2000), np.repeat(singles(1000), 2))
    assert doubled == pytest.approx(statistics.smallest_detectable(gap, zeros, singles(1000)))


def test_seeds_that_disagree_raise_the_smallest_detectable_difference() -> None:
    gap = np.repeat([1.0, -1.0, 0.0], [30, 30, 940])
    other = np.roll(gap, 500)
    other[:20] = 1.0  # this seed gains 2 points more
    gaps, means = np.stack([gap, other]), np.array([gap.mean(), other.mean()])
    averaged = statistics.smallest_detectable(gaps.mean(axis=0), np.zeros(1000), singles(1000))
    seeds_part = 2.8016 * math.sqrt(means.var(ddof=1) / 2)
    both = statistics.smallest_detectable(gaps, np.zeros((2, 1000)), singles(1000))
    assert both == pytest.approx(math.hypot(averaged, seeds_part), rel=1e-4)


def test_sixty_thousand_rows_take_a_moment() -> None:
    rng = np.random.default_rng(1)
    cells = np.eye(49)[rng.integers(0, 49, 57_000)]
    begin = time.process_time()  # what else the machine does meanwhile does not count
    statistics.bootstrap(cells, np.arange(57_000) // 3, lambda s: metrics.recall_of(s.reshape(*s.shape[:-1], 7, 7)))
    assert time.process_time() - begin < 20

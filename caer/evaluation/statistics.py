"""Intervals and tests that respect how the rows hang together.

Enters: per-row values [N, M] whose *sums* determine a statistic (correct and 1 for accuracy, a one-hot confusion cell for F1),
and the group of each row (clip, person, photo), which is resampled as a whole. Leaves: `Estimate`s, p-values.

Conventions: percentile intervals at 95% from 2,000 seeded draws. A draw in which the statistic is undefined (a class without
rows) is left out. A share whose every row is right (or wrong) has no bootstrap variation: its interval is the exact binomial one
over the groups. With fewer than two groups there is no interval. Both sides of a difference see the same draws.

The group bootstrap needs only each group's sums, and equal groups are exchangeable: a resample of G groups is a multinomial draw
over the distinct sums, the same distribution at a fraction of the cost (60,000 rows and 2,000 draws in a second or two).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums [..., M] -> statistic [...] or [..., P]."""

_CELLS = 2**23
"""Largest number of cells of a draw matrix held at once."""


@dataclass(frozen=True)
class Plan:
    """How an interval is drawn: number of draws, level, seed."""

    draws: int = 2000
    level: float = 0.95
    seed: int = 20_250


PLAN = Plan()


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `low` and `high` are None where the data cannot give one."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """`{value, low, high}`; a value that is undefined becomes null."""
        return {key: None if value is None or math.isnan(value) else value for key, value in asdict(self).items()}


def group_codes(groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Codes [N] 0..G-1 of group names, in order of the sorted names."""
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]


def group_sums(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums [G, M] of rows [N, M] by group."""
    codes = np.unique(codes, return_inverse=True)[1]
    columns = np.asarray(values, dtype=float).T
    count = int(codes.max()) + 1 if len(codes) else 0
    return np.stack([np.bincount(codes, weights=column, minlength=count) for column in columns], axis=1)


def resample_sums(sums: np.ndarray, plan: Plan = PLAN) -> np.ndarray:
    """Total sums [draws, M] of resamples of the groups' sums [G, M] with replacement."""
    rng = np.random.default_rng(plan.seed)
    distinct, counts = np.unique(sums, axis=0, return_counts=True)
    rows = max(1, _CELLS // len(distinct))
    sizes = [min(rows, plan.draws - start) for start in range(0, plan.draws, rows)]
    return np.concatenate([rng.multinomial(len(sums), counts / len(sums), size=size) @ distinct for size in sizes])


def _percentiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles over the first axis, undefined draws left out; NaN where none is defined."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    columns = [column[~np.isnan(column)] for column in draws.reshape(len(draws), -1).T]
    pairs = [np.quantile(column, tails) if len(column) else np.full(2, np.nan) for column in columns]
    low, high = np.array(pairs).T.reshape(2, *draws.shape[1:])
    return low, high


def _estimate(value: float, low: float, high: float) -> Estimate:
    undefined = math.isnan(value) or math.isnan(low)
    return Estimate(float(value)) if undefined else Estimate(float(value), float(low), float(high))


def bootstrap(values: np.ndarray, codes: np.ndarray, statistic: Statistic, plan: Plan = PLAN) -> list[Estimate]:
    """Group-bootstrap estimates of a statistic of summed rows.

    Args:
        values: [N, M] per-row values.
        codes: [N] group codes.
        statistic: sums [..., M] -> [...] or [..., P]; all P share the same draws.
        plan: draws, level and seed.

    Returns:
        P estimates (one where the statistic is a single number).
    """
    sums = group_sums(values, codes)
    point = np.atleast_1d(statistic(sums.sum(axis=0)))
    if len(sums) < 2:
        return [Estimate(float(value)) for value in point]
    low, high = _percentiles(statistic(resample_sums(sums, plan)), plan.level)
    return [_estimate(*triple) for triple in zip(point, np.atleast_1d(low), np.atleast_1d(high), strict=True)]


def mean_of_sums(sums: np.ndarray) -> np.ndarray:
    """First of two summed columns over the second: the statistic of a share or a mean."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def exact_share(right: bool, groups: int, level: float = PLAN.level) -> Estimate:
    """Clopper-Pearson interval of a share of 1 (`right`) or 0, counting each group once."""
    bound = ((1 - level) / 2) ** (1 / groups)
    return Estimate(1.0, bound, 1.0) if right else Estimate(0.0, 0.0, 1 - bound)


def share(correct: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """Estimate of a mean of values [N] in [0, 1], such as accuracy; value NaN without rows."""
    correct = np.asarray(correct, dtype=float)
    if not len(correct):
        return Estimate(math.nan)
    if correct.min() == correct.max() and correct[0] in (0.0, 1.0):
        return exact_share(bool(correct[0]), len(np.unique(codes)), plan.level)
    return mean(correct, codes, plan)


def varied(estimate: Estimate) -> Estimate:
    """Without an interval where no draw differs: rows that are all right say nothing about how often the score would fall."""
    return Estimate(estimate.value) if estimate.low == estimate.high else estimate


def mean(values: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """Estimate of the mean of values [N]; value NaN without rows."""
    if not len(values):
        return Estimate(math.nan)
    return bootstrap(np.stack([values, np.ones(len(values))], axis=1), codes, mean_of_sums, plan)[0]


def difference(a: np.ndarray, b: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """Paired difference mean(a) - mean(b) of values [N] on the same rows."""
    return mean(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), codes, plan)


def contrast(values: np.ndarray, mark: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """Difference mean(marked rows) - mean(the others) of values [N]; marked and others are resampled together."""
    mark = np.asarray(mark, dtype=float)
    columns = np.stack([values * mark, mark, values * (1 - mark), 1 - mark], axis=1)
    return bootstrap(columns, codes, lambda sums: mean_of_sums(sums[..., :2]) - mean_of_sums(sums[..., 2:]), plan)[0]


def crossed(values: np.ndarray, codes: np.ndarray, statistic: Statistic, plan: Plan = PLAN) -> list[Estimate]:
    """Estimates of a mean over training seeds, by a bootstrap over groups and seeds at once.

    With few seeds (3) the seed part is coarse: such an interval screens, it does not prove.

    Args:
        values: [S, N, M] per-row values of each seed; every seed sees the same resampled groups.
        codes: [N] group codes.
        statistic: sums [..., M] -> [..., P].
        plan: draws, level and seed.

    Returns:
        P estimates, each the mean over the seeds of the statistic.
    """
    seeds, _, columns = values.shape
    sums = group_sums(np.concatenate([*values], axis=1), codes)

    def per_seed(totals: np.ndarray) -> np.ndarray:
        return statistic(totals.reshape(*totals.shape[:-1], seeds, columns))

    point = per_seed(sums.sum(axis=0)).mean(axis=0)
    if len(sums) < 2:
        return [Estimate(float(value)) for value in point]
    rng = np.random.default_rng(plan.seed + 1)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=plan.draws) / seeds
    low, high = _percentiles((per_seed(resample_sums(sums, plan)) * weights[..., None]).sum(axis=1), plan.level)
    return [_estimate(*triple) for triple in zip(point, low, high, strict=True)]


def crossed_difference(
    a: np.ndarray, b: np.ndarray, codes: np.ndarray, statistic: Statistic = mean_of_sums, plan: Plan = PLAN
) -> Estimate:
    """Difference of two variants, each trained with several seeds: `crossed` with the same draws of groups and seeds for both.

    Args:
        a: [S, N] correctness, or [S, N, M] per-row values for `statistic`.
        b: the same of the other variant; seeds and rows in the same order.
        codes: [N] group codes.
        statistic: sums [..., M] -> [...].
        plan: draws, level and seed.

    Returns:
        The mean over the seeds of statistic(a) - statistic(b), with its interval.
    """
    first, second = _with_columns(a), _with_columns(b)
    columns = first.shape[2]

    def gap(sums: np.ndarray) -> np.ndarray:
        return (statistic(sums[..., :columns]) - statistic(sums[..., columns:]))[..., None]

    return crossed(np.concatenate([first, second], axis=2), codes, gap, plan)[0]


def _with_columns(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return values if values.ndim == 3 else np.stack([values, np.ones_like(values)], axis=2)


def permutation_p(a: np.ndarray, b: np.ndarray, codes: np.ndarray, draws: int = 10_000, seed: int = PLAN.seed) -> float:
    """Two-sided p of a paired permutation test: each group's difference may change its sign.

    Exact by enumeration up to 16 groups that differ at all, else from seeded random signs; p is then at least 1 / (draws + 1).

    Args:
        a: [N] correctness, or [S, N] over seeds, averaged over the seeds first (pooling them would be pseudo-replication).
        b: the same of the other variant.
        codes: [N] group codes.
        draws: random sign patterns where there are too many to enumerate.
        seed: of those patterns.
    """
    gap = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    sums = group_sums((gap.mean(axis=0) if gap.ndim == 2 else gap)[:, None], codes)[:, 0]
    observed = abs(sums.sum()) - 1e-9
    sizes = np.abs(sums[np.abs(sums) > 1e-12]).round(12)
    if len(sizes) <= 16:
        signs = 1 - 2 * ((np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1)
        return float((np.abs(signs @ sizes) >= observed).mean())
    distinct, counts = np.unique(sizes, return_counts=True)
    flips = np.random.default_rng(seed).binomial(counts, 0.5, size=(draws, len(distinct)))
    reached = np.abs((2 * flips - counts) @ distinct) >= observed
    return float((1 + reached.sum()) / (1 + draws))


def smallest_detectable(a: np.ndarray, b: np.ndarray, codes: np.ndarray, power: float = 0.8, level: float = PLAN.level) -> float:
    """Smallest true difference mean(a) - mean(b) that paired rows like these would show with the given power; NaN below 2 groups.

    It is (z_level + z_power) standard errors of the paired difference, with groups as units: with 1,000 single rows of which 6%
    differ in correctness, 2.8 sqrt(0.06 / 1000) = 2.2 points. With several seeds the rows are averaged over them, and the
    variance of the seeds' differences, over their number, is added.

    Args:
        a: [N] correctness, or [S, N] over seeds.
        b: the same of the other variant.
        codes: [N] group codes.
        power: chance to find a difference of that size.
        level: of the two-sided test that finds it.
    """
    gap = np.atleast_2d(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))
    sums = group_sums(np.stack([gap.mean(axis=0), np.ones(gap.shape[1])], axis=1), codes)
    groups = len(sums)
    if groups < 2:
        return math.nan
    rows = sums[:, 1].sum()
    residual = sums[:, 0] - sums[:, 1] * sums[:, 0].sum() / rows
    variance = (residual**2).sum() * groups / (groups - 1) / rows**2
    if len(gap) > 1:
        variance += gap.mean(axis=1).var(ddof=1) / len(gap)
    return float((stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)) * math.sqrt(variance))

"""What an order of rows is worth: area under the ROC curve, risk against coverage, each with a group-bootstrap interval.

Enters: a number per row to order them by, a 0/1 mark per row, the group of each row. Leaves: plain numbers, `Estimate`s.

Conventions:
- AUC is the probability that a marked row has a higher score than an unmarked one; equal scores count half. Undefined (NaN)
  without rows of both kinds. 0.5 is what a score gives that says nothing.
- The risk at coverage c is the error rate among the share c of the rows with the highest confidence. Rows of equal confidence
  stand in random order and their expected error counts, so the order of rows does not matter.
- The area under it (AURC, https://arxiv.org/abs/1705.08500) is the mean risk over the coverages 1/n, 2/n, ..., 1; lower is
  better. A confidence that says nothing gives the error rate itself.
- Intervals resample groups as `caer.evaluation.statistics` does; there is none where no draw differs from another.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from caer.evaluation.statistics import PLAN, Estimate, Plan

_CELLS = 2**22
"""Largest number of weights held at once."""

WeightStatistic = Callable[[np.ndarray], np.ndarray]
"""Row weights [D, N] -> statistic [D]."""


def auc(scores: np.ndarray, marks: np.ndarray) -> float:
    """Area under the ROC curve of scores [N] for marks [N] (true: should be high)."""
    return float(_auc_of_weights(scores, marks)(np.ones((1, len(scores))))[0])


def auc_estimate(scores: np.ndarray, marks: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """`auc` with its interval; codes [N] are group codes."""
    return _estimate(_auc_of_weights(scores, marks), codes, plan)


def aurc(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """Area under the risk-coverage curve of confidences [N] and errors [N] (0 or 1); NaN without rows."""
    return float(_aurc_of_weights(confidence, wrong)(np.ones((1, len(confidence))))[0])


def aurc_estimate(confidence: np.ndarray, wrong: np.ndarray, codes: np.ndarray, plan: Plan = PLAN) -> Estimate:
    """`aurc` with its interval; codes [N] are group codes."""
    return _estimate(_aurc_of_weights(confidence, wrong), codes, plan)


def risk_at(confidence: np.ndarray, wrong: np.ndarray, coverages: Sequence[float]) -> list[float]:
    """Risk at coverages in (0, 1]; a coverage that falls within a row counts that row in part."""
    _, sizes, errors = _blocks(-np.asarray(confidence, dtype=float), np.asarray(wrong, dtype=float))
    rows = np.concatenate([[0.0], np.cumsum(sizes)])
    wanted = np.asarray(coverages, dtype=float) * rows[-1]
    return [float(value) for value in np.interp(wanted, rows, np.concatenate([[0.0], np.cumsum(errors)])) / wanted]


def _blocks(values: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row its place among the distinct values, rising; and per distinct value the rows and the marked rows."""
    place = np.unique(values, return_inverse=True)[1].reshape(-1)
    return place, np.bincount(place).astype(float), np.bincount(place, weights=marks)


def _by_block(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that sums weights [D, N] over rows of equal value, in rising order of the values: [D, B]."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 0)
    return lambda weights: np.add.reduceat(weights[:, order], starts, axis=1)


def _auc_of_weights(scores: np.ndarray, marks: np.ndarray) -> WeightStatistic:
    scores, marks = np.asarray(scores, dtype=float), np.asarray(marks, dtype=bool)
    assert not np.isnan(scores).any(), "a score is NaN"
    summed = _by_block(scores)

    def statistic(weights: np.ndarray) -> np.ndarray:
        marked, others = summed(weights * marks), summed(weights * ~marks)
        below = np.cumsum(others, axis=1) - others / 2
        pairs = marked.sum(axis=1) * others.sum(axis=1)
        return np.divide((marked * below).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)

    return statistic if len(scores) else _undefined


def _aurc_of_weights(confidence: np.ndarray, wrong: np.ndarray) -> WeightStatistic:
    """Within a block of n equal confidences, after W rows with E errors, the expected risk at row W + j is (E + j r) / (W + j).

    With r the block's error rate, its sum over j = 1..n is n r + (E - W r) (H(W + n) - H(W)) with harmonic numbers H.
    """
    confidence, wrong = np.asarray(confidence, dtype=float), np.asarray(wrong, dtype=float)
    summed = _by_block(-confidence)

    def statistic(weights: np.ndarray) -> np.ndarray:
        sizes, errors = summed(weights), summed(weights * wrong)
        rows = np.cumsum(sizes, axis=1).astype(int)
        before, mistakes = rows - sizes.astype(int), np.cumsum(errors, axis=1) - errors
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, rows[:, -1].max() + 1))])
        rate = np.divide(errors, sizes, out=np.zeros_like(errors), where=sizes > 0)
        risks = errors + (mistakes - before * rate) * (harmonic[rows] - harmonic[before])
        return risks.sum(axis=1) / rows[:, -1]

    return statistic if len(confidence) else _undefined


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)


def _estimate(statistic: WeightStatistic, codes: np.ndarray, plan: Plan) -> Estimate:
    codes = np.unique(codes, return_inverse=True)[1]
    value = float(statistic(np.ones((1, len(codes))))[0])
    if math.isnan(value) or codes.max() == 0:
        return Estimate(value)
    draws = np.concatenate([statistic(weights) for weights in _resampled(codes, plan)])
    low, high = np.quantile(draws[~np.isnan(draws)], [(1 - plan.level) / 2, (1 + plan.level) / 2])
    return Estimate(value) if low == high else Estimate(value, float(low), float(high))


def _resampled(codes: np.ndarray, plan: Plan) -> Iterator[np.ndarray]:
    """Weights [D, N] of the rows in resamples of whole groups, a part of the draws at a time."""
    rng, groups = np.random.default_rng(plan.seed), int(codes.max()) + 1
    step = max(1, _CELLS // len(codes))
    for start in range(0, plan.draws, step):
        size = min(step, plan.draws - start)
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size=size)[:, codes].astype(float)

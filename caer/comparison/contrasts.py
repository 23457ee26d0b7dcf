"""Differences between two variants, paired by row and by seed.

Enters: `Answers` and declared pairs. Leaves: `Contrast`s: differences a - b with crossed bootstrap intervals, p by a paired
permutation of groups on seed-averaged correctness, Holm's correction over all declared pairs, the smallest detectable
difference. McNemar's test of each seed is a description only: pooling seeds would be pseudo-replication.

Only seeds that both variants have take part; the others are named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from caer.comparison.answers import Answers
from caer.comparison.scores import cells
from caer.evaluation import metrics, statistics
from caer.evaluation.statistics import PLAN, Estimate, Plan, Statistic
from preprocessing.errors import UserError, unknown_name

CONFUSION_METRICS: dict[str, Statistic] = {
    "accuracy": metrics.accuracy_of,
    "macro_f1": metrics.macro_f1_of,
    "balanced_accuracy": metrics.balanced_accuracy_of,
}
ROW_METRICS = {"nll": metrics.row_nll, "brier": metrics.row_brier}
METRICS = (*CONFUSION_METRICS, *ROW_METRICS)
"""Scores whose differences have an interval; of the last two, lower is better."""


@dataclass(frozen=True)
class Pair:
    """A declared contrast: a - b on one task; `metric` is the score that it is about."""

    name: str
    a: str
    b: str
    task: str
    metric: str = "accuracy"


@dataclass(frozen=True)
class Contrast:
    """What the rows say about a declared pair.

    Attributes:
        pair: as declared.
        seeds: those of both variants.
        left_out: seeds that only one of them has.
        differences: a - b by metric, the mean over the seeds with its interval.
        p: two-sided, of the seed-averaged correctness; Holm's correction over the report's contrasts in `holm`.
        holm: the corrected p.
        discordant: share of rows that one gets right and the other wrong, averaged over the seeds.
        smallest_detectable: true difference in accuracy that four of five such samples would show.
        mcnemar: exact p of each seed alone.
    """

    pair: Pair
    seeds: list[int]
    left_out: list[int]
    differences: dict[str, Estimate]
    p: float
    holm: float
    discordant: float
    smallest_detectable: float
    mcnemar: dict[int, float]


def contrasts(tasks: Mapping[str, Answers], pairs: Iterable[Pair]) -> list[Contrast]:
    """Every declared pair, p-values corrected together.

    Raises:
        UserError: a task or variant is unknown, or a pair has no seed in common.
    """
    found = [_contrast(tasks, pair) for pair in pairs]
    if not found:
        return []
    corrected = multipletests([contrast.p for contrast in found], method="holm")[1]
    return [replace(contrast, holm=float(p)) for contrast, p in zip(found, corrected, strict=True)]


def difference(answers: Answers, a: str, b: str, metric: str = "accuracy", plan: Plan = PLAN) -> Estimate:
    """Difference a - b in one of `METRICS` over the seeds that both have.

    Raises:
        UserError: an unknown variant or metric, or no seed in common.
    """
    seeds = common_seeds(answers, a, b)
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if metric in CONFUSION_METRICS:
        statistic = CONFUSION_METRICS[metric]
        first, second = (cells(answers, variant, seeds) for variant in (a, b))
        return statistics.crossed_difference(first, second, answers.codes, lambda sums: statistic(metrics.from_cells(sums)), plan)
    a_rows, b_rows = (
        np.stack([ROW_METRICS[metric](answers.targets, p) for p in answers.stacked(variant, seeds)]) for variant in (a, b)
    )
    return statistics.crossed_difference(a_rows, b_rows, answers.codes, plan=plan)


def common_seeds(answers: Answers, a: str, b: str) -> list[int]:
    """Seeds of both variants.

    Raises:
        UserError: an unknown variant, or none in common.
    """
    for variant in (a, b):
        if variant not in answers.probabilities:
            raise unknown_name("variant", variant, answers.variants)
    if seeds := answers.seeds(a, b):
        return seeds
    raise UserError(
        f"{a} (seeds {shown_seeds(answers.seeds(a))}) and {b} (seeds {shown_seeds(answers.seeds(b))}) have no seed in common; "
        f"expected at least one: a difference is paired by seed"
    )


def shown_seeds(seeds: Iterable[int]) -> str:
    """`17, 18, 19`."""
    return ", ".join(map(str, seeds))


def _contrast(tasks: Mapping[str, Answers], pair: Pair) -> Contrast:
    if pair.task not in tasks:
        raise unknown_name("task", pair.task, tasks)
    answers, a, b = tasks[pair.task], pair.a, pair.b
    seeds = common_seeds(answers, a, b)
    right, other = answers.correct(a, seeds), answers.correct(b, seeds)
    unscaled = answers.unscaled & {a, b}
    p = statistics.permutation_p(right, other, answers.codes)
    return Contrast(
        pair=pair,
        seeds=seeds,
        left_out=sorted((set(answers.seeds(a)) | set(answers.seeds(b))) - set(seeds)),
        differences={m: difference(answers, a, b, m) for m in METRICS if not (unscaled and m in ROW_METRICS)},
        p=p,
        holm=p,
        discordant=float((right != other).mean()),
        smallest_detectable=statistics.smallest_detectable(right, other, answers.codes),
        mcnemar={seed: _mcnemar(*both) for seed, *both in zip(seeds, right, other, strict=True)},
    )


def _mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Exact p of the discordant rows; 1 where there are none."""
    table = metrics.confusion_matrix(a, b, 2)
    return float(mcnemar(table, exact=True).pvalue) if table[0, 1] + table[1, 0] else 1.0

"""Scores of each variant: every seed's, their mean and standard deviation, and intervals over rows and seeds.

Enters: `Answers`. Leaves: a `VariantScores` each. The mean is over a variant's own seeds; SD is the sample one (n - 1), undefined
with a single seed. An interval covers both the choice of rows and that of seeds (`statistics.crossed`).
"""

import math
from dataclasses import dataclass

import numpy as np

from caer.comparison.answers import Answers
from caer.evaluation import metrics, statistics
from caer.evaluation.statistics import Estimate

RATES = ("accuracy", "macro_f1", "balanced_accuracy")
"""Scores of the answered class, in [0, 1]; higher is better."""

CALIBRATION = ("ece", "nll", "brier")
"""Scores of the probabilities; lower is better."""

SCORES = (*RATES, *CALIBRATION)


@dataclass(frozen=True)
class VariantScores:
    """How one variant did.

    Attributes:
        by_seed: by seed, each of `SCORES`; calibration is NaN for answers without probabilities.
        mean: over the seeds.
        sd: over the seeds, NaN with one.
        intervals: of `RATES`.
        class_f1: F1 of each class with its interval, K entries.
        confusion: counts [K, K] summed over the seeds, truth in rows.
        bins: reliability bins of all seeds' answers together, empty without probabilities.
    """

    by_seed: dict[int, dict[str, float]]
    mean: dict[str, float]
    sd: dict[str, float]
    intervals: dict[str, Estimate]
    class_f1: list[Estimate]
    confusion: np.ndarray
    bins: list[dict[str, float]]


def score(answers: Answers, variant: str) -> VariantScores:
    """Score one variant over all of its seeds."""
    seeds, unscaled = answers.seeds(variant), variant in answers.unscaled
    by_seed = {seed: _seed_scores(answers, variant, seed) for seed in seeds}
    stacked = answers.stacked(variant, seeds)
    estimates = [*map(statistics.varied, statistics.crossed(cells(answers, variant, seeds), answers.codes, _rates_and_f1))]
    flat = stacked.reshape(-1, len(answers.classes))
    return VariantScores(
        by_seed=by_seed,
        mean={name: float(np.mean([row[name] for row in by_seed.values()])) for name in SCORES},
        sd={name: _sd([row[name] for row in by_seed.values()]) for name in SCORES},
        intervals=dict(zip(RATES, [_accuracy(answers, estimates[0]), *estimates[1 : len(RATES)]], strict=True)),
        class_f1=estimates[len(RATES) :],
        confusion=np.sum([confusion(answers, variant, seed) for seed in seeds], axis=0),
        bins=[] if unscaled else metrics.reliability_bins(np.tile(answers.targets, len(seeds)), flat),
    )


def _seed_scores(answers: Answers, variant: str, seed: int) -> dict[str, float]:
    scores = metrics.classification_scores(answers.targets, answers.probabilities[variant][seed])
    return {**scores, **dict.fromkeys(CALIBRATION, math.nan)} if variant in answers.unscaled else scores


def _accuracy(answers: Answers, crossed: Estimate) -> Estimate:
    """The crossed estimate; the exact bound where every answer of every seed is right, or wrong."""
    exact = crossed.low is None and crossed.value in (0.0, 1.0)
    return statistics.exact_share(crossed.value == 1.0, len(np.unique(answers.codes))) if exact else crossed


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def confusion(answers: Answers, variant: str, seed: int) -> np.ndarray:
    """Counts [K, K] of one seed, truth in rows."""
    return metrics.confusion_matrix(answers.targets, answers.predicted(variant, seed), len(answers.classes))


def cells(answers: Answers, variant: str, seeds: list[int]) -> np.ndarray:
    """One-hot confusion cells [S, N, K * K] of a variant's answers."""
    return metrics.confusion_cells(answers.targets, answers.stacked(variant, seeds).argmax(axis=2), len(answers.classes))


def _rates_and_f1(sums: np.ndarray) -> np.ndarray:
    matrices = metrics.from_cells(sums)
    rates = [f(matrices) for f in (metrics.accuracy_of, metrics.macro_f1_of, metrics.balanced_accuracy_of)]
    return np.concatenate([np.stack(rates, axis=-1), metrics.f1_of(matrices)], axis=-1)

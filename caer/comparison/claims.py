"""Claims with their margins, judged by where the interval of a difference lies.

Enters: `Answers` and a claim (a beats b by more than a margin; or a and b differ by less than a margin). Leaves: a `Verdict`.

`greater`: supported where the whole 95% interval lies above the margin, contradicted where it lies below, else undecided.
`equivalent`: two one-sided tests at 5% each (Schuirmann 1987, https://doi.org/10.1007/BF01068419), that is by the 90% interval:
supported where it lies within -margin..margin, contradicted where it lies wholly outside, else undecided.
Where no draw differs from another, the bootstrap's interval is a point, and a handful of equal answers would prove anything:
of accuracy the exact binomial bound over the groups is taken instead, of other scores nothing is decided.
Fewer than five seeds screen; they do not carry a claim.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from caer.comparison.answers import Answers
from caer.comparison.contrasts import common_seeds, difference
from caer.evaluation.statistics import Estimate, Plan, exact_share
from preprocessing.errors import unknown_name

Kind = Literal["greater", "equivalent"]
Word = Literal["supported", "contradicted", "undecided"]

ENOUGH_SEEDS = 5
"""A claim needs as many; below, the verdict is a screening."""

LEVELS: dict[Kind, float] = {"greater": 0.95, "equivalent": 0.90}
"""Level of the interval that decides; both leave 5% or less to error on the side that matters."""


@dataclass(frozen=True)
class Verdict:
    """What the rows say about a claim.

    Attributes:
        word: supported, contradicted or undecided.
        screening: there are fewer than five seeds.
        difference: a - b with the interval that decided.
        level: of that interval.
        seeds: those that took part.
    """

    word: Word
    screening: bool
    difference: Estimate
    level: float
    seeds: list[int]

    def __str__(self) -> str:
        return f"{self.word} (screening)" if self.screening else self.word


def judge(answers: Answers, a: str, b: str, margin: float, kind: Kind = "greater", metric: str = "accuracy") -> Verdict:
    """Judge a claim on one task.

    Args:
        answers: of the variants to the same rows.
        a: the variant that is claimed to be better, or not to differ.
        b: the one it is compared with.
        margin: in units of the metric (0.01 is a point of accuracy).
        kind: `greater` or `equivalent`.
        metric: one of `contrasts.METRICS`.

    Raises:
        UserError: an unknown variant, metric or kind; no seed in common.
    """
    if kind not in LEVELS:
        raise unknown_name("kind of claim", kind, get_args(Kind))
    seeds = common_seeds(answers, a, b)
    level = LEVELS[kind]
    gap = _never_a_point(difference(answers, a, b, metric, Plan(level=level)), metric, answers.codes, level)
    return Verdict(verdict(gap, margin, kind), len(seeds) < ENOUGH_SEEDS, gap, level, seeds)


def _never_a_point(gap: Estimate, metric: str, codes: np.ndarray, level: float) -> Estimate:
    if gap.low is None or gap.high is None or gap.high - gap.low > 1e-12:
        return gap
    if metric != "accuracy":
        return Estimate(gap.value)
    room = exact_share(False, len(np.unique(codes)), level).high
    assert room is not None
    return Estimate(gap.value, max(-1.0, gap.value - room), min(1.0, gap.value + room))


def verdict(gap: Estimate, margin: float, kind: Kind = "greater") -> Word:
    """Where an interval lies against a margin; without one nothing is decided, and touching the margin is not crossing."""
    if gap.low is None or gap.high is None:
        return "undecided"
    if kind == "greater":
        return "supported" if gap.low > margin else "contradicted" if gap.high < margin else "undecided"
    if -margin < gap.low and gap.high < margin:
        return "supported"
    return "contradicted" if gap.low > margin or gap.high < -margin else "undecided"

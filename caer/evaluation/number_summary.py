"""Scores of a number's predictions for `metrics.json`.

Enters: `NumberRows`. Leaves: plain JSON values in the unit of the number; `caer.evaluation.numbers` says what each score means.
"""

import math
from typing import Any

import numpy as np

from caer.evaluation import numbers, statistics
from caer.evaluation.judged import NumberRows
from caer.evaluation.statistics import Estimate

Json = dict[str, Any]


def number_summary(task: NumberRows) -> Json:
    """A number's entry in `metrics.json`; `by_prior` scores the answer that does not look, the median of the training rows."""
    every = np.ones(len(task.targets), bool)
    return {
        "type": "regression",
        "kind": "number",
        "unit": task.unit,
        "range": list(task.range),
        "rows": {"all": number_scores(task, every), "detected": number_scores(task, task.detected)},
        "by_prior": _estimates(np.full(len(task.targets), task.prior), task.targets, task.codes),
        "branches": _branches(task),
        "subgroups": {},
    }


def number_scores(task: NumberRows, rows: np.ndarray) -> Json:
    """Errors of chosen rows [N] bool, with the number of rows, of those whose number is known, and of groups.

    `mae` is over the known numbers, `mae_to_midpoint` and `inside` over the others; `bias` is the mean of answer minus midpoint.
    """
    known = int(numbers.known(task.targets[rows]).sum())
    result: Json = {"n": int(rows.sum()), "known": known, "groups": len(np.unique(task.codes[rows]))}
    return result | _estimates(task.answers[rows], task.targets[rows], task.codes[rows])


def _estimates(answers: np.ndarray, targets: np.ndarray, codes: np.ndarray) -> Json:
    exact, away = numbers.known(targets), numbers.distances(targets, answers)
    errors = answers - targets.mean(axis=1)
    estimates = {
        "mae": statistics.mean(np.abs(errors[exact]), codes[exact]),
        "mae_to_midpoint": statistics.mean(np.abs(errors[~exact]), codes[~exact]),
        "distance": statistics.mean(away, codes),
        "inside": statistics.share(away[~exact] == 0, codes[~exact]),
        "bias": statistics.mean(errors, codes),
    }
    return {name: estimate.to_json() for name, estimate in estimates.items()}


def _branches(task: NumberRows) -> Json | None:
    """Distances of both branches and of the run, and the paired differences; None for a run of one branch."""
    if set(task.branches) != {"face", "context"}:
        return None
    away = {name: numbers.distances(task.targets, answers) for name, answers in task.branches.items()}
    fused = numbers.distances(task.targets, task.answers)
    result = {name: statistics.mean(values, task.codes).to_json() for name, values in (away | {"fused": fused}).items()}
    gaps: dict[str, Estimate] = {name: statistics.difference(fused, values, task.codes) for name, values in away.items()}
    return result | {"fused_minus": {name: gap.to_json() for name, gap in gaps.items()}}


def main_score(scores: Json) -> tuple[str, Json]:
    """Name and estimate of the score to show first: MAE where at least half of the numbers are known, else to the midpoint."""
    every = int(scores["n"])
    known = int(scores.get("known", every))  # older evaluations do not say
    first = scores["mae"]["value"] is not None and 2 * known >= every
    name = "mae" if first else "mae_to_midpoint"
    return name, scores[name]


def in_unit(estimate: Json, unit: str, signed: bool = False) -> str:
    """`5.2 [5.0, 5.4] years`."""
    sign = "+" if signed else ""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None or math.isnan(value):
        return "undefined"
    ends = "" if low is None else f" [{low:{sign}.1f}, {high:{sign}.1f}]"
    return f"{value:{sign}.1f}{ends} {unit}".rstrip()

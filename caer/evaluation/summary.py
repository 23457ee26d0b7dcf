"""Prediction tables to the numbers of `metrics.json`; reads nothing else.

Enters: `Predictions` of the judged split and, for the temperature and for naming the better branch, of val. Leaves: plain JSON
values; an estimate is `{value, low, high}` with a 95% group-bootstrap interval (null where it cannot be given).
"""

import math
from typing import Any

import numpy as np

from caer.evaluation import calibration, metrics, ordered, statistics
from caer.evaluation.judged import JudgedRows, NumberRows, TagRows, judged_rows
from caer.evaluation.number_summary import number_scores, number_summary
from caer.evaluation.predictions import Predictions, TaskRows, task_rows
from caer.evaluation.statistics import Estimate
from caer.evaluation.tag_summary import tag_scores, tag_summary
from gating.gate_stats import context_share, summarize_gates

Json = dict[str, Any]


def summarize(predictions: Predictions, val: Predictions | None) -> dict[str, Json]:
    """Scores of every task; `val` is None where the split has no val rows beside it, and the same object where val is judged."""
    result = {}
    for name in predictions.kinds:
        task = judged_rows(predictions, name)
        if not len(task.rows):
            continue
        if isinstance(task, NumberRows):
            result[name] = number_summary(task)
        elif isinstance(task, TagRows):
            result[name] = tag_summary(task)
        else:
            on_val = None if val is None else task_rows(val, name)
            result[name] = _task(task, on_val, in_sample=val is predictions)
    return result


def judged_scores(task: JudgedRows, rows: np.ndarray) -> Json:
    """The main scores of chosen rows [N] bool of a task of any kind, with the number of rows and of groups."""
    if isinstance(task, NumberRows):
        return number_scores(task, rows)
    return tag_scores(task, rows) if isinstance(task, TagRows) else scores(task, rows)


def _task(task: TaskRows, val: TaskRows | None, in_sample: bool) -> Json:
    every = np.ones(len(task.targets), bool)
    return {
        "type": "ordinal" if task.kind == "ordered" else "classification",
        "kind": task.kind,
        "classes": task.classes,
        "rows": {"all": scores(task, every), "detected": scores(task, task.detected)},
        "per_class": per_class(task),
        "confusion": metrics.confusion_matrix(task.targets, task.probabilities.argmax(1), len(task.classes)).tolist(),
        "branches": compare_branches(task, val),
        "calibration": calibrate(task, val, in_sample),
        "gates": gates(task),
        "subgroups": {},
    }


def _cells(task: TaskRows, rows: np.ndarray) -> np.ndarray:
    """One-hot confusion cell [N, K * K] of each chosen row."""
    return metrics.confusion_cells(task.targets[rows], task.probabilities[rows].argmax(1), len(task.classes))


def scores(task: TaskRows, rows: np.ndarray) -> Json:
    """Accuracy, macro-F1 and balanced accuracy of chosen rows [N] bool, with the number of rows and of groups.

    Ordered classes also have the share of answers at most one class off, and quadratic kappa.
    """
    of_confusion = {"macro_f1": metrics.macro_f1_of, "balanced_accuracy": metrics.balanced_accuracy_of}
    shares = {"accuracy": task.correct()}
    if task.kind == "ordered":
        of_confusion |= {"quadratic_kappa": ordered.quadratic_kappa_of}
        shares |= {"within_one": ordered.near(task.targets, task.probabilities)}
    names = (*shares, *of_confusion)
    result: Json = {"n": int(rows.sum()), "groups": len(np.unique(task.codes[rows]))}
    if not rows.any():
        return result | {name: Estimate(math.nan).to_json() for name in names}

    def statistic(sums: np.ndarray) -> np.ndarray:
        confusion = metrics.from_cells(sums)
        return np.stack([score(confusion) for score in of_confusion.values()], axis=-1)

    others = statistics.bootstrap(_cells(task, rows), task.codes[rows], statistic)
    of_rows = [statistics.share(right[rows], task.codes[rows]) for right in shares.values()]
    estimates = [*of_rows, *map(statistics.varied, others)]
    return result | {name: estimate.to_json() for name, estimate in zip(names, estimates, strict=True)}


def per_class(task: TaskRows) -> list[Json]:
    """Support, number predicted, and precision, recall and F1 of each class."""

    def statistic(sums: np.ndarray) -> np.ndarray:
        confusion = metrics.from_cells(sums)
        return np.concatenate([f(confusion) for f in (metrics.precision_of, metrics.recall_of, metrics.f1_of)], axis=-1)

    estimates = statistics.bootstrap(_cells(task, np.ones(len(task.targets), bool)), task.codes, statistic)
    predicted, count = task.probabilities.argmax(1), len(task.classes)
    rows = []
    for k, name in enumerate(task.classes):
        precision, recall, f1 = estimates[k::count]
        rows.append(
            {
                "class": name,
                "support": int((task.targets == k).sum()),
                "predicted": int((predicted == k).sum()),
                "precision": _closed(precision, task.codes[predicted == k]).to_json(),
                "recall": _closed(recall, task.codes[task.targets == k]).to_json(),
                "f1": statistics.varied(f1).to_json(),
            }
        )
    return rows


def _closed(estimate: Estimate, codes: np.ndarray) -> Estimate:
    """The exact interval for a share of 0 or 1, which the bootstrap cannot give."""
    if estimate.value in (0.0, 1.0) and estimate.low == estimate.high:
        return statistics.exact_share(estimate.value == 1.0, len(np.unique(codes)))
    return estimate


def compare_branches(task: TaskRows, val: TaskRows | None) -> Json | None:
    """Accuracies of the branches and the fusion side by side; None for a run of one branch.

    `better` is the branch with the higher accuracy on val (never chosen on the judged rows, unless they are val). A face branch
    answers rows without a face with the class prior, as a face-only run does.
    """
    if set(task.branches) != {"face", "context"}:
        return None
    better = _better_branch(val if val is not None else task)
    result: Json = {"better": better, "chosen_on": "val" if val is not None else "the judged rows"}
    for name, rows in {"all": np.ones(len(task.targets), bool), "detected": task.detected}.items():
        result[name] = _side_by_side(task, rows, better)
    return result


def _better_branch(task: TaskRows) -> str:
    means = {branch: task.correct(task.branches[branch]).mean() for branch in ("face", "context") if branch in task.branches}
    return max(means, key=lambda branch: means[branch]) if means else "face"


def _side_by_side(task: TaskRows, rows: np.ndarray, better: str) -> Json:
    codes = task.codes[rows]
    right = {name: task.correct(p)[rows] for name, p in task.branches.items()} | {"fused": task.correct()[rows]}
    result: Json = {"n": int(rows.sum()), "groups": len(np.unique(codes))}
    result |= {name: statistics.share(values, codes).to_json() for name, values in right.items()}
    if not rows.any():
        return result
    differences = {branch: statistics.difference(right["fused"], right[branch], codes) for branch in ("face", "context")}
    return result | {
        "fused_minus": {branch: estimate.to_json() for branch, estimate in differences.items()},
        "p_better": statistics.permutation_p(right["fused"], right[better], codes),
        "discordant": float((right["fused"] != right[better]).mean()),
        "smallest_detectable": _number(statistics.smallest_detectable(right["fused"], right[better], codes)),
    }


def calibrate(task: TaskRows, val: TaskRows | None, in_sample: bool) -> Json:
    """Calibration before and after the temperature of the val rows; rows answered by the class prior take no part in either."""
    looked = task.answered_by != "prior"
    targets, before, codes = task.targets[looked], task.probabilities[looked], task.codes[looked]
    result: Json = {"n": int(looked.sum()), "before": _numbers(calibration.calibration_scores(targets, before))}
    if val is None or not (val.answered_by != "prior").any() or not looked.any():
        return result | {"temperature": None, "fitted_on": None, "after": None}
    fit = val.answered_by != "prior"
    temperature = calibration.fit_temperature(val.targets[fit], val.probabilities[fit])
    applied: float | np.ndarray = calibration.cross_fitted(targets, before, codes) if in_sample else temperature
    return result | {
        "temperature": temperature,
        "fitted_on": "val, cross-fitted over groups" if in_sample else "val",
        "after": _numbers(calibration.calibration_scores(targets, calibration.rescale(before, applied))),
    }


def gates(task: TaskRows) -> Json | None:
    """Gates by true class and by source, over the rows where both branches were looked at; None without gates."""
    if task.gates is None:
        return None
    both = (task.answered_by == "model") & ~np.isnan(task.gates).any(axis=1)
    if not both.any():
        return None
    names = np.array(task.classes)[task.targets]
    by_class = {row["group"]: row for row in summarize_gates(task.gates[both], names[both].tolist())}
    order = [name for name in (*task.classes, "all") if name in by_class]
    for name in order:
        rows = both if name == "all" else both & (names == name)
        by_class[name]["context_share"] = gate_share(task, rows).to_json()
    sources = summarize_gates(task.gates[both], task.rows["source"][both].tolist())
    return {"n": int(both.sum()), "by_class": [by_class[name] for name in order], "by_source": [_numbers(row) for row in sources]}


def gate_share(task: TaskRows, rows: np.ndarray) -> Estimate:
    """Mean g_c / (g_f + g_c) of chosen rows [N] bool."""
    assert task.gates is not None
    shares = context_share(task.gates[rows])
    known = ~np.isnan(shares)
    return statistics.mean(shares[known], task.codes[rows][known])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _numbers(row: Json) -> Json:
    return {key: _number(value) if isinstance(value, float) else value for key, value in row.items()}

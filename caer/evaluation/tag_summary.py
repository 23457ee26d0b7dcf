"""Scores of predicted tags for `metrics.json`.

Enters: `TagRows`. Leaves: plain JSON values; `caer.evaluation.tags` says what each score means.
"""

import math
from typing import Any

import numpy as np

from caer.evaluation import statistics, tags
from caer.evaluation.judged import TagRows
from caer.evaluation.statistics import PLAN, Estimate

Json = dict[str, Any]
DRAWS = 200
"""Resamples of mAP, which has to be sorted anew in each: fewer than those of scores that are sums."""


def tag_summary(task: TagRows) -> Json:
    """The entry of a task of kind `tags` in `metrics.json`."""
    every = np.ones(len(task.truth), bool)
    return {
        "type": "multilabel",
        "kind": "tags",
        "classes": task.classes,
        "rows": {"all": tag_scores(task, every), "detected": tag_scores(task, task.detected)},
        "per_tag": _per_tag(task),
        "subgroups": {},
    }


def tag_scores(task: TagRows, rows: np.ndarray) -> Json:
    """mAP, micro-F1 and the share of rows right in every tag, of chosen rows [N] bool."""
    result: Json = {"n": int(rows.sum()), "groups": len(np.unique(task.codes[rows]))}
    truth, chosen, codes = task.truth[rows], task.chosen[rows], task.codes[rows]
    if not rows.any():
        return result | {name: Estimate(math.nan).to_json() for name in ("map", "micro_f1", "exact")}
    cells = np.stack([2 * (truth & chosen).sum(axis=1), truth.sum(axis=1) + chosen.sum(axis=1)], axis=1)
    estimates = {
        "map": _map(truth, task.probabilities[rows], codes),
        "micro_f1": statistics.varied(statistics.bootstrap(cells, codes, statistics.mean_of_sums)[0]),
        "exact": statistics.share(tags.exact(truth, chosen), codes),
    }
    return result | {name: estimate.to_json() for name, estimate in estimates.items()}


def _map(truth: np.ndarray, probabilities: np.ndarray, codes: np.ndarray) -> Estimate:
    value = tags.mean_average_precision(truth, probabilities)
    groups = np.unique(codes, return_inverse=True)[1]
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    rng = np.random.default_rng(PLAN.seed)
    draws = []
    for _ in range(DRAWS if len(members) > 1 else 0):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        draws.append(tags.mean_average_precision(truth[rows], probabilities[rows]))
    known = np.array(draws)[~np.isnan(draws)] if draws else np.zeros(0)
    if not len(known) or math.isnan(value):
        return Estimate(value)
    low, high = np.quantile(known, [(1 - PLAN.level) / 2, (1 + PLAN.level) / 2])
    return statistics.varied(Estimate(value, float(low), float(high)))


def _per_tag(task: TagRows) -> list[Json]:
    """Support, number answered and average precision of each tag (null where no row has it)."""
    scores = tags.average_precisions(task.truth, task.probabilities)
    return [
        {
            "class": name,
            "support": int(task.truth[:, k].sum()),
            "predicted": int(task.chosen[:, k].sum()),
            "average_precision": None if math.isnan(scores[k]) else scores[k],
        }
        for k, name in enumerate(task.classes)
    ]

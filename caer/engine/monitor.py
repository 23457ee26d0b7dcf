"""The score that picks the best epoch: whether it can have a value at all is known before the first one.

Enters: an experiment, its tasks, and the rows of a stage. Leaves: one line for each part of the score that has no value.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from caer.config import Config
from caer.data.targets import is_labelled, targets_of
from caer.engine.optim import best_epoch
from caer.evaluation import numbers
from caer.tasks import Task
from preprocessing.errors import UserError


def monitor_key(config: Config) -> str:
    """Where a history row holds the monitor: `val/TASK/METRIC` or `val/loss`."""
    return f"val/{config.monitor.metric}"


def stalled(scores: list[float], mode: str) -> int:
    """Epochs since the best score."""
    return len(scores) - 1 - best_epoch(scores, mode)


def check_monitor(config: Config, tasks: Mapping[str, Task]) -> None:
    """Raise `UserError` unless the monitor is one of the scores that training computes."""
    monitor = config.monitor
    known = {"loss": True}
    for name, task in tasks.items():
        known |= {f"{name}/{metric}": metric in {"loss", *task.smaller_is_better} for metric in ("loss", *task.metric_names)}
    for metric in monitor.of or [monitor.metric]:
        if metric not in known:
            raise UserError(f"monitor.metric {metric!r} is unknown; known: {', '.join(known)}")
        if known[metric] and monitor.mode == "max":
            raise UserError(f"monitor: {metric!r} is better when smaller; set monitor.mode: min")
        if monitor.of and not known[metric] and monitor.mode == "min":
            raise UserError(f"monitor.of: {metric!r} is better when larger, and monitor.mode is min; average what goes one way")


def scores_without_value(
    config: Config, tasks: Mapping[str, Task], val_rows: pd.DataFrame, untrained: Collection[str]
) -> dict[str, str]:
    """By monitored score that these rows give no value, or none worth choosing by, the reason.

    Args:
        config: the experiment, its monitor checked.
        tasks: by name.
        val_rows: the stage's validation rows.
        untrained: tasks that no training row is labelled for.

    Raises:
        UserError: that is so of every monitored score.
    """
    monitored = config.monitor.of or [config.monitor.metric]
    reasons = {metric: _reason(metric, tasks, val_rows, untrained) for metric in monitored}
    lacking = {metric: reason for metric, reason in reasons.items() if reason}
    if len(lacking) == len(monitored):
        metric, reason = next(iter(lacking.items()))
        raise UserError(f"monitor {metric!r} has no value: {reason}")
    return lacking


def _reason(metric: str, tasks: Mapping[str, Task], val_rows: pd.DataFrame, untrained: Collection[str]) -> str:
    if metric == "loss":
        every = [_reason(f"{name}/loss", tasks, val_rows, untrained) for name in tasks]
        return every[0] if all(every) else ""
    name, _, score = metric.rpartition("/")
    if name in untrained:
        return f"no training row is labelled for task {name!r}; monitor another score"
    targets = targets_of(val_rows, name)
    known = targets[is_labelled(targets)]
    if not len(known):
        return f"no validation row is labelled for task {name!r}; monitor another score"
    return _undefined(score, known, name)


def _undefined(score: str, targets: np.ndarray, name: str) -> str:
    """Why the labelled targets of a task do not define a score; empty where they do."""
    if score in ("mae", "rmse") and not numbers.known(targets).any():
        return f"val has intervals only, no number that is known; monitor {name}/closeness"
    if score in ("inside", "mae_to_midpoint") and numbers.known(targets).all():
        return f"val has known numbers only, no interval; monitor {name}/mae"
    if score in ("map", "micro_f1") and not (targets > 0).any():
        return f"no tag occurs in val; monitor {name}/nll"
    if score == "quadratic_kappa" and len(np.unique(targets)) == 1:
        return f"val is of one class; monitor {name}/accuracy"
    return ""

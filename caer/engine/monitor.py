"""The score that picks the best epoch: whether it can have a value at all is known before the first one.

Enters: an experiment, its tasks, and the rows of a stage. Leaves: one line for each part of the score that has no value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from caer.config import Config
from caer.data.targets import is_labelled, targets_of
from caer.engine.optim import best_epoch
from caer.tasks import Task
from preprocessing.errors import UserError

UNDEFINED = {
    "number": "of its validation rows no number is known, only intervals; monitor {name}/closeness",
    "tags": "no tag occurs among its validation rows; monitor {name}/nll",
    "ordered": "its validation rows are of one class; monitor {name}/accuracy",
}
"""By kind of task, why a score can be undefined whatever is answered."""


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
    config: Config, tasks: Mapping[str, Task], val_rows: pd.DataFrame, counts: Mapping[str, Sequence[Any]]
) -> dict[str, str]:
    """By monitored score that no answer can give a value, the reason.

    Args:
        config: the experiment, its monitor checked.
        tasks: by name.
        val_rows: the stage's validation rows.
        counts: by task what is remembered of its training rows (`Task.count`).

    Raises:
        UserError: no monitored score can have a value.
    """
    monitored = config.monitor.of or [config.monitor.metric]
    reasons = {metric: _reason(metric, tasks, val_rows, counts) for metric in monitored}
    lacking = {metric: reason for metric, reason in reasons.items() if reason}
    if len(lacking) == len(monitored):
        metric, reason = next(iter(lacking.items()))
        raise UserError(f"{config.name}: monitor {metric!r} has no value: {reason}")
    return lacking


def _reason(metric: str, tasks: Mapping[str, Task], val_rows: pd.DataFrame, counts: Mapping[str, Sequence[Any]]) -> str:
    if metric == "loss":
        every = [_reason(f"{name}/loss", tasks, val_rows, counts) for name in tasks]
        return every[0] if all(every) else ""
    name, _, score = metric.rpartition("/")
    targets = targets_of(val_rows, name)
    known = targets[is_labelled(targets)]
    for rows, split in ((any(counts[name]), "training"), (len(known), "validation")):
        if not rows:
            return f"no {split} row is labelled for task {name!r}; monitor another score"
    answers = np.tile(tasks[name].prior(counts[name]), (len(known), 1))
    defined = score == "loss" or not np.isnan(tasks[name].metrics(known, answers)[score])
    return "" if defined else UNDEFINED[tasks[name].kind].format(name=name)

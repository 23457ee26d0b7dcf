"""What `compare-tasks` trains, checked before hours of training: one network for all tasks, and one for each.

Enters: a config of a `multitask` model and the split to judge. Leaves: a `NetworksPlan`, or the error that would come
later.
"""

from dataclasses import dataclass

from caer.config import Config
from caer.data.rows import Rows
from caer.data.targets import is_labelled, targets_of
from caer.engine.run import check_stage
from caer.evaluation.evaluate import check_split, without_rejected
from caer.tasks import build_tasks
from preprocessing.errors import UserError
from preprocessing.settings import validate


@dataclass(frozen=True)
class NetworksPlan:
    """The networks to compare.

    Attributes:
        together: the experiment as it is.
        alone: by task the experiment with that task alone.
        left_out: by optional task why it is not compared.
    """

    together: Config
    alone: dict[str, Config]
    left_out: dict[str, str]


def plan_networks(config: Config, split: str) -> NetworksPlan:
    """The networks of a comparison, each of which can be trained and judged as far as that can be known before.

    Raises:
        UserError: no multi-task model, fewer than two tasks to compare, a split, rows or settings that do not allow it, or a run
            folder that other settings filled.
    """
    _check_kind(config)
    check_split(split)
    rows = Rows(config, build_tasks(config))
    left_out = _left_out(rows, split)
    alone = {name: single_task(config, name) for name in config.tasks if name not in left_out}
    if len(alone) < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UserError(f"{config.name}: fewer than two tasks can be compared ({reasons}); give rows that are labelled for them")
    for each in (config, *alone.values()):
        try:
            for stage in sorted(each.stages):
                check_stage(each, stage)
        except UserError as error:
            raise UserError(f"network {each.name}: {error}") from None
    return NetworksPlan(config, alone, left_out)


def _check_kind(config: Config) -> None:
    if config.model.type != "multitask" or len(config.tasks) < 2:
        raise UserError(f"{config.name}: one network is compared with n for a model of type multitask with two tasks or more")
    if config.data.balanced_sampling:
        raise UserError(
            f"{config.name}: data.balanced_sampling draws the classes of the first task equally often, and in each network of "
            f"its own those of another task, so that the networks would differ in more than their tasks; set it to false"
        )
    if config.uses_holdout:
        raise UserError(
            f"{config.name}: `data: holdout` would hold out other rows in each network of its own, whose tasks not all rows are "
            f"labelled for; train on `data: train`"
        )


def _left_out(rows: Rows, split: str) -> dict[str, str]:
    """By optional task which rows it lacks: to train on, to choose an epoch by, or to be judged on."""
    parts = [("train", rows.training("face", "train")), ("val", rows.validation("face"))]
    parts.append((split, without_rejected(rows.split(split))[0]))
    found: dict[str, str] = {}
    for name, task in rows.tasks.items():
        lacking = [part for part, table in parts if not is_labelled(targets_of(table, name)).any()]
        if lacking and not task.config.optional:
            raise UserError(
                f"{rows.config.name}: no usable row of {lacking[0]} is labelled for task {name!r}, which needs a network of its "
                f"own; give such rows, or compare without it: tasks.{name}.optional=true"
            )
        if lacking:
            found[name] = f"no usable row of {lacking[0]} is labelled for it"
    return found


def single_task(config: Config, task: str) -> Config:
    """The experiment with one of its tasks alone: the same network, data and schedule.

    Raises:
        UserError: the task's name does not fit into a run's.
    """
    monitor = config.monitor
    mine = [metric for metric in monitor.of or [monitor.metric] if metric.startswith(f"{task}/")]
    own = {"metric": mine[0], "mode": monitor.mode} if mine else {"metric": "loss", "mode": "min"}
    changes = {"name": f"{config.name}_only_{task}", "tasks": {task: config.tasks[task]}, "monitor": own}
    return validate(Config, config.model_dump() | changes, f"{config.name}, task {task!r} alone")

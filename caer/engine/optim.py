"""Optimizers and learning rates of a stage.

The learning rate is a function of the epoch's number, of the updates so far and of the monitor's values so far, never of a
scheduler's hidden state: a resumed run computes the same one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from caer.config import Optimizer as OptimizerConfig
from caer.config import Schedule, Stage
from caer.engine.sam import SAM
from preprocessing.errors import UserError

_CLASSES: dict[str, type[Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def build_optimizer(parameters: Mapping[str, nn.Parameter], stage: Stage) -> Optimizer:
    """The optimizer of a stage over its trainable parameters.

    Each group keeps its configured rate as `initial_lr`; `set_learning_rates` derives `lr` from it.

    Args:
        parameters: the trainable ones by name.
        stage: its settings.

    Raises:
        UserError: a group's pattern matches none of them.
    """
    groups = _groups(parameters, stage)
    settings = stage.optimizer
    name = settings.base if settings.type == "sam" else settings.type
    if settings.type == "sam":
        options: dict[str, Any] = {"rho": settings.rho, "adaptive": settings.adaptive, "interval": settings.interval}
        return SAM(groups, _CLASSES[name], **options, **_options(name, settings))
    return _CLASSES[name](groups, **_options(name, settings))


def _options(name: str, settings: OptimizerConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if name == "sgd":
        options |= {"momentum": settings.momentum, "nesterov": settings.nesterov}
    return options


def _groups(parameters: Mapping[str, nn.Parameter], stage: Stage) -> list[dict[str, Any]]:
    left = dict(parameters)
    groups = []
    for group in stage.groups:
        names = match(group.pattern, left, "groups")
        groups.append({"params": [left.pop(name) for name in names], "lr": group.lr, "initial_lr": group.lr})
    if left:
        groups.append({"params": list(left.values()), "lr": stage.optimizer.lr, "initial_lr": stage.optimizer.lr})
    return groups if stage.optimizer.decay_vectors else [part for group in groups for part in _vectors_apart(group)]


def _vectors_apart(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group as two, of which the second holds the biases, scales and shifts, and has no weight decay."""
    matrices, vectors = [p for p in group["params"] if p.ndim > 1], [p for p in group["params"] if p.ndim <= 1]
    parts = [group | {"params": matrices}, group | {"params": vectors, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def match(pattern: str, names: Mapping[str, Any], where: str) -> list[str]:
    """Names that a pattern matches in full.

    Raises:
        UserError: not a regular expression, or it matches none; the message lists the parts there are.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{where}: {pattern!r} is not a regular expression ({error})") from None
    found = [name for name in names if compiled.fullmatch(name)]
    if not found:
        parts = sorted({".".join(name.split(".")[: 3 if ".heads." in name else 2]) for name in names})
        raise UserError(f"{where}: pattern {pattern!r} matches no parameter in full; the parts are {', '.join(parts) or 'none'}")
    return found


def set_learning_rates(
    optimizer: Optimizer, stage: Stage, epoch: int, scores: Sequence[float], mode: str, updates: int = 0
) -> None:
    """Set every group's rate, given the epoch (from 0), the monitor's values of the epochs before it, and the updates so far."""
    warmup = stage.head_warmup
    risen = min(1.0, (updates + 1) / (stage.schedule.warmup + 1))
    for group in optimizer.param_groups:
        if warmup is not None and epoch < warmup.epochs:
            group["lr"] = risen * warmup.lr
        else:
            skipped = warmup.epochs if warmup is not None else 0
            epochs = stage.epochs - skipped
            base, since = group["initial_lr"], scores[skipped:]
            group["lr"] = risen * rate(stage.schedule, base, epoch - skipped, epochs, scores=since, mode=mode, updates=updates)


def rate(
    schedule: Schedule, base: float, epoch: int, epochs: int, *, scores: Sequence[float], mode: str, updates: int = 0
) -> float:
    """Learning rate of one epoch; of one update with `decay`.

    Args:
        schedule: its settings.
        base: the configured rate.
        epoch: from 0.
        epochs: how many there are in all.
        scores: the monitor's values of the epochs before; only `plateau` looks at them.
        mode: `max` or `min`, which of them is better.
        updates: optimizer steps since the stage's start; only `decay` looks at them.
    """
    floor = min(schedule.min_lr, base)
    if schedule.type == "cosine":
        return floor + (base - floor) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    if schedule.type == "step":
        return max(base * schedule.gamma ** (epoch // schedule.step_size), floor)
    if schedule.type == "plateau":
        return max(base * schedule.gamma ** plateaus(scores, schedule.patience, mode), floor)
    if schedule.type == "decay":
        return max(base * schedule.gamma ** (updates // schedule.every), floor)
    return base


def plateaus(scores: Sequence[float], patience: int, mode: str) -> int:
    """How often more than `patience` epochs in a row brought no new best value; the count starts anew each time."""
    best, waited, found = None, 0, 0
    for score in scores:
        if best is None or better(score, best, mode):
            best, waited = score, 0
        else:
            waited += 1
        if waited > patience:
            found, waited = found + 1, 0
    return found


def better(score: float, than: float, mode: str) -> bool:
    """Whether a score beats another; a tie does not, and NaN never does."""
    return score > than if mode == "max" else score < than


def best_epoch(scores: Sequence[float], mode: str) -> int:
    """Index of the best score, the earliest among equals."""
    best = 0
    for epoch, score in enumerate(scores):
        if better(score, scores[best], mode):
            best = epoch
    return best

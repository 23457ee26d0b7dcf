"""What tasks with named classes share: the declared names, targets as indices, weights against imbalance.

Class weights "effective": Cui et al. 2019, https://arxiv.org/abs/1901.05555.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from caer.evaluation import metrics
from caer.tasks.base import Task, TaskConfig, place
from preprocessing.errors import UserError
from preprocessing.labels import number_of, text_of


class ClassNames(TaskConfig):
    """Settings of every task with named classes."""

    classes: list[str] = Field(min_length=2)
    """The declared classes; a target is an index into this list."""
    weight: float = Field(1.0, gt=0)

    @field_validator("classes", mode="before")
    @classmethod
    def _as_strings(cls, classes: object) -> object:
        # YAML reads 0, 1 as integers; manifests hold strings.
        if not isinstance(classes, list):
            return classes
        if any(isinstance(c, bool) for c in classes):
            raise ValueError("YAML reads yes, no, on, off, true and false as booleans; put such classes in quotes")
        return [text_of(c) if isinstance(c, int | float) else c for c in classes]

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) != len(classes):
            raise ValueError("the classes are not distinct")
        return classes


class OneOfClasses(ClassNames):
    """Settings of a task whose answer is one of the classes."""

    class_weights: Literal["none", "inverse", "effective"] = "none"
    """Weigh a sample's loss by its class: by inverse frequency, or by the effective number of samples; mean 1 over an epoch.
    What counts is what an epoch draws: a source's weight and `data.balanced_sampling` are in it."""
    effective_beta: float = Field(0.999, gt=0, lt=1)
    edges: list[float] = []
    """Rising numbers that cut a numeric annotation (years) into the classes: class k from edge k to below edge k + 1."""
    outside: Literal["error", "missing"] = "error"
    """What a number below the first or from the last edge on is."""

    @model_validator(mode="after")
    def _edges_fit(self) -> Self:
        if self.edges and (len(self.edges) != len(self.classes) + 1 or sorted(set(self.edges)) != self.edges):
            raise ValueError(f"`edges`: {len(self.classes)} classes need {len(self.classes) + 1} rising numbers")
        return self


def encode_each(series: pd.Series, missing: float, read: Callable[[int, str], int]) -> np.ndarray:
    """Annotations -> targets [N] int64: what `read(row, text)` makes of each, `missing` where there is none."""
    targets = np.full(len(series), missing, dtype=np.int64)
    for row, value in enumerate(series.tolist()):
        if not (pd.isna(value) or value == ""):
            targets[row] = read(row, text_of(value) if isinstance(value, int | float) else str(value))
    return targets


class ClassTask(Task):
    """One of K classes: everything but the loss and what the logits mean."""

    missing = -1
    config: OneOfClasses

    def __init__(self, name: str, config: OneOfClasses) -> None:
        super().__init__(name, config)
        self.classes = list(config.classes)
        self._weights: Tensor | None = None

    def fit(self, targets: np.ndarray, draws: np.ndarray) -> None:
        """Turn what an epoch draws of each class into weights of mean 1 over an epoch."""
        kind = self.config.class_weights
        if kind == "none":
            return
        counts = np.bincount(targets, draws, len(self.classes))
        seen = counts > 0
        beta = self.config.effective_beta
        rarity = counts if kind == "inverse" else (1 - beta**counts) / (1 - beta)
        weights = np.divide(1.0, rarity, out=np.zeros_like(counts), where=seen)
        total = (weights * counts).sum()
        self._weights = torch.tensor(weights * counts.sum() / total if total else weights, dtype=torch.float32)

    def weighted(self, losses: Tensor, targets: Tensor) -> Tensor:
        """Losses [B] times the weight of each row's class."""
        return losses if self._weights is None else losses * self._weights.to(losses.device)[targets]

    def count(self, targets: np.ndarray) -> list[int]:
        """Rows of each class [K]."""
        return [int(n) for n in np.bincount(targets, minlength=len(self.classes))]

    def prior(self, counts: Sequence[Any]) -> list[float]:
        """Class shares [K]; equal ones without counts."""
        shares = np.asarray(counts, dtype=float)
        if shares.shape != (len(self.classes),) or not shares.sum():
            shares = np.ones(len(self.classes))
        return (shares / shares.sum()).tolist()

    def check(self, targets: np.ndarray, where: str) -> None:
        """At least two of the classes have to occur."""
        found = [self.classes[int(t)] for t in np.unique(targets)]
        if len(found) < 2:
            names = ", ".join(sorted(found)) or "none"
            raise UserError(f"{where}: task {self.name!r} needs at least two classes among its rows; found {names}")

    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Class names -> indices [N] int64, -1 where there is none; see `Task.encode`."""
        index = {name: i for i, name in enumerate(self.classes)}

        def read(row: int, name: str) -> int:
            if self.config.edges:
                return self._between(name, series, row, where)
            if name not in index:
                raise UserError(
                    f"{where}: {place(series, row)} has {self.column} = {name!r}; task {self.name!r} declares "
                    f"{', '.join(self.classes)}"
                )
            return index[name]

        return encode_each(series, self.missing, read)

    def _between(self, text: str, series: pd.Series, row: int, where: str) -> int:
        """The class whose edges enclose the number of a row."""
        edges = self.config.edges
        try:
            k = int(np.searchsorted(edges, number_of(text), side="right")) - 1
        except ValueError:
            at = f"{where}: {place(series, row)}"
            raise UserError(f"{at} has {self.column} = {text!r}; task {self.name!r} with `edges` reads numbers") from None
        if 0 <= k < len(self.classes):
            return k
        if self.config.outside == "missing":
            return int(self.missing)
        raise UserError(
            f"{where}: {place(series, row)} has {self.column} = {text}; task {self.name!r} has edges from {edges[0]:g} to below "
            f"{edges[-1]:g}; widen them or set tasks.{self.name}.outside: missing"
        )

    def decode(self, probabilities: np.ndarray) -> list[str]:
        """The likeliest class of each row of [B, K]."""
        return [self.classes[i] for i in metrics.predicted(probabilities)]

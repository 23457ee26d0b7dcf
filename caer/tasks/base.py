"""The contract of a task: its column, its head, its loss per sample, its decoding, its metrics."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from preprocessing.settings import StrictModel


class TaskConfig(StrictModel):
    """What every task type has; its own `Config` adds to it."""

    type: str
    column: str | None = None
    """Name of the annotation; the task's own name where not given."""
    weight: float = 1.0
    """Share of its loss in the total."""


class Task(ABC):
    """One thing to predict.

    Attributes:
        name: key in every dict by task.
        config: its settings.
        column: the annotation it reads (`label_<column>` in a manifest).
        out_dim: width of its logits.
        metric_names: keys that `metrics` returns; each can be monitored.
        missing: the encoded target of a row without annotation.
    """

    out_dim: int
    metric_names: tuple[str, ...]
    missing: float = -1

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config = config
        self.column: str = config.column or name
        self.weight: float = config.weight

    def head(self, in_dim: int) -> nn.Module:
        """A classifier from pooled features [B, in_dim] to logits [B, out_dim]."""
        return nn.Linear(in_dim, self.out_dim)

    def fit(self, counts: np.ndarray) -> None:
        """Take what the loss needs from the training rows: the count of each class."""
        del counts

    @abstractmethod
    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Annotations -> targets [N]; `missing` where a row has none.

        Args:
            series: annotations as the manifest gives them.
            where: the file, for errors.

        Raises:
            UserError: an annotation the task does not declare, with file and row.
        """

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample [B] float32, unreduced, without the task's weight; only labelled rows enter."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [B, out_dim] -> probabilities of the same shape, float32."""

    @abstractmethod
    def decode(self, probabilities: np.ndarray) -> list[Any]:
        """Probabilities [B, out_dim] -> the answer of each sample in the words of its annotation."""

    @abstractmethod
    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Scores over labelled rows: targets [N] and probabilities [N, out_dim]."""

"""The contract of a task: its columns, its head, its loss per sample, its decoding, its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from torch import Tensor, nn

from preprocessing.errors import UserError
from preprocessing.settings import StrictModel

Kind = Literal["classes", "ordered", "tags", "number"]
"""What a task's answer is, and so how predictions are stored and judged: one of K classes; one of K classes with an order; any of
K tags; a number."""


def place(annotations: pd.Series | pd.DataFrame, row: int) -> str:
    """`row 3 (a.jpg)`, for errors: rows count from 0; the photo is named where the index holds photos."""
    photo = annotations.index[row]
    return f"row {row} ({photo})" if isinstance(photo, str) else f"row {row}"


class TaskConfig(StrictModel):
    """What every task type has; its own `Config` adds to it."""

    type: str
    column: str | None = None
    """Name of the annotation; the task's own name where not given."""
    weight: float = 1.0
    """Share of its loss in the total."""
    optional: bool = False
    """Let the other tasks train where no source has this annotation; its head then gets gradients of exactly zero."""


class Task(ABC):
    """One thing to predict.

    Attributes:
        name: key in every dict by task.
        kind: what its answer is.
        config: its settings.
        column: the annotation it reads (`label_<column>` in a manifest).
        out_dim: width of its logits.
        metric_names: keys that `metrics` returns; each can be monitored.
        missing: the encoded target of a row without annotation.
        smaller_is_better: those of `metric_names` that fall as the task gets better.
    """

    kind: ClassVar[Kind]
    out_dim: int
    metric_names: tuple[str, ...]
    missing: float = -1
    smaller_is_better: ClassVar[frozenset[str]] = frozenset({"nll", "brier"})

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config = config
        self.column: str = config.column or name
        self.weight: float = config.weight

    @property
    def readings(self) -> tuple[tuple[str, ...], ...]:
        """Annotations that it can read: one complete set is enough, an incomplete one is a mistake."""
        return ((self.column,),)

    @property
    def facts(self) -> dict[str, Any]:
        """What else a reader of its predictions has to know, as plain JSON values."""
        return {}

    def head(self, in_dim: int) -> nn.Module:
        """A classifier from pooled features [B, in_dim] to logits [B, out_dim]."""
        return nn.Linear(in_dim, self.out_dim)

    def fit(self, targets: np.ndarray, draws: np.ndarray) -> None:
        """Take what the loss needs from the labelled training rows: their targets [N], and how often an epoch draws each [N]."""
        del targets, draws

    @abstractmethod
    def count(self, targets: np.ndarray) -> list[Any]:
        """What is remembered of the labelled training rows: the number of each class; the number of rows and their median."""

    @abstractmethod
    def prior(self, counts: Sequence[Any]) -> list[float]:
        """The answer where the model cannot look, from what `count` gave; also for an empty list."""

    def check(self, targets: np.ndarray, where: str) -> None:
        """Raise `UserError` where labelled training rows [N] cannot train the task, naming `where`; here where there are none."""
        if not len(targets):
            raise UserError(f"{where}: task {self.name!r} has no annotated row")

    @abstractmethod
    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Annotations of the main column -> targets [N]; `missing` where a row has none.

        Args:
            series: annotations as the manifest gives them.
            where: the file, for errors.

        Raises:
            UserError: an annotation the task does not declare, with file and row.
        """

    def encode_rows(self, rows: pd.DataFrame, where: str) -> dict[str, np.ndarray]:
        """The columns that a row table gets: `target_T` [N], and for intervals `low_T` and `high_T`; see `encode`."""
        column = f"label_{self.column}"
        series = rows[column] if column in rows else pd.Series([None] * len(rows), dtype=object, name=column)
        return {f"target_{self.name}": self.encode(series, where)}

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample [B] float32, unreduced, without the task's weight; only labelled rows enter."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [B, out_dim] -> what predictions hold, float32: probabilities [B, K]; of a number the number itself [B, 1]."""

    @abstractmethod
    def decode(self, probabilities: np.ndarray) -> list[Any]:
        """What `probabilities` gave -> the answer of each sample in the words of its annotation."""

    @abstractmethod
    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Scores over labelled rows: targets [N] or [N, 2], and what `probabilities` gave."""

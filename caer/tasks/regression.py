"""A number within a range, such as an age in years; the annotation is a number or an interval that holds it.

A target is [low, high], both the number itself where that is known. Inside the interval there is no loss. Its ends are taken as
they are: 29.6 lies outside 20 to 29. Losses are in shares of the range, so that a task's weight does not depend on its unit.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from caer.evaluation import numbers
from caer.tasks.base import Kind, Task, TaskConfig, place
from preprocessing.errors import UserError


class Config(TaskConfig):
    """Settings of a regression task."""

    type: Literal["regression"] = "regression"
    range: tuple[float, float]
    """Smallest and largest value; an annotation outside is an error. An open interval (`low` alone or `high` alone) ends here."""
    unit: str = ""
    """For reports."""
    low_column: str | None = None
    """Annotation with the lower end of an interval, where a source has intervals; with `high_column`."""
    high_column: str | None = None
    loss: Literal["l1", "smooth_l1", "mse"] = "l1"
    beta: float = Field(0.05, gt=0, le=1)
    """Share of the range below which `smooth_l1` is quadratic."""
    scaling: Literal["sigmoid", "linear"] = "sigmoid"
    """How a logit becomes a share of the range: `sigmoid` cannot leave it."""
    weight: float = Field(1.0, gt=0)

    @field_validator("range")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError("the range does not rise")
        return ends

    def model_post_init(self, context: Any, /) -> None:
        """Both ends or none."""
        if (self.low_column is None) != (self.high_column is None):
            raise ValueError("give both `low_column` and `high_column`, or neither")


def build(config: Config, name: str) -> "Regression":
    """The task `name` of an experiment."""
    return Regression(name, config)


class Regression(Task):
    """A number."""

    kind: ClassVar[Kind] = "number"
    out_dim = 1
    missing = float("nan")
    smaller_is_better: ClassVar[frozenset[str]] = frozenset({"mae", "rmse", "mae_to_midpoint", "distance"})
    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self.low, self.high = config.range
        self.metric_names = numbers.EXACT + (numbers.INTERVAL if config.low_column else ()) + ("closeness",)

    @property
    def readings(self) -> tuple[tuple[str, ...], ...]:
        """The number itself, or both ends of an interval."""
        low, high = self.config.low_column, self.config.high_column
        return ((self.column,),) if low is None or high is None else ((self.column,), (low, high))

    @property
    def facts(self) -> dict[str, Any]:
        """Unit, range, and whether annotations may be intervals."""
        return {"unit": self.config.unit, "range": [self.low, self.high], "intervals": self.config.low_column is not None}

    def count(self, targets: np.ndarray) -> list[float]:
        """The number of rows and the median of their midpoints."""
        return [len(targets), float(np.median(targets.mean(axis=1)))] if len(targets) else [0]

    def prior(self, counts: Sequence[Any]) -> list[float]:
        """The median [1]; the middle of the range without one."""
        return [float(counts[1]) if len(counts) == 2 else (self.low + self.high) / 2]

    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Numbers -> the same [N] float64, NaN where there is none; see `Task.encode`."""
        values = pd.to_numeric(series.replace("", None), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        given = (series.notna() & series.ne("")).to_numpy(bool, na_value=False)
        wrong = np.flatnonzero(given & ~((values >= self.low) & (values <= self.high)))
        if len(wrong):
            row = int(wrong[0])
            found = series.tolist()[row]
            raise UserError(
                f"{where}: {place(series, row)} has {str(series.name).removeprefix('label_')} = {found!r}; task {self.name!r} "
                f"declares numbers from {self.low:g} to {self.high:g} {self.config.unit}".rstrip()
                + f" (tasks.{self.name}.range)"
            )
        return values

    def encode_rows(self, rows: pd.DataFrame, where: str) -> dict[str, np.ndarray]:
        """`low_T` and `high_T` [N], equal where the number is known, and `target_T`, their midpoint."""
        exact, low, high = (self._column(rows, name, where) for name in self._sources())
        opened = np.isnan(low) != np.isnan(high)
        low = np.where(opened & np.isnan(low), self.low, low)
        high = np.where(opened & np.isnan(high), self.high, high)
        turned = np.flatnonzero(low > high)
        if len(turned):
            row = int(turned[0])
            raise UserError(
                f"{where}: {place(rows, row)} has an interval of {self.name} from {low[row]:g} to {high[row]:g}; swap the ends"
            )
        empty = np.flatnonzero((low == high) & opened)
        if len(empty):
            row = int(empty[0])
            raise UserError(
                f"{where}: {place(rows, row)} has an open interval of {self.name} that begins where the range ends, at "
                f"{low[row]:g}; widen tasks.{self.name}.range"
            )
        known = ~np.isnan(exact)
        low, high = np.where(known, exact, low), np.where(known, exact, high)
        return {f"target_{self.name}": (low + high) / 2, f"low_{self.name}": low, f"high_{self.name}": high}

    def _sources(self) -> tuple[str | None, str | None, str | None]:
        return self.column, self.config.low_column, self.config.high_column

    def _column(self, rows: pd.DataFrame, name: str | None, where: str) -> np.ndarray:
        if name is None or f"label_{name}" not in rows:
            return np.full(len(rows), np.nan)
        return self.encode(rows[f"label_{name}"], where)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample [B] in shares of the range; logits [B, 1], targets [B, 2] in the unit."""
        share = self._share(logits)[:, 0]
        ends = (targets.float() - self.low) / (self.high - self.low)
        nearest = share.detach().clamp(min=ends[:, 0], max=ends[:, 1])
        if self.config.loss == "smooth_l1":
            return F.smooth_l1_loss(share, nearest, reduction="none", beta=self.config.beta)
        return (F.l1_loss if self.config.loss == "l1" else F.mse_loss)(share, nearest, reduction="none")

    def _share(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid() if self.config.scaling == "sigmoid" else logits.float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [B, 1] -> the number in its unit [B, 1], float32."""
        return self.low + (self.high - self.low) * self._share(logits)

    def logits_of(self, values: Tensor) -> Tensor:
        """The inverse of `probabilities`: numbers within the range [B, 1] -> logits [B, 1]."""
        share = (values.float() - self.low) / (self.high - self.low)
        return torch.logit(share) if self.config.scaling == "sigmoid" else share

    def decode(self, probabilities: np.ndarray) -> list[float]:
        """The number of each row of [B, 1]."""
        return [float(value) for value in np.asarray(probabilities)[:, 0]]

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Errors in the unit over targets [N, 2] and numbers [N, 1]; see `caer.evaluation.numbers`."""
        scores = numbers.scores(targets, np.asarray(probabilities)[:, 0])
        scores["closeness"] = 1 - scores["distance"] / (self.high - self.low)
        return {name: scores[name] for name in self.metric_names}

"""One of K classes: softmax and cross-entropy, with class weights and label smoothing.

Class weights "effective": Cui et al. 2019, https://arxiv.org/abs/1901.05555.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from caer.evaluation import metrics
from caer.tasks.base import Task, TaskConfig
from preprocessing.errors import UserError


class Config(TaskConfig):
    """Settings of a classification task."""

    type: Literal["classification"] = "classification"
    classes: list[str] = Field(min_length=2)
    """The declared classes; a target is an index into this list."""
    weight: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "inverse", "effective"] = "none"
    """Weigh a sample's loss by its class: by inverse frequency, or by the effective number of samples; mean 1 over train."""
    effective_beta: float = Field(0.999, gt=0, lt=1)

    @field_validator("classes", mode="before")
    @classmethod
    def _as_strings(cls, classes: object) -> object:
        # YAML reads 0, 1 as integers; manifests hold strings. `yes` and `no`, which it reads as booleans, are an error.
        if not isinstance(classes, list):
            return classes
        return [_plain(c) if isinstance(c, int | float) and not isinstance(c, bool) else c for c in classes]

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) != len(classes):
            raise ValueError("the classes are not distinct")
        return classes


def build(config: Config, name: str) -> "Classification":
    """The task `name` of an experiment."""
    return Classification(name, config)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


class Classification(Task):
    """One of K classes."""

    metric_names = ("accuracy", "macro_f1", "balanced_accuracy", "nll", "brier")
    missing = -1
    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self.classes = list(config.classes)
        self.out_dim = len(self.classes)
        self._weights: Tensor | None = None

    def fit(self, counts: np.ndarray) -> None:
        """Turn the training rows' class counts [K] into weights of mean 1 over those rows."""
        kind = self.config.class_weights
        if kind == "none":
            return
        counts = np.asarray(counts, dtype=np.float64)
        seen = counts > 0
        beta = self.config.effective_beta
        rarity = counts if kind == "inverse" else (1 - beta**counts) / (1 - beta)
        weights = np.divide(1.0, rarity, out=np.zeros_like(counts), where=seen)
        total = (weights * counts).sum()
        self._weights = torch.tensor(weights * counts.sum() / total if total else weights, dtype=torch.float32)

    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Class names -> indices [N] int64, -1 where there is none; see `Task.encode`."""
        index = {name: i for i, name in enumerate(self.classes)}
        targets = np.full(len(series), self.missing, dtype=np.int64)
        for row, value in enumerate(series.tolist()):
            if pd.isna(value) or value == "":
                continue
            name = _plain(value) if isinstance(value, int | float) else str(value)
            if name not in index:
                raise UserError(
                    f"{where}: row {row} has {self.column} = {name!r}; task {self.name!r} declares {', '.join(self.classes)}"
                )
            targets[row] = index[name]
        return targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample [B] in nats; logits [B, K], targets [B] int64."""
        losses = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=self.config.label_smoothing)
        return losses if self._weights is None else losses * self._weights.to(losses.device)[targets]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, float32."""
        return logits.float().softmax(dim=-1)

    def decode(self, probabilities: np.ndarray) -> list[str]:
        """The likeliest class of each row of [B, K]."""
        return [self.classes[i] for i in metrics.predicted(probabilities)]

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Accuracy, macro-F1, balanced accuracy, NLL and Brier score over targets [N], probabilities [N, K]."""
        return {name: float(getattr(metrics, name)(targets, probabilities)) for name in self.metric_names}

"""One of K classes: softmax and cross-entropy, with class weights, label smoothing, and a loss that endures wrong labels.

Generalized cross-entropy: Zhang and Sabuncu 2018, https://arxiv.org/abs/1805.07836.
"""

from typing import ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from caer.evaluation import metrics
from caer.tasks._classes import ClassTask, OneOfClasses
from caer.tasks.base import Kind


class Config(OneOfClasses):
    """Settings of a classification task."""

    type: Literal["classification"] = "classification"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    loss: Literal["cross_entropy", "generalized"] = "cross_entropy"
    """`generalized`: (1 - p^q) / q of the target's probability p. A row that is far from its label pulls less, and is bounded."""
    q: float = Field(0.7, gt=0, le=1)
    """Of `generalized`: towards 0 it becomes cross-entropy, 1 is the mean absolute error of the probabilities, halved."""

    @model_validator(mode="after")
    def _one_remedy(self) -> Self:
        if self.loss == "generalized" and self.label_smoothing:
            raise ValueError("`label_smoothing` belongs to cross_entropy; set it to 0 with `loss: generalized`")
        return self


def build(config: Config, name: str) -> "Classification":
    """The task `name` of an experiment."""
    return Classification(name, config)


class Classification(ClassTask):
    """One of K classes."""

    kind: ClassVar[Kind] = "classes"
    metric_names = ("accuracy", "macro_f1", "balanced_accuracy", "nll", "brier")
    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self.out_dim = len(self.classes)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample [B] in nats, or its generalized form; logits [B, K], targets [B] int64."""
        if self.config.loss == "generalized":
            return self.weighted(_generalized(logits.float(), targets, self.config.q), targets)
        losses = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=self.config.label_smoothing)
        return self.weighted(losses, targets)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, float32."""
        return logits.float().softmax(dim=-1)

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Accuracy, macro-F1, balanced accuracy, NLL and Brier score over targets [N], probabilities [N, K]."""
        return {name: float(getattr(metrics, name)(targets, probabilities)) for name in self.metric_names}


def _generalized(logits: Tensor, targets: Tensor, q: float) -> Tensor:
    # From the logarithm, so that a probability that rounds to 0 or 1 keeps its gradient.
    return -torch.expm1(-q * F.cross_entropy(logits, targets, reduction="none")) / q

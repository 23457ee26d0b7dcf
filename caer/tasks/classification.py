"""One of K classes: softmax and cross-entropy, with class weights and label smoothing."""

from typing import ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from caer.evaluation import metrics
from caer.tasks._classes import ClassTask, OneOfClasses
from caer.tasks.base import Kind


class Config(OneOfClasses):
    """Settings of a classification task."""

    type: Literal["classification"] = "classification"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


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
        """Cross-entropy of each sample [B] in nats; logits [B, K], targets [B] int64."""
        losses = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=self.config.label_smoothing)
        return self.weighted(losses, targets)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, float32."""
        return logits.float().softmax(dim=-1)

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Accuracy, macro-F1, balanced accuracy, NLL and Brier score over targets [N], probabilities [N, K]."""
        return {name: float(getattr(metrics, name)(targets, probabilities)) for name in self.metric_names}

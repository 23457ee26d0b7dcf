"""One of K ordered classes, such as age groups: continuation ratios (as in CORN, Shi et al. 2021, https://arxiv.org/abs/2111.08851).

Logit k says how likely the answer lies above class k once it is known not to lie below. Products of these give probabilities of
the classes that sum to one and whose cumulative sums are ordered by construction; the loss is their negative log-likelihood, so
that a row trains only the questions that its class poses.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caer.evaluation import metrics, ordered
from caer.tasks._classes import ClassTask, OneOfClasses
from caer.tasks.base import Kind


class Config(OneOfClasses):
    """Settings of an ordinal task; `classes` stand in their order."""

    type: Literal["ordinal"] = "ordinal"


def build(config: Config, name: str) -> "Ordinal":
    """The task `name` of an experiment."""
    return Ordinal(name, config)


class Ordinal(ClassTask):
    """One of K ordered classes from K - 1 logits."""

    kind: ClassVar[Kind] = "ordered"
    metric_names = ("accuracy", "within_one", "quadratic_kappa", "macro_f1", "balanced_accuracy", "nll", "brier")
    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self.out_dim = len(self.classes) - 1

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """[B, K - 1] -> log-probabilities of the classes [B, K]."""
        logits = logits.float()
        nothing = logits.new_zeros(len(logits), 1)
        reached = torch.cat([nothing, F.logsigmoid(logits).cumsum(dim=-1)], dim=-1)
        stops = torch.cat([F.logsigmoid(-logits), nothing], dim=-1)
        return reached + stops

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of each sample [B] in nats; logits [B, K - 1], targets [B] int64."""
        return self.weighted(F.nll_loss(self._log_probabilities(logits), targets, reduction="none"), targets)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [B, K - 1] -> probabilities of the classes [B, K], float32."""
        return self._log_probabilities(logits).exp()

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Accuracy, within one class, quadratic kappa, and the scores of classification."""
        known = {name: getattr(ordered if hasattr(ordered, name) else metrics, name) for name in self.metric_names}
        return {name: float(score(targets, probabilities)) for name, score in known.items()}

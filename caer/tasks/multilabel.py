"""Any of K tags at once: a sigmoid and a binary cross-entropy for each; mean average precision.

An annotation is the tags that a row has, joined by `separator` (`floral|striped`); `none` is a row that was looked at and has
none of them; an empty cell is a row that nobody annotated.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from caer.evaluation import tags
from caer.tasks._classes import ClassNames, encode_each
from caer.tasks.base import Kind, Task, place
from preprocessing.errors import UserError


class Config(ClassNames):
    """Settings of a multi-label task."""

    type: Literal["multilabel"] = "multilabel"
    classes: list[str] = Field(min_length=1, max_length=tags.MOST)
    """The declared tags; a target is a whole number whose bit k stands for the k-th."""
    separator: str = Field("|", min_length=1)
    none: str = "none"
    """How an annotation without any tag is written."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """A tag is answered from this probability on."""

    @model_validator(mode="after")
    def _tags_can_be_told_apart(self) -> "Config":
        unclear = [name for name in self.classes if name == self.none or self.separator in name]
        if unclear:
            raise ValueError(f"the tag {unclear[0]!r} is the word for none ({self.none!r}) or holds the separator")
        return self


def build(config: Config, name: str) -> "MultiLabel":
    """The task `name` of an experiment."""
    return MultiLabel(name, config)


class MultiLabel(Task):
    """Any of K tags."""

    kind: ClassVar[Kind] = "tags"
    metric_names = ("map", "micro_f1", "exact", "nll")
    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self.classes = list(config.classes)
        self.out_dim = len(self.classes)

    @property
    def facts(self) -> dict[str, Any]:
        """The threshold."""
        return {"threshold": self.config.threshold}

    def count(self, targets: np.ndarray) -> list[int]:
        """The number of rows, then of those with each tag [1 + K]."""
        return [len(targets), *(int(n) for n in tags.many_hot(targets, self.out_dim).sum(axis=0))]

    def prior(self, counts: Sequence[Any]) -> list[float]:
        """The share of rows with each tag [K]; one half without counts."""
        if len(counts) != self.out_dim + 1 or not counts[0]:
            return [0.5] * self.out_dim
        return [float(n) / float(counts[0]) for n in counts[1:]]

    def encode(self, series: pd.Series, where: str) -> np.ndarray:
        """Joined tags -> whole numbers [N] int64 with a bit for each, -1 where there is no annotation; see `Task.encode`."""
        index = {name: i for i, name in enumerate(self.classes)}

        def read(row: int, text: str) -> int:
            names = [] if text == self.config.none else [name.strip() for name in text.split(self.config.separator)]
            unknown = [name for name in names if name not in index]
            if unknown:
                raise UserError(
                    f"{where}: {place(series, row)} has {self.column} = {text!r}, and {unknown[0]!r} is no tag; task "
                    f"{self.name!r} declares {', '.join(self.classes)} (joined by {self.config.separator!r}) or "
                    f"{self.config.none!r}"
                )
            return sum(1 << index[name] for name in set(names))

        return encode_each(series, self.missing, read)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of each sample [B], mean over the tags, in nats; logits [B, K], targets [B] int64."""
        bits = (targets.unsqueeze(-1) >> targets.new_tensor(range(self.out_dim))) & 1
        return F.binary_cross_entropy_with_logits(logits.float(), bits.float(), reduction="none").mean(dim=-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid of each logit, float32."""
        return logits.float().sigmoid()

    def decode(self, probabilities: np.ndarray) -> list[str]:
        """The tags of each row of [B, K] from the threshold on, as an annotation would join them."""
        chosen = np.asarray(probabilities) >= self.config.threshold
        names = [[name for name, has in zip(self.classes, row, strict=True) if has] for row in chosen]
        return [self.config.separator.join(row) if row else self.config.none for row in names]

    def metrics(self, targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Mean average precision, micro-F1, share of rows that are right in every tag, NLL in nats a tag."""
        truth = tags.many_hot(targets, self.out_dim)
        chosen = np.asarray(probabilities) >= self.config.threshold
        return {
            "map": tags.mean_average_precision(truth, probabilities),
            "micro_f1": tags.micro_f1(truth, chosen),
            "exact": float(tags.exact(truth, chosen).mean()),
            "nll": tags.nll(truth, probabilities),
        }

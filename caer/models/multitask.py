"""One backbone for the face, a head for each task.

Enters: a batch with uint8 `face` [B, 3, H, W]. Leaves: `ModelOutput` of a `TwoBranchNet` without context. Between backbone and
heads there may be a `ConvNeck` in place of the backbone's own pooling, and layers that all tasks share (the trunk).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

import torch
from torch import Tensor, nn

from caer.config import MultiTask
from caer.models.backbone import Backbone
from caer.models.branch import Branch
from caer.tasks import Task
from preprocessing.errors import UserError

Seeded = Callable[[str], AbstractContextManager[None]]
"""Draws a part's fresh weights from the run's seed and the part's name."""


class ConvNeck(nn.Module):
    """Map [B, C, h, w] -> [B, out_dim]: a 3x3 convolution of the same width without padding, 2x2 max-pool, ReLU, all values."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(channels, channels, 3), nn.MaxPool2d(2)
        self.out_dim = channels * ((side - 2) // 2) ** 2

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.pool(self.conv(features)).relu().flatten(1)


class SharedBackbone(Branch):
    """A face branch whose pooled features pass a neck (or none) and a trunk before the tasks' heads.

    `encode` ends where the backbone does, so that what a frozen backbone gives can be computed once: [B, out_dim], or with a neck
    the map [B, C, h, w]. With `mirror`, a backbone that does not train gives the mean over a face and its mirror image.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: ConvNeck | None,
        trunk: nn.Module,
        heads: nn.ModuleDict,
        *,
        dropout: float = 0.0,
        mirror: bool = False,
    ) -> None:
        super().__init__(backbone, heads, dropout=dropout)
        self.neck, self.trunk, self.mirror = neck, trunk, mirror

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """uint8 RGB [B, 3, H, W] -> features as the class says, float32, and no attention."""
        features = self._look(images)
        if self.mirror and not self.backbone.training:
            features = (features + self._look(images.flip(-1))) / 2
        return features, None

    def _look(self, images: Tensor) -> Tensor:
        features = self.backbone.features(self.normalise(images))
        return (features if self.neck is not None else self.backbone.pool(features)).float()

    def classify(self, pooled: Tensor) -> dict[str, Tensor]:
        """What `encode` gave -> logits [B, K] float32 by task."""
        if self.neck is not None:
            pooled = self.neck(pooled)
        shared = self.trunk(self.dropout(pooled))
        return {task: head(shared).float() for task, head in self.heads.items()}


def shared_backbone(model: MultiTask, backbone: Backbone, side: int, tasks: dict[str, Task], seeded: Seeded) -> SharedBackbone:
    """Put the parts of a multi-task network together.

    Args:
        model: its settings.
        backbone: with its weights already.
        side: pixels of the face crop.
        tasks: by name.
        seeded: see `Seeded`. A task's head is the same whichever other tasks there are.

    Raises:
        UserError: a neck on a backbone without a map, or on a map that is too small; `mirror` on a backbone that does not pool.
    """
    if model.mirror and backbone.keeps_places:
        raise UserError(
            f"model.mirror: backbone {backbone.name!r} keeps what it finds where it found it; set model.mirror: false"
        )
    neck = None
    if model.neck == "conv":
        with seeded("face.neck"):
            neck = _neck(backbone, side)
        backbone.drop_pooling()
    width = backbone.out_dim if neck is None else neck.out_dim
    with seeded("face.trunk"):
        trunk = mlp([width, *model.trunk], model.dropout)
    heads = nn.ModuleDict()
    widths = [([width, *model.trunk])[-1], *model.heads]
    for name, task in tasks.items():
        with seeded(f"face.heads.{name}"):
            heads[name] = nn.Sequential(*mlp(widths, model.dropout), task.head(widths[-1]))
    return SharedBackbone(backbone, neck, trunk, heads, dropout=model.face.dropout, mirror=model.mirror)


def mlp(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Fully connected layers of these widths (the first is what enters), each followed by ReLU and dropout."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _neck(backbone: Backbone, side: int) -> ConvNeck:
    training = backbone.training
    with torch.no_grad():
        shape = backbone.eval().features(torch.zeros(1, 3, side, side)).shape
    backbone.train(training)
    if len(shape) != 4 or shape[1] != backbone.map_dim:
        raise UserError("model.neck: conv needs a backbone with a spatial feature map; set model.neck: pool")
    if min(shape[2:]) < 4:
        raise UserError(
            f"model.neck: conv needs a feature map of at least 4x4, and {side} px give {shape[2]}x{shape[3]}; enlarge "
            f"data.image_size.face or set model.neck: pool"
        )
    return ConvNeck(backbone.map_dim, shape[-1])

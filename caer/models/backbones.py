"""Backbones by their config names.

Any timm name works (`TimmBackbone`). A backbone that timm lacks is a `Backbone` with a `name` that this file defines or imports.
"""

import os
from typing import Any, cast

import torch
from torch import Tensor, nn

from caer.models.backbone import Backbone
from caer.models.bknet import BKNet
from preprocessing.errors import UserError

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
import timm

__all__ = ["BKNet", "Backbone", "TimmBackbone", "build_backbone", "check_backbone"]


class TimmBackbone(Backbone):
    """Any timm model without its classifier.

    Args:
        architecture: timm name, with or without a weights tag (`resnest50d.in1k`).
        image_size: side of its input; only models with a fixed input size (ViT) look at it.

    Raises:
        UserError: timm knows no such model, or it cannot take the size.
    """

    def __init__(self, architecture: str, image_size: int) -> None:
        super().__init__()
        if not timm.is_model(architecture):
            raise unknown_backbone(architecture)
        try:
            cfg = timm.get_pretrained_cfg(architecture)
        except RuntimeError:
            known = ", ".join(timm.list_pretrained(architecture.partition(".")[0] + ".*")) or "none"
            raise UserError(f"backbone {architecture!r}: timm knows no weights of that tag; known: {known}") from None
        fixed: dict[str, Any] = {"img_size": image_size} if cfg is not None and cfg.fixed_input_size else {}
        try:
            self.net = cast(Any, timm.create_model(architecture, pretrained=False, num_classes=0, **fixed))
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise UserError(f"backbone {architecture!r} cannot be built for {image_size} px images: {error}") from None
        self.architecture = architecture
        self.map_dim = int(self.net.num_features)
        # vgg, mobilenetv3 and others have layers between the pooled map and the classifier that widen it.
        self.out_dim = int(getattr(self.net, "head_hidden_size", None) or self.map_dim)
        settings = self.net.pretrained_cfg
        self.mean, self.std = tuple(settings["mean"]), tuple(settings["std"])

    def features(self, images: Tensor) -> Tensor:
        """See `Backbone.features`; token models return [B, tokens, map_dim]."""
        return self.net.forward_features(images)

    def pool(self, features: Tensor) -> Tensor:
        """See `Backbone.pool`."""
        return self.net.forward_head(features, pre_logits=True)

    def drop_pooling(self) -> None:
        """See `Backbone.drop_pooling`; vgg16 has 119 of its 134 million weights there."""
        if hasattr(self.net, "pre_logits"):
            self.net.pre_logits = nn.Identity()

    @property
    def spatial(self) -> bool:
        """Whether `features` returns a map [B, C, h, w], as attention needs it."""
        settings = self.net.pretrained_cfg
        size = max(settings["input_size"][-1], 64)
        training = self.training
        with torch.no_grad():
            shape = self.eval().features(torch.zeros(1, 3, size, size)).shape
        self.train(training)
        return len(shape) == 4 and shape[1] == self.map_dim


def own_backbones() -> dict[str, type[Backbone]]:
    """Backbones that timm lacks, by config name."""
    classes = [thing for thing in globals().values() if isinstance(thing, type) and issubclass(thing, Backbone)]
    return {thing.name: thing for thing in classes if thing.name}


def build_backbone(name: str, image_size: int) -> Backbone:
    """A backbone with fresh weights.

    Raises:
        UserError: neither a class of this file nor a timm name, or one that takes images of another size.
    """
    own = own_backbones()
    backbone = own[name]() if name in own else TimmBackbone(name, image_size)
    if backbone.image_size not in (None, image_size):
        raise UserError(f"backbone {name!r} takes images of {backbone.image_size} px, not {image_size}; set data.image_size")
    return backbone


def check_backbone(name: str) -> None:
    """Raise `UserError` unless a backbone of that name exists; builds nothing."""
    if name not in own_backbones() and not timm.is_model(name):
        raise unknown_backbone(name)


def unknown_backbone(name: str) -> UserError:
    """The error for a name that is no backbone; it lists the nearest names of timm."""
    import difflib

    near = difflib.get_close_matches(name, [*timm.list_models(), *own_backbones()], n=5, cutoff=0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    return UserError(f"unknown backbone {name!r}{hint}; any name of timm.list_models() will do")

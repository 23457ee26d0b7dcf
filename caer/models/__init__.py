"""Models of an experiment, built from its config. Each part is initialised from (seed, its own name) alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from caer.config import CaerNet, Config, Context, Face, MultiTask, TwoBranch
from caer.data.seeds import derive_seed
from caer.models.attention import SpatialAttention
from caer.models.backbones import Backbone, build_backbone, check_backbone
from caer.models.branch import Branch, branch_width
from caer.models.caer_net import caer_net, from_published
from caer.models.multitask import SharedBackbone, shared_backbone
from caer.models.pretrained import load_weights, read_weights_file
from caer.tasks import Task, build_tasks
from gating.fusion import Fusion, build_fusion
from gating.model import TwoBranchNet
from preprocessing.errors import UserError

__all__ = ["build_model", "check_model"]

Output = Literal["face", "context", "fused"]


def build_model(config: Config, pretrained: bool | frozenset[str] = True, output: Output | None = None) -> TwoBranchNet:
    """The network of an experiment.

    Args:
        config: the experiment.
        pretrained: load the backbones' weights; or the branches (`face`, `context`) to load them for.
        output: build only what this output needs (`face`: the face branch alone). None builds everything.

    Raises:
        UserError: unknown backbone, fusion or option, or weights that cannot be had.
    """
    tasks = build_tasks(config)
    if isinstance(config.model, CaerNet):
        return _caer_net(config, config.model, tasks, bool(pretrained))
    if isinstance(config.model, MultiTask):
        shared = _multitask(config, config.model, tasks, bool(pretrained))
        return TwoBranchNet(shared, None).to(memory_format=torch.channels_last)
    wanted = {"face", "context"} if output in (None, "fused") else {output}
    settings = {"face": config.model.face, "context": config.model.context}
    branches: dict[str, Branch] = {}
    for name, part in settings.items():
        if part is not None and name in wanted:
            load = pretrained if isinstance(pretrained, bool) else name in pretrained
            branches[name] = _branch(config, name, part, tasks, load)
    fusion = _fusion(config, tasks, branches) if len(branches) == 2 else None
    model = TwoBranchNet(branches.get("face"), branches.get("context"), fusion)
    # Faster or as fast on every machine tried; done here so that training and prediction compute the same way.
    return model.to(memory_format=torch.channels_last)


def check_model(config: Config) -> None:
    """Find mistakes in `model` without building it: stage 1 should not train for hours before stage 3 stumbles."""
    if isinstance(config.model, CaerNet):
        _check_caer_net(config, config.model)
        return
    if isinstance(config.model, MultiTask):
        check_backbone(config.model.face.backbone)
        return
    for part in (config.model.face, config.model.context):
        if part is not None:
            check_backbone(part.backbone)
    if config.model.fusion is not None:
        _build_fusion(config, build_tasks(config), 1, 1)


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Draw fresh weights from (seed, name of the part); outside, torch's generator goes on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init", name))
        yield


def _backbone(config: Config, name: str, part: Face | Context, size: int, pretrained: bool) -> Backbone:
    with seeded(config.seed, f"{name}.backbone"):
        backbone = build_backbone(part.backbone, size)
    if pretrained:
        load_weights(backbone, part.weights, part.sha256)
    return backbone


def _multitask(config: Config, model: MultiTask, tasks: dict[str, Task], pretrained: bool) -> SharedBackbone:
    side = config.data.image_size.face
    backbone = _backbone(config, "face", model.face, side, pretrained)
    return shared_backbone(model, backbone, side, tasks, lambda name: seeded(config.seed, name))


def _branch(config: Config, name: str, part: Face | Context, tasks: dict[str, Task], pretrained: bool) -> Branch:
    size = config.data.image_size.face if name == "face" else config.data.image_size.context
    backbone = _backbone(config, name, part, size, pretrained)
    attention = None
    if isinstance(part, Context) and part.attention:
        if not getattr(backbone, "spatial", True):
            raise UserError(
                f"backbone {part.backbone!r} has no spatial feature map for attention; set model.context.attention: false"
            )
        with seeded(config.seed, f"{name}.attention"):
            attention = SpatialAttention(backbone.map_dim)
    heads = nn.ModuleDict()
    for task in tasks.values():
        with seeded(config.seed, f"{name}.heads.{task.name}"):
            heads[task.name] = task.head(branch_width(backbone, attention is not None))
    return Branch(backbone, heads, attention, part.dropout)


def _fusion(config: Config, tasks: dict[str, Task], branches: dict[str, Branch]) -> Fusion:
    with seeded(config.seed, "fusion"):
        return _build_fusion(config, tasks, branches["face"].out_dim, branches["context"].out_dim)


def _build_fusion(config: Config, tasks: dict[str, Task], face_dim: int, context_dim: int) -> Fusion:
    assert isinstance(config.model, TwoBranch)
    assert config.model.fusion is not None
    widths = {name: task.out_dim for name, task in tasks.items()}
    try:
        return build_fusion(config.model.fusion, widths, face_dim, context_dim)
    except ValueError as error:
        raise UserError(f"model.fusion: {error}") from None


def _caer_net(config: Config, model: CaerNet, tasks: dict[str, Task], pretrained: bool) -> TwoBranchNet:
    widths = {name: task.out_dim for name, task in tasks.items()}
    net = caer_net(widths, model.variant, model.streams, lambda name: seeded(config.seed, name))
    if pretrained and model.weights != "none":
        (task,) = widths
        published = from_published(read_weights_file(model.weights, model.sha256), task)
        if len(published.state_dict()[f"fusion.heads.{task}.bias"]) != widths[task]:
            raise UserError(f"model.weights {model.weights}: another number of classes than the {widths[task]} of task {task!r}")
        net.load_state_dict(published.state_dict())
    return net


def _check_caer_net(config: Config, model: CaerNet) -> None:
    fits = model.variant == "compact" and model.streams == "both" and len(config.tasks) == 1
    if model.weights != "none" and not fits:
        raise UserError("model.weights: published weights are for variant compact, streams both and one task; set them, or none")

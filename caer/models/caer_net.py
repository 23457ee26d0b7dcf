"""CAER-Net-S, the static network of https://arxiv.org/abs/1908.05913: two small encoders, context attention, Adaptive Fusion.

Enters: a batch dict with uint8 `face` and `context`. Leaves: `ModelOutput`, its gates the fusion's softmax weights. Variant
`paper` is the article's (224 px, no normalisation of the pooled streams); `compact` is that of the public re-implementation
https://github.com/ndkhanh360/CAER (96 px face, 112 px context, BatchNorm1d on each pooled stream: without it the context,
averaged over cells whose weights sum to one, hardly counts). Any size of image works in either.
"""

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gating.fusion import AdaptiveFusion, pooled_norm
from gating.model import TwoBranchNet
from gating.output import ModelOutput
from preprocessing.errors import UserError

Variant = Literal["paper", "compact"]
Streams = Literal["both", "face", "context"]
Seeded = Callable[[str], AbstractContextManager[Any]]

WIDTHS = (3, 32, 64, 128, 256, 256)
ATTENTION_WIDTHS = (256, 128, 1)
HIDDEN, DROPOUT = 128, 0.5
PUBLISHED_CLASSES = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
"""What the seven logits of a published checkpoint stand for: CAER-S's folders in alphabetical order."""


class ConvStack(nn.Module):
    """3x3 convolutions, each with BatchNorm and ReLU; a 2x2 max-pool after every one but the last where `pool`."""

    def __init__(self, widths: tuple[int, ...], pool: bool) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.bn = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, widths[0], H, W] -> [B, widths[-1], h, w]."""
        for i, (conv, bn) in enumerate(zip(self.convs, self.bn, strict=True)):
            x = torch.relu(bn(conv(x if i == 0 else self.pool(x))))
        return x


class Stream(nn.Module):
    """One of the two streams: encoder, attention for the context, average pooling; a classifier where it stands alone.

    Args:
        attention: weigh the cells of the feature map before they are averaged.
        head: pooled [B, out_dim] -> logits by task; None in the two-stream network, whose fusion classifies.
    """

    mean: Tensor
    std: Tensor
    out_dim = WIDTHS[-1]

    def __init__(self, attention: bool, head: "StreamHead | None" = None) -> None:
        super().__init__()
        self.encoder = ConvStack(WIDTHS, pool=True)
        self.attention = ConvStack(ATTENTION_WIDTHS, pool=False) if attention else None
        self.head = head
        # ImageNet's statistics, as the published weights expect, in units of bytes; not part of the state.
        self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 RGB [B, 3, H, W] -> pooled [B, 256] float32, attention [B, 1, h, w] or None."""
        features = self.encoder((images.float() - self.mean) / self.std)
        if self.attention is None:
            return features.float().mean(dim=(2, 3)), None
        scores = self.attention(features).float()
        weights = scores.flatten(1).softmax(dim=1).view(scores.shape)
        return (features.float() * weights).mean(dim=(2, 3)), weights

    def classify(self, pooled: Tensor) -> dict[str, Tensor]:
        """Pooled [B, 256] -> logits [B, K] float32 by task; empty in the two-stream network."""
        return {} if self.head is None else self.head(pooled)


class StreamHead(nn.Module):
    """The classifier of a single-stream form: what the fusion's is, for half the width and without weights to choose by."""

    def __init__(self, tasks: Mapping[str, int], norm: Literal["batch", "none"]) -> None:
        super().__init__()
        self.norm = pooled_norm(norm, Stream.out_dim)
        self.body = nn.Sequential(nn.Linear(Stream.out_dim, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT))
        self.heads = nn.ModuleDict({task: nn.Linear(HIDDEN, width) for task, width in tasks.items()})

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        """Pooled [B, 256] -> logits [B, K] float32 by task."""
        hidden = self.body(self.norm(pooled))
        return {task: head(hidden).float() for task, head in self.heads.items()}


class CaerNet(TwoBranchNet):
    """The two streams and their fusion, or one stream with its own classifier.

    A row without a face (`has_face` False) is answered from the context with gates (0, 1); its empty crop reaches neither the
    face encoder nor any BatchNorm statistics.
    """

    def _outputs(self) -> list[tuple[str, Any]]:
        if self.fusion is not None:
            return [("face", None), ("context", None), ("fused", self.fusion)]
        return [("face", self.face), ("context", self.context), ("fused", None)]

    def _encode(self, batch: Mapping[str, Any]) -> tuple[dict[str, Tensor], Tensor | None]:
        present = batch.get("has_face")
        if "features" in batch or self.face is None or "face" not in batch or present is None:
            return super()._encode(batch)
        if torch.compiler.is_exporting():  # no choice by values in a graph; in eval mode a row's features are its own affair
            features, attention = super()._encode(batch)
            return features | {"face": torch.where(present.unsqueeze(1), features["face"], 0.0)}, attention
        if bool(present.all()):
            return super()._encode(batch)
        features, attention = super()._encode({key: value for key, value in batch.items() if key != "face"})
        features["face"] = torch.zeros(len(present), Stream.out_dim, device=present.device)
        if bool(present.any()):
            features["face"][present] = self.face.encode(batch["face"][present])[0]
        return features, attention

    def forward(self, batch: Mapping[str, Any]) -> ModelOutput:
        """Answer a batch; see `TwoBranchNet.forward`. The two-stream network has no logits of its streams to report.

        Raises:
            ValueError: an input is missing.
        """
        needed = [name for name, part in (("face", self.face), ("context", self.context)) if part is not None]
        features, attention = self._encode(batch)
        missing = [name for name in needed if name not in features]
        if missing:
            raise ValueError(f"CAER-Net needs {', '.join(missing)} in the batch")
        if self.fusion is None:
            logits = (self.face or self.context).classify(features[needed[0]])
            return ModelOutput(logits, {needed[0]: logits}, None, attention)
        assert isinstance(self.fusion, AdaptiveFusion)
        logits, gates = self.fusion.fuse(features["face"], features["context"], batch.get("has_face"))
        return ModelOutput(logits, {}, gates, attention)


def caer_net(
    tasks: Mapping[str, int],
    variant: Variant = "paper",
    streams: Streams = "both",
    seeded: Seeded = lambda name: nullcontext(),
) -> CaerNet:
    """A CAER-Net-S with fresh weights; of a single-stream form the other stream is not built.

    Args:
        tasks: width of each task's logits.
        variant: `paper` or `compact`.
        streams: `both`, `face` or `context`.
        seeded: gives the context in which the part of that name draws its weights.
    """
    norm: Literal["batch", "none"] = "batch" if variant == "compact" else "none"
    parts: dict[str, Stream] = {}
    for name in ("face", "context") if streams == "both" else (streams,):
        with seeded(f"{name}.stream"):
            parts[name] = Stream(attention=name == "context")
    if streams != "both":
        with seeded(f"{streams}.head"):
            parts[streams].head = StreamHead(tasks, norm)
        return CaerNet(parts.get("face"), parts.get("context"))
    with seeded("fusion"):
        fusion = AdaptiveFusion(tasks, Stream.out_dim, Stream.out_dim, hidden_dim=HIDDEN, dropout=DROPOUT, norm=norm)
    return CaerNet(parts["face"], parts["context"], fusion)


def from_published(state_dict: Mapping[str, Any], task: str = "emotion") -> CaerNet:
    """The `compact` network with the weights of a checkpoint of https://github.com/ndkhanh360/CAER, in eval mode.

    Args:
        state_dict: its tensors by name, or a dict that holds them under `state_dict`; the prefix `module.` may stand before all.
        task: what to call the one task. The number of classes is that of `fc2`.

    Raises:
        UserError: names are missing or unknown, or a tensor has another shape.
    """
    state = _unwrapped(state_dict)
    last = state.get("fusion_net.fc2.weight")
    net = caer_net({task: 7 if last is None else len(last)}, "compact")
    own, names = net.state_dict(), {key: _published_name(key, task) for key in net.state_dict()}
    # Checkpoints from before PyTorch 0.4.1 lack this counter; it does not enter the function computed.
    missing = [name for name in names.values() if name not in state and not name.endswith("num_batches_tracked")]
    unknown = sorted(set(state) - set(names.values()))
    wrong = [name for key, name in names.items() if name in state and state[name].shape != own[key].shape]
    if missing or unknown or wrong:
        first = (missing or unknown or wrong)[0]
        raise UserError(
            f"not the state dict of a CAER-Net-S as published by ndkhanh360: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, {len(wrong)} of another shape (first: {first}); give the checkpoint's `state_dict`"
        )
    net.load_state_dict({key: state.get(name, own[key]) for key, name in names.items()})
    return net.eval()


def _unwrapped(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    inner = state_dict.get("state_dict", state_dict) if isinstance(state_dict, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(key, str) and isinstance(t, Tensor) for key, t in inner.items()):
        raise UserError("not a state dict: expected tensors by name, or a dict that holds them under `state_dict`")
    wrapped = bool(inner) and all(key.startswith("module.") for key in inner)
    return {key.removeprefix("module.") if wrapped else key: tensor for key, tensor in inner.items()}


_PUBLISHED = {
    "face.encoder.": "two_stream_net.face_encoding_module.",
    "context.encoder.": "two_stream_net.context_encoding_module.",
    "context.attention.": "two_stream_net.attention_inference_module.",
    "fusion.face_norm.": "fusion_net.face_bn.",
    "fusion.context_norm.": "fusion_net.context_bn.",
    "fusion.face_score.0.": "fusion_net.face_1.",
    "fusion.face_score.2.": "fusion_net.face_2.",
    "fusion.context_score.0.": "fusion_net.context_1.",
    "fusion.context_score.2.": "fusion_net.context_2.",
    "fusion.body.0.": "fusion_net.fc1.",
}


def _published_name(key: str, task: str) -> str:
    """Our name of a tensor -> that of the published checkpoint."""
    for ours, theirs in {**_PUBLISHED, f"fusion.heads.{task}.": "fusion_net.fc2."}.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    raise AssertionError(f"{key} has no published name")

"""Fusions: how the two branches' answers become one.

Enters: pooled features and logits of the branches. Leaves: fused logits and, where the fusion has them, gates in the order
(face, context). A new fusion is a class in this file: `name` is its config name, its constructor's keywords are its options.
"""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Logits = dict[str, Tensor]
GateKind = Literal["branch", "class"]
Norm = Literal["layer", "batch", "none"]


class Fusion(nn.Module):
    """Base of all fusions.

    Args:
        tasks: width of each task's logits.
        face_dim: width of the face branch's pooled features.
        context_dim: width of the context branch's pooled features (of the masked and of the unmasked image).

    Attributes:
        name: what `type:` in a config says.
        uses: features read in `forward` beside the branch logits: `face`, `context`, `image` (the unmasked photo).
        weighs: what the gates multiply: the branches' `logits`, or their `features` before a classifier of the fusion's own.
    """

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]] = frozenset()
    weighs: ClassVar[Literal["logits", "features"]] = "logits"

    def __init__(self, tasks: Mapping[str, int], face_dim: int, context_dim: int) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        self.face_dim, self.context_dim = face_dim, context_dim

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        """Fuse one batch.

        Args:
            features: `face` [B, face_dim], `context` [B, context_dim], `image` [B, context_dim]; those in `uses` are there.
            branch_logits: `face` and `context`, then by task [B, K].

        Returns:
            Logits by task [B, K] float32, and gates by task [B, 2] or [B, 2, K], or None.
        """
        raise NotImplementedError


def weigh(face: Tensor, context: Tensor, gates: Tensor) -> Tensor:
    """`g_f * face + g_c * context` for logits [B, K] and gates [B, 2] or [B, 2, K]; float32 [B, K]."""
    gates = gates if gates.ndim == 3 else gates.unsqueeze(-1)
    return gates[:, 0] * face.float() + gates[:, 1] * context.float()


class Sum(Fusion):
    """Control: the sum of the branches' logits, every gate 1. No parameters."""

    name = "sum"

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        face, context = branch_logits["face"], branch_logits["context"]
        gates = {task: torch.ones(face[task].shape[0], 2, device=face[task].device) for task in self.tasks}
        return {task: weigh(face[task], context[task], gates[task]) for task in self.tasks}, gates


class Constant(Fusion):
    """Control: learned scalars, the same for every sample. They start at 1/2: the branches' mean.

    Args:
        tasks: see `Fusion`.
        face_dim: see `Fusion`.
        context_dim: see `Fusion`.
        gates: `branch` learns two scalars a task, `class` two a class.
    """

    name = "constant"

    def __init__(self, tasks: Mapping[str, int], face_dim: int, context_dim: int, *, gates: GateKind = "branch") -> None:
        super().__init__(tasks, face_dim, context_dim)
        per_class = _per_class(gates)
        self.weights = nn.ParameterDict(
            {task: nn.Parameter(torch.full((2, width) if per_class else (2,), 0.5)) for task, width in tasks.items()}
        )

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        face, context = branch_logits["face"], branch_logits["context"]
        gates = {task: self.weights[task].float().expand(face[task].shape[0], *self.weights[task].shape) for task in self.tasks}
        return {task: weigh(face[task], context[task], gates[task]) for task in self.tasks}, gates


class Concat(Fusion):
    """Control: a joint classifier on the concatenated pooled features; ignores the branches' own answers."""

    name = "concat"
    uses = frozenset({"face", "context"})

    def __init__(
        self,
        tasks: Mapping[str, int],
        face_dim: int,
        context_dim: int,
        *,
        hidden_dim: int = 256,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(tasks, face_dim, context_dim)
        _check(hidden_dim, dropout)
        # The two backbones' features differ in scale; without this the larger one decides.
        self.face_norm, self.context_norm = nn.LayerNorm(face_dim), nn.LayerNorm(context_dim)
        self.body = nn.Sequential(nn.Linear(face_dim + context_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        self.heads = nn.ModuleDict({task: nn.Linear(hidden_dim, width) for task, width in tasks.items()})

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        pooled = [self.face_norm(features["face"]), self.context_norm(features["context"])]
        hidden = self.body(torch.cat(pooled, dim=1))
        return {task: head(hidden).float() for task, head in self.heads.items()}, None


class AdaptiveFusion(Fusion):
    """CAER-Net's fusion (https://arxiv.org/abs/1908.05913): weigh the pooled features, concatenate, classify jointly.

    A small network scores each branch's pooled vector; softmax over the two scores gives the weights, one pair a task. There are
    no gates per class: one classifier reads both weighted vectors, so a weight belongs to a branch and to no class.

    Args:
        tasks: see `Fusion`.
        face_dim: see `Fusion`.
        context_dim: see `Fusion`.
        hidden_dim: width of the scoring networks and of the classifier's hidden layer.
        dropout: on the classifier's hidden layer.
        norm: of the pooled vectors before all else: `layer`, `batch` or `none`. Two backbones' features differ in scale, and
            without it the larger one decides.
    """

    name = "adaptive"
    uses = frozenset({"face", "context"})
    weighs = "features"

    def __init__(
        self,
        tasks: Mapping[str, int],
        face_dim: int,
        context_dim: int,
        *,
        hidden_dim: int = 128,
        dropout: float = 0.5,
        norm: Norm = "layer",
    ) -> None:
        super().__init__(tasks, face_dim, context_dim)
        _check(hidden_dim, dropout)
        self.face_norm, self.context_norm = pooled_norm(norm, face_dim), pooled_norm(norm, context_dim)
        self.face_score = _scorer(face_dim, hidden_dim, len(tasks))
        self.context_score = _scorer(context_dim, hidden_dim, len(tasks))
        self.body = nn.Sequential(nn.Linear(face_dim + context_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        self.heads = nn.ModuleDict({task: nn.Linear(hidden_dim, width) for task, width in tasks.items()})

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        return self.fuse(features["face"], features["context"])

    def fuse(self, face: Tensor, context: Tensor, has_face: Tensor | None = None) -> tuple[Logits, dict[str, Tensor]]:
        """Fuse pooled features [B, face_dim] and [B, context_dim].

        Args:
            face: of the face branch.
            context: of the context branch.
            has_face: [B] bool; rows without a face get the weights (0, 1) and leave no trace in BatchNorm's statistics.

        Returns:
            Logits by task [B, K] float32, and weights by task [B, 2] float32 that sum to one.
        """
        face, context = self._normed(face, has_face), self.context_norm(context)
        scores = torch.stack([self.face_score(face), self.context_score(context)], dim=1).float()
        if has_face is not None:
            scores = scores.masked_fill(~torch.stack([has_face, torch.ones_like(has_face)], dim=1).unsqueeze(2), float("-inf"))
        weights = scores.softmax(dim=1)
        gates = {task: weights[:, :, i] for i, task in enumerate(self.tasks)}
        logits = {}
        for task, gate in gates.items():
            joined = torch.cat([face * gate[:, :1], context * gate[:, 1:]], dim=1)
            logits[task] = self.heads[task](self.body(joined)).float()
        return logits, gates

    def _normed(self, face: Tensor, has_face: Tensor | None) -> Tensor:
        if has_face is None:
            return self.face_norm(face)
        if torch.compiler.is_exporting():  # no choice by values in a graph; in eval mode a row's norm is its own affair
            return torch.where(has_face.unsqueeze(1), self.face_norm(face), 0.0)
        if bool(has_face.all()):
            return self.face_norm(face)
        normed = torch.zeros_like(face, dtype=torch.float32)
        if bool(has_face.any()):
            normed[has_face] = self.face_norm(face[has_face]).float()
        return normed


class GatingNet(Fusion):
    """Sigmoid gates from the unmasked photo weigh each branch's logits.

    A small MLP reads the context encoder's pooled vector of the unmasked photo and owns only its own parameters. Its last
    layer starts at zero, so every gate starts at 1/2: the branches' mean, where the sigmoid is steepest.

    Args:
        tasks: see `Fusion`.
        face_dim: see `Fusion`.
        context_dim: see `Fusion`.
        hidden_dim: width of the hidden layer.
        dropout: on the hidden layer.
        gates: `branch` gives [B, 2] a task, `class` gives [B, 2, K].
    """

    name = "gating"
    uses = frozenset({"image"})

    def __init__(
        self,
        tasks: Mapping[str, int],
        face_dim: int,
        context_dim: int,
        *,
        hidden_dim: int = 256,
        dropout: float = 0.3,
        gates: GateKind = "branch",
    ) -> None:
        super().__init__(tasks, face_dim, context_dim)
        _check(hidden_dim, dropout)
        self.per_class = _per_class(gates)
        self.body = nn.Sequential(nn.LayerNorm(context_dim), nn.Linear(context_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        self.heads = nn.ModuleDict()
        for task, width in tasks.items():
            head = nn.Linear(hidden_dim, 2 * width if self.per_class else 2)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            self.heads[task] = head

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        hidden = self.body(features["image"])
        gates = {task: torch.sigmoid(head(hidden).float()) for task, head in self.heads.items()}
        if self.per_class:
            gates = {task: gate.unflatten(1, (2, -1)) for task, gate in gates.items()}
        face, context = branch_logits["face"], branch_logits["context"]
        return {task: weigh(face[task], context[task], gates[task]) for task in self.tasks}, gates


def fusions() -> dict[str, type[Fusion]]:
    """The fusions of this file by config name."""
    return {
        thing.name: thing
        for thing in globals().values()
        if isinstance(thing, type) and issubclass(thing, Fusion) and thing is not Fusion
    }


def build_fusion(options: Mapping[str, Any], tasks: Mapping[str, int], face_dim: int, context_dim: int) -> Fusion:
    """The fusion that `{type: NAME, **keywords}` describes.

    Raises:
        ValueError: unknown type or keyword, or a value that does not fit; the message lists what is known.
    """
    known = fusions()
    kind = options.get("type")
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"unknown type {kind!r}; known: {', '.join(sorted(known))}")
    keywords = {key: value for key, value in options.items() if key != "type"}
    allowed = [p for p in inspect.signature(known[kind].__init__).parameters if p not in _GIVEN]
    for key in keywords:
        if key not in allowed:
            raise ValueError(f"unknown option {key!r} of {kind}; known: {', '.join(allowed) or 'none'}")
    return known[kind](tasks, face_dim, context_dim, **keywords)


_GIVEN = ("self", "tasks", "face_dim", "context_dim")


def _check(hidden_dim: Any, dropout: Any) -> None:
    if not isinstance(hidden_dim, int) or isinstance(hidden_dim, bool) or hidden_dim < 1:
        raise ValueError(f"hidden_dim {hidden_dim!r}: expected a positive integer")
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise ValueError(f"dropout {dropout!r}: expected a number in [0, 1)")


def _per_class(gates: Any) -> bool:
    if gates not in ("branch", "class"):
        raise ValueError(f"gates {gates!r}; known: branch, class")
    return bool(gates == "class")


class PooledBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d that takes its running statistics where a training batch is a single row, which has no spread of its own."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(input)


def pooled_norm(kind: Norm, width: int) -> nn.Module:
    """The normalisation of pooled features [B, width].

    Raises:
        ValueError: unknown kind.
    """
    known = {"layer": nn.LayerNorm, "batch": PooledBatchNorm, "none": nn.Identity}
    if kind not in known:
        raise ValueError(f"norm {kind!r}; known: {', '.join(known)}")
    return known[kind](width)


def _scorer(width: int, hidden_dim: int, tasks: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, tasks))

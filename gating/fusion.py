"""Fusions: how the two branches' answers become one.

Enters: pooled features and logits of the branches. Leaves: fused logits and, where the fusion has them, gates in the order
(face, context). A new fusion is a class in this file: `name` is its config name, its constructor's keywords are its options.
"""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

Logits = dict[str, Tensor]


class Fusion(nn.Module):
    """Base of all fusions.

    Args:
        tasks: width of each task's logits.
        face_dim: width of the face branch's pooled features.
        context_dim: width of the context branch's pooled features (of the masked and of the unmasked image).

    Attributes:
        name: what `type:` in a config says.
        uses: features read in `forward` beside the branch logits: `face`, `context`, `image` (the unmasked photo).
    """

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]] = frozenset()

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
        gates = {task: torch.ones(len(face[task]), 2, device=face[task].device) for task in self.tasks}
        return {task: weigh(face[task], context[task], gates[task]) for task in self.tasks}, gates


class Constant(Fusion):
    """Control: two learned scalars a task, the same for every sample. They start at 1/2: the branches' mean."""

    name = "constant"

    def __init__(self, tasks: Mapping[str, int], face_dim: int, context_dim: int) -> None:
        super().__init__(tasks, face_dim, context_dim)
        self.weights = nn.ParameterDict({task: nn.Parameter(torch.full((2,), 0.5)) for task in tasks})

    def forward(
        self, features: Mapping[str, Tensor], branch_logits: Mapping[str, Logits]
    ) -> tuple[Logits, dict[str, Tensor] | None]:
        face, context = branch_logits["face"], branch_logits["context"]
        gates = {task: self.weights[task].float().expand(len(face[task]), 2) for task in self.tasks}
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
        gates: Literal["branch", "class"] = "branch",
    ) -> None:
        super().__init__(tasks, face_dim, context_dim)
        _check(hidden_dim, dropout)
        if gates not in ("branch", "class"):
            raise ValueError(f"gates {gates!r}; known: branch, class")
        self.per_class = gates == "class"
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
    if kind not in known:
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

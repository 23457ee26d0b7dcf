"""`ModelOutput`: what every model of the project returns for a batch."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class ModelOutput:
    """One forward pass.

    Attributes:
        logits: by task, [B, ...]; the model's answer.
        branch_logits: by branch (`face`, `context`), then by task, where the branch was computed.
        gates: by task, [B, 2] or, with gates per class, [B, 2, K]; order (face, context); None where the fusion has none.
        attention: [B, 1, h, w], the context branch's spatial weights (they sum to one over h, w); None without it.
    """

    logits: dict[str, Tensor]
    branch_logits: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    gates: dict[str, Tensor] | None = None
    attention: Tensor | None = None

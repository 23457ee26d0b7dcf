"""`TwoBranchNet`: a face branch, a context branch and a fusion, or one branch alone.

Enters: a batch dict (uint8 images, or cached features). Leaves: `ModelOutput`. It receives built modules and knows no names.

A branch is a module with
    out_dim                  width of its pooled features
    encode(images)           uint8 [B, 3, H, W] -> pooled [B, out_dim], attention [B, 1, h, w] or None
    classify(pooled)         [B, out_dim] -> logits by task
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gating.fusion import Fusion, Logits
from gating.output import ModelOutput

Output = Literal["face", "context", "fused"]


class TwoBranchNet(nn.Module):
    """The two-branch network; leave out a branch and the fusion for the single-branch forms.

    Raises:
        ValueError: no branch at all, or a fusion without both branches.
    """

    def __init__(self, face: nn.Module | None, context: nn.Module | None, fusion: Fusion | None = None) -> None:
        super().__init__()
        if face is None and context is None:
            raise ValueError("a TwoBranchNet needs a face branch, a context branch or both")
        if fusion is not None and (face is None or context is None):
            raise ValueError("a fusion needs both branches")
        self.face: Any = face
        self.context: Any = context
        self.fusion: Fusion | None = fusion

    def inputs(self, output: Output) -> set[str]:
        """Keys of the images that a batch needs for an output: `face`, `context`, `image`.

        Raises:
            ValueError: the network has no such output.
        """
        have = [name for name, part in self._outputs() if part is not None]
        if output not in have:
            raise ValueError(f"output {output!r}: this network has {', '.join(have)}")
        if output != "fused":
            return {output}
        assert self.fusion is not None
        return {"face", "context"} | set(self.fusion.uses)

    def _outputs(self) -> list[tuple[str, Any]]:
        return [("face", self.face), ("context", self.context), ("fused", self.fusion)]

    def encode(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Pooled features of the images in a batch, by input: `face`, `context`, `image`; each [B, out_dim]."""
        return self._encode(batch)[0]

    def _encode(self, batch: Mapping[str, Any]) -> tuple[dict[str, Tensor], Tensor | None]:
        if "features" in batch:
            return dict(batch["features"]), None
        features: dict[str, Tensor] = {}
        attention = None
        if self.face is not None and "face" in batch:
            features["face"], _ = self.face.encode(batch["face"])
        wanted = [key for key in ("context", "image") if key in batch]
        if self.context is not None and wanted:
            # One pass over both images: the same encoder, one module, and twice the batch is cheaper than two batches.
            images = torch.cat([batch[key] for key in wanted]) if len(wanted) > 1 else batch[wanted[0]]
            pooled, attention = self.context.encode(images)
            each = (len(wanted), batch[wanted[0]].shape[0])
            features.update(zip(wanted, pooled.unflatten(0, each), strict=True))
            if attention is not None:
                attention = attention.unflatten(0, each)[0]
        return features, attention

    def forward(self, batch: Mapping[str, Any]) -> ModelOutput:
        """Answer a batch with what its inputs allow.

        Args:
            batch: uint8 `face` [B, 3, Hf, Wf], `context` and `image` [B, 3, Hc, Wc], or `features` by the same names;
                optionally `has_face` [B] bool.

        Returns:
            With both branches' inputs and a fusion the fused logits, otherwise those of the one branch whose input is there.

        Raises:
            ValueError: an input is missing.
        """
        features, attention = self._encode(batch)
        branches = {name: part for name, part in self._outputs()[:2] if part is not None and name in features}
        if not branches:
            raise ValueError(f"the batch has none of the inputs {sorted(n for n, p in self._outputs()[:2] if p)}")
        branch_logits = {name: part.classify(features[name]) for name, part in branches.items()}
        if len(branches) == 1:
            return ModelOutput(next(iter(branch_logits.values())), branch_logits, None, attention)
        if self.fusion is None:
            raise ValueError("the batch has the inputs of both branches, and there is no fusion to join them")
        missing = self.fusion.uses - set(features)
        if missing:
            raise ValueError(f"fusion {self.fusion.name} needs {', '.join(sorted(missing))} in the batch")
        logits, gates = self.fusion(features, branch_logits)
        if "has_face" in batch:
            scales = self.fusion.weighs == "logits"
            logits, gates = without_face(logits, gates, branch_logits["context"], batch["has_face"], scales)
        return ModelOutput(logits, branch_logits, gates, attention)


def without_face(
    logits: Logits, gates: dict[str, Tensor] | None, context: Logits, has_face: Tensor, scales: bool = True
) -> tuple[Logits, dict[str, Tensor] | None]:
    """Let rows without a face be answered by the context alone, with gates (0, g_c).

    Args:
        logits: fused, by task [B, K].
        gates: by task [B, 2] or [B, 2, K], or None: then such rows get the context branch's own logits.
        context: the context branch's logits by task [B, K].
        has_face: [B] bool.
        scales: the gates multiply logits. Otherwise they have no scale to give to the context's own logits, which stand as
            they are, with gates (0, 1).
    """
    # A question about values, which an exported graph cannot ask; its answer saves time and changes nothing.
    if not torch.compiler.is_exporting() and bool(has_face.all()):
        return logits, gates
    absent = ~has_face
    alone = {task: value.float() for task, value in context.items()}
    if gates is not None:
        hidden = torch.stack([absent, torch.zeros_like(absent)], dim=1)
        gates = {t: g.masked_fill(hidden if g.ndim == 2 else hidden.unsqueeze(-1), 0) for t, g in gates.items()}
        if not scales:
            gates = {t: torch.where(absent.unsqueeze(1), torch.stack([~absent, absent], dim=1), g) for t, g in gates.items()}
        alone = {t: (gates[t][:, 1:] if gates[t].ndim == 2 else gates[t][:, 1]) * alone[t] for t in alone}
    return {task: torch.where(absent.unsqueeze(1), alone[task], logits[task]) for task in logits}, gates

"""A branch: encoder, pooling (with or without attention) and a classifier for each task."""

import torch
from torch import Tensor, nn

from caer.models.attention import SpatialAttention
from caer.models.backbones import Backbone


class Branch(nn.Module):
    """Images to pooled features to logits by task.

    Args:
        backbone: the encoder.
        heads: a classifier for each task, from `out_dim`.
        attention: pools the feature map where given, else the backbone's own pooling does.
        dropout: on the pooled features, before the classifiers.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, heads: nn.ModuleDict, attention: SpatialAttention | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone, self.attention = backbone, attention
        self.dropout, self.heads = nn.Dropout(dropout), heads
        self.out_dim = branch_width(backbone, attention is not None)
        # In units of bytes, so that normalising is one subtraction and one division; not part of the state.
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 RGB [B, 3, H, W] -> what the backbone's weights expect."""
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 RGB [B, 3, H, W] -> pooled [B, out_dim] float32, attention [B, 1, h, w] or None."""
        features = self.backbone.features(self.normalise(images))
        if self.attention is not None:
            return self.attention(features)
        return self.backbone.pool(features).float(), None

    def classify(self, pooled: Tensor) -> dict[str, Tensor]:
        """Pooled features [B, out_dim] -> logits [B, K] float32 by task."""
        pooled = self.dropout(pooled)
        return {task: head(pooled).float() for task, head in self.heads.items()}


def branch_width(backbone: Backbone, attention: bool) -> int:
    """Width of a branch's pooled features: attention pools the map itself and skips the backbone's own head."""
    return backbone.map_dim if attention else backbone.out_dim

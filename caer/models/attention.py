"""Where in the photo to look: spatial attention over a feature map."""

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Weights over the cells of a feature map, and the weighted sum of its vectors.

    1x1 convolution to `hidden` channels, ReLU, 3x3 convolution to one score a cell, softmax over the cells. The last layer
    starts at zero: at first every cell has the same weight and the result is plain average pooling. It is a sum, not a mean, so
    the pooled vector has the scale of the features.

    Args:
        channels: width of the map.
        hidden: width in between.
    """

    def __init__(self, channels: int, hidden: int = 256) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 3, padding=1)
        nn.init.zeros_(self.score.weight)
        assert self.score.bias is not None
        nn.init.zeros_(self.score.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, h, w] -> pooled [B, C] float32 and weights [B, 1, h, w] float32 that sum to one over the cells."""
        scores = self.score(torch.relu(self.reduce(features)))
        weights = scores.float().flatten(1).softmax(dim=1).view(scores.shape)
        return (features.float() * weights).sum(dim=(2, 3)), weights

"""BKNet: a small VGG-like network for grey 48x48 faces (Sang and Cuong 2018, https://doi.org/10.31449/inf.v42i3.2301).

Four blocks of 3x3 conv, BatchNorm, ReLU, each closed by a 2x2 max-pool: 2 x 32, 2 x 64, 2 x 128, 3 x 256 channels. Its heads
(FC256-FC256-classes for each task) are those of the `multitask` model.
"""

from typing import ClassVar

from torch import Tensor, nn

from caer.models.backbone import Backbone

BLOCKS = ((32, 2), (64, 2), (128, 2), (256, 3))
"""Channels and convolutions of each block."""

SIDE = 48
"""Pixels of the input."""


class BKNet(Backbone):
    """Normalised [B, 3, 48, 48] -> map [B, 256, 3, 3] -> all its 2,304 values.

    The bytes x are normalised to (x - 128) / 255 and then weighed to luma; pictures that are grey already stay as they are.
    """

    name: ClassVar[str] = "bknet"
    image_size = SIDE
    keeps_places = True
    map_dim = BLOCKS[-1][0]
    out_dim = map_dim * (SIDE // 2 ** len(BLOCKS)) ** 2
    mean = (128 / 255,) * 3
    std = (1.0,) * 3

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *(channels for channels, _ in BLOCKS)]
        self.blocks = nn.Sequential(*(_block(widths[i], channels, count) for i, (channels, count) in enumerate(BLOCKS)))

    def features(self, images: Tensor) -> Tensor:
        """See `Backbone.features`."""
        return self.blocks(to_grey(images))

    def pool(self, features: Tensor) -> Tensor:
        """See `Backbone.pool`."""
        return features.flatten(1)


def to_grey(images: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W] luma (ITU-R BT.601)."""
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _block(inputs: int, outputs: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        conv = nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))

"""What every backbone is: normalised images in, a feature map and pooled features out; it states its own widths."""

from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module):
    """Base of all backbones.

    Attributes:
        name: config name of a class in this file.
        out_dim: width of what `pool` returns.
        map_dim: channels of what `features` returns.
        mean, std: what its pretrained weights expect, per RGB channel in [0, 1].
        image_size: the only side of its input, in pixels; None where it takes any.
        keeps_places: whether `pool` keeps the map's values apart by their places instead of pooling over them.
    """

    name: ClassVar[str] = ""
    image_size: int | None = None
    keeps_places: ClassVar[bool] = False
    out_dim: int
    map_dim: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> feature map [B, map_dim, h, w]."""
        raise NotImplementedError

    def pool(self, features: Tensor) -> Tensor:
        """What `features` returned -> [B, out_dim]."""
        raise NotImplementedError

    def drop_pooling(self) -> None:
        """Forget the weights that only `pool` needs; `features` still works."""

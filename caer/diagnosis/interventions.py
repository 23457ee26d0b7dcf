"""What is done to a model's inputs: faces covered, blurred, blanked; scenes blanked, exchanged, mixed with another's.

Enters: stored pictures with the face's box, before mask and geometry (`caer.data.dataset.RowAlter`), or whole samples. Leaves:
the same, changed. What happens to a face happens in the crop and in the photo alike. All is a function of the seed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from caer.config import Mask
from caer.data.dataset import SampleDataset
from caer.data.seeds import derive_seed
from preprocessing.mask import mask_faces

Kind = Literal["crop", "photo"]
Donor = Literal["any", "same", "other"]

SEED = 20_250
SCENE = ("context", "image")
"""Pictures of the whole photo: they are exchanged together, as what the gate sees belongs to what the context branch sees."""


class Alteration:
    """A change of stored pictures; `reaches` names the inputs that it can change where the mask hides the face's box."""

    reaches: ClassVar[frozenset[str]]

    def __call__(self, i: int, kind: Kind, picture: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """The picture [H, W, 3] of row `i`, changed; the given one stays as it is. `box` (4,) is the face's in its pixels."""
        raise NotImplementedError


@dataclass(frozen=True)
class CoverFace(Alteration):
    """Hide a part of the face's box under black, as something before the face would.

    Attributes:
        share: of the box's area; the part has the box's shape.
        places: [N, 2] in [0, 1], where each row's part lies between the left and right, the upper and lower end of its box. A
            larger part covers what a smaller one covers.
    """

    share: float
    places: np.ndarray
    reaches = frozenset({"face", "image"})

    def __call__(self, i: int, kind: Kind, picture: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        if box is None or not self.share:
            return picture
        corner, size = box[:2], box[2:] - box[:2]
        part = size * self.share**0.5
        start = corner + self.places[i] * (size - part)
        return mask_faces(picture, np.concatenate([start, start + part]), "black", 0.0)


@dataclass(frozen=True)
class BlurFace(Alteration):
    """Blur the face's box; `sigma` of the Gaussian as a share of the box's side (the square root of its area)."""

    sigma: float
    reaches = frozenset({"face", "image"})

    def __call__(self, i: int, kind: Kind, picture: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        if box is None or not self.sigma:
            return picture
        inside = _inside(picture, box)
        side = float(np.prod(box[2:] - box[:2])) ** 0.5
        blurred = cv2.GaussianBlur(picture, (0, 0), max(self.sigma * side, 1e-3))
        return np.where(inside, blurred, picture)


@dataclass(frozen=True)
class BlankFace(Alteration):
    """Take the face away: the crop is black, as for a row without a face, and the photo shows what the context image shows."""

    mask: Mask
    reaches = frozenset({"face", "image"})

    def __call__(self, i: int, kind: Kind, picture: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        if kind == "crop":
            return np.zeros_like(picture)
        return picture if box is None else mask_faces(picture, box, self.mask.fill, self.mask.margin)


@dataclass(frozen=True)
class BlankScene(Alteration):
    """Take the scene away: black wherever the photo shows something else than the face. The crop stays."""

    reaches = frozenset({"context", "image"})

    def __call__(self, i: int, kind: Kind, picture: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        if kind == "crop":
            return picture
        return np.zeros_like(picture) if box is None else np.where(_inside(picture, box), picture, 0).astype(np.uint8)


def _inside(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """[H, W, 1] bool: the pixels that the box touches."""
    return mask_faces(np.ones_like(picture), box, "black", 0.0)[..., :1] == 0


def places_of(sample_ids: list[str], seed: int = SEED) -> np.ndarray:
    """A place [N, 2] in [0, 1] for each sample, whichever others there are."""
    return np.array([np.random.default_rng(derive_seed(seed, "place", name)).random(2) for name in sample_ids]).reshape(-1, 2)


def draw_donors(targets: np.ndarray, codes: np.ndarray, kind: Donor, seed: int) -> np.ndarray:
    """For each row another one, of another group, that gives it its scene.

    Args:
        targets: [N] int.
        codes: [N] int, groups. Rows of one group may share their scene, so none gives to another.
        kind: `any` class, the `same` class, or any `other` class.
        seed: of the draw.

    Returns:
        [N] int64 row numbers; -1 where no row qualifies.
    """
    rng = np.random.default_rng(seed)
    donors = np.full(len(targets), -1)
    for i, chance in enumerate(rng.random(len(targets))):
        allowed = codes != codes[i]
        if kind != "any":
            allowed &= (targets == targets[i]) == (kind == "same")
        candidates = np.flatnonzero(allowed)
        if len(candidates):
            donors[i] = candidates[int(chance * len(candidates))]
    return donors


class MixedScenes(Dataset[dict[str, Any]]):
    """Samples whose scene is `1 - share` their own and `share` their donor's, pixel by pixel, each with its own face masked.

    Args:
        samples: the intact samples.
        donors: [N] row numbers.
        share: 0 leaves a sample bit for bit as it is, 1 gives it the donor's scene. The face is its own in any case.
    """

    def __init__(self, samples: SampleDataset, donors: np.ndarray, share: float) -> None:
        self.samples, self.donors, self.share = samples, donors, share

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> dict[str, Any]:
        sample, donor = self.samples[i], self.samples[int(self.donors[i])]
        pictures = dict(sample["pictures"])
        for name in set(SCENE) & set(pictures):
            mixed = torch.lerp(pictures[name].float(), donor["pictures"][name].float(), self.share)
            pictures[name] = mixed.round().to(torch.uint8)
        return {**sample, "pictures": pictures}

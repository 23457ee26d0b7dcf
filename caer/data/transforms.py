"""Random changes of training images (albumentations), the same for the same (seed, stage, epoch, index, repeat) in any process.

Enters and leaves: a dict of uint8 RGB arrays [H, W, 3] under `face`, `context`, `image`. The mirror image is drawn once for all
of them; crop, rotation and colour once for the face and once for the scene, so that `context` and `image` stay pixel on pixel.
"""

import os

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # must stand before the import, which asks the network for its newest version

import random

import albumentations as A
import cv2
import numpy as np

from caer.config import Augmentation
from caer.data.seeds import derive_seed

SCENE = ("context", "image")


def _transforms(options: Augmentation, side: int) -> list[A.BasicTransform]:
    """Crop, turn, colour. Colour changes are per pixel (no image mean): the hidden face must not tint its context."""
    steps: list[A.BasicTransform] = []
    if options.pad > 0:
        padded = side + 2 * options.pad
        steps.append(A.PadIfNeeded(padded, padded, border_mode=cv2.BORDER_REFLECT_101, p=1.0))
        steps.append(A.RandomCrop(side, side, p=1.0))
    if options.crop_scale < 1:
        steps.append(A.RandomResizedCrop((side, side), scale=(options.crop_scale, 1.0), ratio=(0.9, 1.1), p=1.0))
    if options.rotate > 0:
        steps.append(A.Rotate(options.rotate, border_mode=cv2.BORDER_REFLECT_101, p=1.0))
    if options.color > 0:
        c = options.color
        steps.append(A.RandomBrightnessContrast(c, c, p=1.0))
        steps.append(A.ColorJitter(brightness=(1, 1), contrast=(1, 1), saturation=(1 - c, 1 + c), hue=(0, 0), p=1.0))
    if options.gray > 0:
        steps.append(A.ToGray(p=options.gray))
    return steps


class Augment:
    """The augmentation of one training stage.

    Args:
        options: what is drawn, and how strongly.
        face: side of the face crop in pixels.
        context: side of the context image in pixels.
        seed: the run's seed.
        stage: the stage's number.
    """

    def __init__(self, options: Augmentation, face: int, context: int, seed: int, stage: int) -> None:
        self.flip, self.seed, self.stage = options.flip, seed, stage
        self._face = A.Compose(_transforms(options, face))
        self._scene = A.Compose(_transforms(options, context), additional_targets={"second": "image"})

    def __call__(self, images: dict[str, np.ndarray], epoch: int, index: int, repeat: int = 0) -> dict[str, np.ndarray]:
        """Changed copies of a sample's images; which of them are present does not change what is drawn for the others."""
        seed = derive_seed(self.seed, self.stage, epoch, index, repeat)
        images = dict(images)
        if random.Random(seed).random() < self.flip:
            images = {name: np.ascontiguousarray(image[:, ::-1]) for name, image in images.items()}
        if "face" in images:
            _set_state(self._face, derive_seed(seed, "face"))
            images["face"] = self._face(image=images["face"])["image"]
        scene = [name for name in SCENE if name in images]
        if scene:
            _set_state(self._scene, derive_seed(seed, "scene"))
            changed = self._scene(**dict(zip(("image", "second"), (images[name] for name in scene), strict=False)))
            images.update(zip(scene, (changed[key] for key in ("image", "second") if key in changed), strict=True))
        return images


def _set_state(transform: A.Compose, seed: int) -> None:
    # Not set_random_seed: it gives every step the same seed, so a large crop would always come with a large turn.
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))

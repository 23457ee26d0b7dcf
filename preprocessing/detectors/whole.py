"""The whole image is the face: for sets of small face pictures (48 x 48). No landmarks, so crops from it cannot be aligned."""

from typing import Literal

import numpy as np

from preprocessing.settings import StrictModel
from preprocessing.types import Face


class Config(StrictModel):
    """Options of the detector `whole`."""

    type: Literal["whole"] = "whole"


class Whole:
    """The detector; see the module."""

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """One face with score 1 that fills the photo."""
        height, width = image.shape[:2]
        return [Face(np.array([0, 0, width, height], dtype=np.float32), None, 1.0)]


def build(config: Config) -> Whole:
    """The detector of a config."""
    return Whole()

"""MTCNN (Zhang et al. 2016, https://arxiv.org/abs/1604.02878) through the optional package facenet-pytorch.

Enters: an upright photo. Leaves: faces with five landmarks. Slower than `retinaface` on a CPU; a second opinion that needs no
download, because the weights come with the package.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from preprocessing.detectors._torch import DeviceName, import_optional, pick_device, thread_limit
from preprocessing.detectors.base import clip_boxes, reduce
from preprocessing.settings import StrictModel
from preprocessing.types import Face


class Config(StrictModel):
    """Options of the detector `mtcnn`."""

    type: Literal["mtcnn"] = "mtcnn"
    max_side: int = Field(1024, ge=64)
    """Photos are reduced to this longer side first; faces are given in the photo's own pixels."""
    min_face: int = Field(20, ge=12)
    """Smallest face that is looked for, in pixels of the reduced photo; time grows as it falls."""
    stage_thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    """Least scores to pass the three networks; `threshold` of the settings decides what counts as a face."""
    pyramid_factor: float = Field(0.709, gt=0.3, lt=0.95)
    """From one size of the image pyramid to the next."""
    device: DeviceName = "auto"
    threads: int = Field(1, ge=1)
    """Of PyTorch on the CPU; preprocessing runs one worker process a core."""


class MTCNN:
    """The detector; used by one thread at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        package = import_optional("facenet_pytorch", "facenet-pytorch", "mtcnn")
        self.networks = package.MTCNN(
            min_face_size=config.min_face,
            thresholds=list(config.stage_thresholds),
            factor=config.pyramid_factor,
            keep_all=True,
            device=pick_device(config.device),
        ).eval()

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """Faces by falling score; see `Detector.detect`."""
        height, width = image.shape[:2]
        small, scale = reduce(image, self.config.max_side)
        if min(small.shape[:2]) < self.config.min_face:
            return []  # no pyramid level is left: the package would fail on an empty list
        with thread_limit(self.config.threads), torch.inference_mode():
            boxes, scores, points = self.networks.detect(np.ascontiguousarray(small), landmarks=True)
        if boxes is None:  # no face: (None, array([None]), None)
            return []
        # arrays of dtype object, whatever is in them
        boxes = clip_boxes(boxes.astype(np.float64) * np.tile(scale, 2), width, height)
        landmarks = (points.astype(np.float64) * scale).astype(np.float32)
        scores = np.clip(scores.astype(np.float64), 0, 1)
        order = np.argsort(-scores, kind="stable")
        faces = [Face(boxes[i], landmarks[i], float(scores[i])) for i in order]
        return [face for face in faces if face.size > 0]


def build(config: Config) -> MTCNN:
    """The detector of a config."""
    return MTCNN(config)

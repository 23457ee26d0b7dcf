"""RetinaFace with a MobileNet-0.25 backbone on ONNX Runtime (Deng et al., CVPR 2020, https://arxiv.org/abs/1905.00641).

Enters: an upright photo. Leaves: faces with five landmarks. The network scores anchors of two sizes in each cell of three grids
and says how far box and landmarks lie from them; decoding and suppression are ours.
"""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import onnxruntime
from pydantic import Field

from preprocessing.detectors.base import decode, faces_of, reduce
from preprocessing.settings import StrictModel
from preprocessing.types import Face
from preprocessing.weights import retinaface_onnx

ANCHORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Stride of the grid in pixels -> sides of its square anchors."""
BGR_MEAN = np.array([104, 117, 123], dtype=np.float32)
VARIANCES = 0.1, 0.2


class Config(StrictModel):
    """Options of the detector `retinaface`."""

    type: Literal["retinaface"] = "retinaface"
    max_side: int = Field(1024, ge=64)
    """Photos are reduced to this longer side first; faces are given in the photo's own pixels."""
    min_score: float = Field(0.1, ge=0.01, le=1)
    """Anchors below it are not looked at; `threshold` of the settings decides what counts as a face."""
    overlap: float = Field(0.4, gt=0, lt=1)
    """IoU above which the worse of two boxes goes."""
    threads: int = Field(1, ge=1)
    """Of the network; preprocessing runs one worker process a core."""


class RetinaFace:
    """The detector; one session, used by one thread at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(retinaface_onnx()), options, providers=["CPUExecutionProvider"])

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """Faces by falling score; see `Detector.detect`."""
        small, scale = reduce(image, self.config.max_side)
        outputs = self.session.run(["loc", "conf", "landmarks"], {"input": network_input(small)})
        offsets, scores, points = (np.asarray(o)[0] for o in outputs)
        found = decode(
            anchors(*small.shape[:2]), offsets, scores[:, 1], points, min_score=self.config.min_score, variances=VARIANCES
        )
        return faces_of(*found, overlap=self.config.overlap, scale=scale, size=image.shape[:2])


def build(config: Config) -> RetinaFace:
    """The detector of a config."""
    return RetinaFace(config)


def network_input(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> [1, 3, H, W] float32 BGR without the mean."""
    planes = np.empty((1, 3, *image.shape[:2]), dtype=np.float32)
    for plane, (channel, mean) in enumerate(zip((2, 1, 0), BGR_MEAN, strict=True)):
        np.subtract(image[..., channel], mean, out=planes[0, plane])
    return planes


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> np.ndarray:
    """(A, 3) `[center x, center y, side]` in pixels, in the order of the network's outputs: grid, row, column, size."""
    grids = []
    for stride, sides in ANCHORS.items():
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), np.array(sides), indexing="ij")
        grids.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float32)

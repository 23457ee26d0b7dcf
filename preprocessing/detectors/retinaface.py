"""RetinaFace with a MobileNet-0.25 backbone on ONNX Runtime (Deng et al., CVPR 2020, https://arxiv.org/abs/1905.00641).

Enters: an upright photo. Leaves: faces with five landmarks. The network scores anchors of two sizes in each cell of three grids and says how
far box and landmarks lie from them; decoding and suppression are ours.
"""

import math
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import onnxruntime
from pydantic import Field

from preprocessing.detectors.base import clip_boxes, non_maximum_suppression
from preprocessing.settings import StrictModel
from preprocessing.types import Face
from preprocessing.weights import retinaface_onnx

ANCHORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Stride of the grid in pixels -> sides of its square anchors."""
BGR_MEAN = np.array([104, 117, 123], dtype=np.float32)
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


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
        height, width = image.shape[:2]
        small, scale = reduce(image, self.config.max_side)
        outputs = self.session.run(["loc", "conf", "landmarks"], {"input": network_input(small)})
        offsets, scores, points = (np.asarray(o)[0] for o in outputs)
        boxes, landmarks, scores = decode(offsets, scores[:, 1], points, small.shape[:2], self.config.min_score)
        kept = non_maximum_suppression(boxes, scores, self.config.overlap)
        boxes = clip_boxes(boxes[kept] * np.tile(scale, 2), width, height)
        landmarks = (landmarks[kept] * scale).astype(np.float32)
        found = zip(boxes, landmarks, scores[kept], strict=True)
        return [Face(b, p, float(s)) for b, p, s in found if (b[2:] > b[:2]).all()]


def build(config: Config) -> RetinaFace:
    """The detector of a config."""
    return RetinaFace(config)


def reduce(image: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo with its longer side at most `max_side`, and (2,) how much larger the original is in x and y."""
    height, width = image.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return image, np.ones(2)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([width / size[0], height / size[1]])


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


def decode(
    offsets: np.ndarray, scores: np.ndarray, points: np.ndarray, size: tuple[int, int], min_score: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Network outputs -> candidates with at least `min_score`.

    Args:
        offsets: (A, 4) of centre and log-side, in units of the anchor and the variances.
        scores: (A,) probability of a face.
        points: (A, 10) offsets of the landmarks.
        size: (height, width) of the network's input.
        min_score: see above.

    Returns:
        Boxes (N, 4), landmarks (N, 5, 2) in pixels of the input, scores (N,).
    """
    likely = np.flatnonzero(scores >= min_score)
    anchor = anchors(*size)[likely]
    centers, sides = anchor[:, :2], anchor[:, 2:]
    center = centers + offsets[likely, :2] * CENTER_VARIANCE * sides
    half = sides * np.exp(offsets[likely, 2:] * SIZE_VARIANCE) / 2
    landmarks = centers[:, None] + points[likely].reshape(-1, 5, 2) * CENTER_VARIANCE * sides[:, None]
    return np.concatenate([center - half, center + half], axis=1), landmarks, scores[likely]

"""What a detector is, and the geometry that detectors share."""

from typing import Protocol

import cv2
import numpy as np

from preprocessing.types import Face


class Detector(Protocol):
    """Finds faces in a photo."""

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """Find faces.

        Args:
            image: [H, W, 3] uint8 RGB, upright.
            key: the photo's path relative to the dataset's root; for detectors that look answers up.

        Returns:
            Faces in pixels of the photo, by falling score.
        """
        ...


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with others (N, 4) -> (N,); boxes without area have none."""
    corner = np.maximum(box[:2], others[:, :2])
    sides = np.clip(np.minimum(box[2:4], others[:, 2:4]) - corner, 0, None)
    both = sides[:, 0] * sides[:, 1]
    areas = np.prod(np.clip(others[:, 2:4] - others[:, :2], 0, None), axis=1)
    total = np.prod(np.clip(box[2:4] - box[:2], 0, None)) + areas - both
    return np.divide(both, total, out=np.zeros_like(both), where=total > 0)


def non_maximum_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Keep the best-scored box of each heap of overlapping ones.

    Args:
        boxes: (N, 4) `[x1, y1, x2, y2]`.
        scores: (N,).
        threshold: boxes that overlap a kept one by a larger IoU go.

    Returns:
        Indices of the kept boxes, by falling score; of equal scores the first given wins.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[iou(boxes[best], boxes[order]) <= threshold]
    return np.array(kept, dtype=np.int64)


def clip_boxes(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes (N, 4) cut to the frame, as float32."""
    return np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)


def reduce(image: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo with its longer side at most `max_side`, and (2,) how much larger the original is in x and y."""
    height, width = image.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return image, np.ones(2)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([width / size[0], height / size[1]])


def decode(
    anchors: np.ndarray,
    offsets: np.ndarray,
    scores: np.ndarray,
    points: np.ndarray,
    *,
    min_score: float,
    variances: tuple[float, float] = (1.0, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs of a RetinaFace network -> candidates with at least `min_score`.

    Args:
        anchors: (A, 3) `[center x, center y, side]` in pixels of the network's input.
        offsets: (A, 4) of centre and log-side, in units of the anchor and the variances.
        scores: (A,) probability of a face.
        points: (A, 10) offsets of the landmarks.
        min_score: see above.
        variances: units of centre and log-side that the network was trained with.

    Returns:
        Boxes (N, 4), landmarks (N, 5, 2) in pixels of the input, scores (N,).
    """
    likely = np.flatnonzero(scores >= min_score)
    centers, sides = anchors[likely, :2], anchors[likely, 2:]
    center = centers + offsets[likely, :2] * variances[0] * sides
    half = sides * np.exp(offsets[likely, 2:] * variances[1]) / 2
    landmarks = centers[:, None] + points[likely].reshape(-1, 5, 2) * variances[0] * sides[:, None]
    return np.concatenate([center - half, center + half], axis=1), landmarks, scores[likely]


def faces_of(
    boxes: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, *, overlap: float, scale: np.ndarray, size: tuple[int, int]
) -> list[Face]:
    """Candidates in pixels of the reduced photo -> faces in pixels of the photo, by falling score.

    Args:
        boxes: (N, 4).
        landmarks: (N, 5, 2).
        scores: (N,).
        overlap: IoU above which the worse of two boxes goes.
        scale: (2,) from `reduce`.
        size: (height, width) of the photo; boxes are cut to it, those without area go.
    """
    height, width = size
    kept = non_maximum_suppression(boxes, scores, overlap)
    boxes = clip_boxes(boxes[kept] * np.tile(scale, 2), width, height)
    landmarks = (landmarks[kept] * scale).astype(np.float32)
    found = zip(boxes, landmarks, scores[kept], strict=True)
    return [Face(b, p, float(s)) for b, p, s in found if (b[2:] > b[:2]).all()]

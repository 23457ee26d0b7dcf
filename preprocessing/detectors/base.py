"""What a detector is, and the geometry that detectors share."""

from typing import Protocol

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

"""Hide faces in a photo: the only implementation, used when the context image is loaded and by `--write-context`."""

import math

import cv2
import numpy as np

_BLUR_CELLS = 4
"""A blurred face is what is left of this many cells a side: less than a mouth or an eye."""


def mask_faces(image: np.ndarray, boxes: np.ndarray, fill: str, margin: float) -> np.ndarray:
    """Hide boxes in a photo.

    Args:
        image: [H, W, 3] uint8; not changed.
        boxes: (N, 4) `[x1, y1, x2, y2]` in its pixels; they may leave the frame.
        fill: `black`; `mean` (the mean colour of what stays visible); `blur` (each box reduced to 4 x 4 cells and back).
        margin: each box grows by this share of its width and height on each side.

    Returns:
        [H, W, 3] uint8, a copy; every pixel that a grown box touches is hidden.
    """
    assert fill in ("black", "mean", "blur"), fill
    masked = image.copy()
    regions = [region for box in np.asarray(boxes).reshape(-1, 4) if (region := _region(box, margin, image.shape))]
    color = _visible_mean(image, regions) if fill == "mean" else np.zeros(3, dtype=np.uint8)
    for rows, columns in regions:
        if fill == "blur":
            masked[rows, columns] = _blurred(image[rows, columns])
        else:
            masked[rows, columns] = color
    return masked


def _region(box: np.ndarray, margin: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    x1, y1, x2, y2 = (float(v) for v in box)
    grow_x, grow_y = margin * (x2 - x1), margin * (y2 - y1)
    left, right = max(0, math.floor(x1 - grow_x)), min(shape[1], math.ceil(x2 + grow_x))
    top, bottom = max(0, math.floor(y1 - grow_y)), min(shape[0], math.ceil(y2 + grow_y))
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _visible_mean(image: np.ndarray, regions: list[tuple[slice, slice]]) -> np.ndarray:
    visible = np.ones(image.shape[:2], dtype=bool)
    for region in regions:
        visible[region] = False
    if not visible.any():
        return np.zeros(3, dtype=np.uint8)
    return (image[visible].mean(axis=0) + 0.5).astype(np.uint8)


def _blurred(patch: np.ndarray) -> np.ndarray:
    height, width = patch.shape[:2]
    cells = cv2.resize(patch, (min(_BLUR_CELLS, width), min(_BLUR_CELLS, height)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR).reshape(patch.shape)

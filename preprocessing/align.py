"""The face crop at load time: one warp from the stored, generous, upright crop to the network's square input.

Aligned: the similarity that brings the five landmarks closest to the ArcFace template (https://arxiv.org/abs/1801.07698).
Plain: the square around the box. Coordinates are continuous: pixel i covers [i, i + 1].
"""

import cv2
import numpy as np

from preprocessing.errors import UserError

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], dtype=np.float64
)
"""Landmarks in the 112 x 112 crop of ArcFace, in the order of `Face.landmarks`."""
TEMPLATE_SIDE = 112.0


def warp_face(
    crop: np.ndarray, box: np.ndarray, landmarks: np.ndarray | None, size: int, aligned: bool, margin: float
) -> np.ndarray:
    """Cut the face out of its stored crop.

    Args:
        crop: [H, W, 3] uint8.
        box: (4,) face box in pixels of the crop.
        landmarks: (5, 2) in pixels of the crop, or None.
        size: side of the result in pixels.
        aligned: by the landmarks, else by the box.
        margin: what is shown beyond the template or the box, on each side, as a share of its side.

    Returns:
        [size, size, 3] uint8; black where the crop ends.

    Raises:
        UserError: aligned without landmarks.
    """
    if aligned and landmarks is None:
        raise UserError(
            "an aligned face crop needs landmarks: set model.face.aligned: false, or preprocess with a detector that finds them"
        )
    matrix = alignment(np.asarray(landmarks, dtype=np.float64), size, margin) if aligned else cut(box, size, margin)
    crop, matrix = _reduce(crop, matrix)
    # cv2 counts pixel centres as integers, half a pixel off the continuous coordinates
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    return cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def alignment(landmarks: np.ndarray, size: int, margin: float) -> np.ndarray:
    """(2, 3) similarity from the landmarks' pixels to the crop: least squares, without reflection.

    With points as complex numbers it is z -> a z + b, and a, b have a closed form.
    """
    target = (TEMPLATE / TEMPLATE_SIDE + margin) * (size / (1 + 2 * margin))
    source_z, target_z = landmarks[:, 0] + 1j * landmarks[:, 1], target[:, 0] + 1j * target[:, 1]
    source_0 = source_z - source_z.mean()
    spread = float((source_0.real**2 + source_0.imag**2).sum())
    if spread < 1e-6:
        raise UserError("the five landmarks of a face coincide, so it cannot be aligned")
    a = (source_0.conj() * (target_z - target_z.mean())).sum() / spread
    b = target_z.mean() - a * source_z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def cut(box: np.ndarray, size: int, margin: float) -> np.ndarray:
    """(2, 3) map from pixels to the square with the box's centre and longer side, plus the margin on each side."""
    x1, y1, x2, y2 = (float(v) for v in box)
    side = max(x2 - x1, y2 - y1, 1e-3) * (1 + 2 * margin)
    scale = size / side
    return np.array(
        [[scale, 0.0, size / 2 - scale * (x1 + x2) / 2], [0.0, scale, size / 2 - scale * (y1 + y2) / 2]], dtype=np.float64
    )


def _reduce(crop: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a crop that the warp would shrink by more than 1.5, by area, so that bilinear sampling does not alias."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale >= 1 / 1.5:
        return crop, matrix
    height, width = crop.shape[:2]
    new = max(1, round(width * scale)), max(1, round(height * scale))
    matrix = matrix @ np.diag([width / new[0], height / new[1], 1.0])
    return cv2.resize(crop, new, interpolation=cv2.INTER_AREA), matrix

"""Do two thumbnails show the same picture? One is moved onto the other, then their details must agree everywhere.

Enters: two grey thumbnails. Leaves: a number up to 1. The move is affine, found by maximising the enhanced correlation
coefficient (Evangelidis, Psarakis 2008, https://doi.org/10.1109/TPAMI.2008.113), so that crops of a few percent are made good.
Details are what is left without slow changes: faces framed and lit alike agree in those and in little else. The lowest
correlation over the quadrants and the middle counts: scenes in one frame or on one stage agree in that and not within.
"""

import cv2
import numpy as np

_SMOOTHING = 3.0
"""Standard deviation, in pixels, of the Gaussian whose result does not count as detail."""
_FLAT = 1.0
"""Details of fewer grey levels than this are none."""
_EDGE = 2
_ITERATIONS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
_INVERSE = cv2.WARP_INVERSE_MAP


def agreement(left: np.ndarray, right: np.ndarray) -> float:
    """Lowest correlation of details over quadrants and middle of two [S, S] uint8 pictures, in [-1, 1].

    It is -1 where no move brings them together.
    """
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(left, right, start, cv2.MOTION_AFFINE, _ITERATIONS, np.ones_like(left), 5)
    except cv2.error:  # does not converge: the pictures have nothing in common
        return -1.0
    move, size = np.asarray(found), left.shape[::-1]
    moved = cv2.warpAffine(right, move, size, flags=cv2.INTER_LINEAR | _INVERSE)
    inside = cv2.warpAffine(np.ones_like(right), move, size, flags=cv2.INTER_NEAREST | _INVERSE) > 0
    inside[:_EDGE] = inside[-_EDGE:] = False
    inside[:, :_EDGE] = inside[:, -_EDGE:] = False
    first, second = _details(left), _details(moved)
    every = [_correlation(first[part][inside[part]], second[part][inside[part]]) for part in _parts(left.shape[0])]
    known = [value for value in every if value is not None]
    return min(known) if known else -1.0


def _details(grey: np.ndarray) -> np.ndarray:
    values = grey.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), _SMOOTHING)


def _parts(side: int) -> list[tuple[slice, slice]]:
    half = side // 2
    first, second, middle = slice(0, half), slice(half, side), slice(half // 2, side - half // 2)
    return [(first, first), (first, second), (second, first), (second, second), (middle, middle)]


def _correlation(left: np.ndarray, right: np.ndarray) -> float | None:
    """None where both are flat or hardly overlap: nothing to compare."""
    if len(left) < 60 or max(left.std(), right.std()) < _FLAT:
        return None
    left, right = left - left.mean(), right - right.mean()
    return float(left @ right / max(np.linalg.norm(left) * np.linalg.norm(right), 1e-6))

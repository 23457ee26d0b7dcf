"""An antialiased drawing surface: everything is drawn at twice the size and reduced at the end.

Enters: shapes in pixels of the photo (float, pixel centres at whole numbers), colours as RGB in 0..255.
Leaves: [H, W, 3] uint8 RGB.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np

SUPERSAMPLING = 2
_SHIFT = 4

Colour = Sequence[float] | np.ndarray


class Canvas:
    """A photo in the making, `width` x `height` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 3), np.uint8)

    def polygon(self, points: np.ndarray, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a closed outline (N, 2)."""

        def draw(target: np.ndarray, offset: np.ndarray) -> None:
            cv2.fillPoly(target, [_fixed(_large(points) - offset)], _rgb(colour), cv2.LINE_AA, _SHIFT)

        self._blend(points, 1, alpha, draw)

    def line(self, points: np.ndarray, colour: Colour, width: float, alpha: float = 1.0) -> None:
        """Draw an open line (N, 2) of a width in pixels of the photo."""
        self.lines(points[None], colour, width, alpha)

    def lines(self, lines: np.ndarray, colour: Colour, width: float, alpha: float = 1.0) -> None:
        """Draw many open lines (M, N, 2)."""
        thickness = max(1, round(width * SUPERSAMPLING))

        def draw(target: np.ndarray, offset: np.ndarray) -> None:
            fixed = _fixed(_large(lines) - offset)
            cv2.polylines(target, list(fixed), False, _rgb(colour), thickness, cv2.LINE_AA, _SHIFT)

        self._blend(lines.reshape(-1, 2), width, alpha, draw)

    def disc(self, centre: Sequence[float] | np.ndarray, radius: float, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a circle."""
        self.polygon(ellipse(centre, radius, radius), colour, alpha)

    def glow(self, centre: Sequence[float], radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Mix in a colour that fades outwards, gone at `radius`."""
        corner = np.array([[-radius, -radius], [radius, radius]]) + centre
        (x1, y1, x2, y2), patch = self._patch(corner, 0)
        if patch.size == 0:
            return
        x = (np.arange(x1, x2, dtype=np.float32) / SUPERSAMPLING - centre[0]) / radius
        y = (np.arange(y1, y2, dtype=np.float32) / SUPERSAMPLING - centre[1]) / radius
        weight = np.clip(1 - np.add.outer(y * y, x * x), 0, 1) ** 2 * np.float32(strength)
        over = np.empty_like(patch)
        over[:] = _rgb(colour)
        patch[:] = cv2.blendLinear(over, patch, weight, 1 - weight)

    def shade(self, points: np.ndarray, colours: Callable[[np.ndarray, np.ndarray], np.ndarray], step: int = 4) -> None:
        """Fill an outline with smooth colours: `colours(x, y)` gives [h, w, 3] RGB on a coarse grid of photo coordinates.

        `step` is the grid's spacing in pixels of the large drawing.
        """
        (x1, y1, x2, y2), patch = self._patch(points, 1)
        if patch.size == 0:
            return
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fixed(_large(points) - (x1, y1))], 255, cv2.LINE_AA, _SHIFT)
        width, height = max(2, (x2 - x1) // step), max(2, (y2 - y1) // step)
        x = (x1 + (np.arange(width) + 0.5) * (x2 - x1) / width) / SUPERSAMPLING
        y = (y1 + (np.arange(height) + 0.5) * (y2 - y1) / height) / SUPERSAMPLING
        coarse = np.clip(colours(*np.meshgrid(x, y)) + 0.5, 0, 255).astype(np.uint8)
        smooth = cv2.resize(coarse, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
        weight = mask * np.float32(1 / 255)
        patch[:] = cv2.blendLinear(smooth, patch, weight, 1 - weight)

    def gradient(self, top: Colour, bottom: Colour, y1: float, y2: float) -> None:
        """Fill full-width rows from `y1` to `y2` with a vertical gradient."""
        (_, _, width, _), patch = self._patch(np.array([[0, y1], [self.width, y2]]), 0)
        share = np.linspace(0, 1, len(patch))[:, None, None]
        rows = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
        column = np.clip(rows, 0, 255).astype(np.uint8)
        patch[:] = cv2.resize(column, (width, len(patch)), interpolation=cv2.INTER_NEAREST)

    def photo(self) -> np.ndarray:
        """The drawing at its final size."""
        return cv2.resize(self.pixels, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def _patch(self, points: np.ndarray, beyond: float) -> tuple[tuple[int, int, int, int], np.ndarray]:
        """The part of the large drawing round some points of the photo, as (bounds, view)."""
        height, width = self.pixels.shape[:2]
        low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        left, top = (min(n, max(0, int((v - beyond) * SUPERSAMPLING))) for v, n in zip(low, (width, height), strict=True))
        right, bottom = (
            min(n, max(0, int((v + beyond) * SUPERSAMPLING) + 1)) for v, n in zip(high, (width, height), strict=True)
        )
        return (left, top, right, bottom), self.pixels[top:bottom, left:right]

    def _blend(self, points: np.ndarray, width: float, alpha: float, draw: Callable[[np.ndarray, np.ndarray], None]) -> None:
        """Call `draw(target, offset)` on the drawing, or on a copy of the part under `points` that is then mixed in."""
        if alpha >= 1:
            draw(self.pixels, np.zeros(2))
            return
        (x1, y1, _, _), patch = self._patch(points, width + 1)
        if patch.size == 0:
            return
        over = patch.copy()
        draw(over, np.array([x1, y1]))
        patch[:] = cv2.addWeighted(over, alpha, patch, 1 - alpha, 0)


def ellipse(
    centre: Sequence[float] | np.ndarray, rx: float, ry: float, arc: tuple[float, float] = (0, 360), count: int = 0
) -> np.ndarray:
    """Points (N, 2) of an ellipse or of an arc in degrees, clockwise from the right as y points down."""
    count = count or min(64, max(12, int(4 * max(rx, ry, 1) ** 0.5)))
    return np.asarray(centre) + _arc(*arc, count) * (rx, ry)


@lru_cache(maxsize=512)
def _arc(start: float, end: float, count: int) -> np.ndarray:
    """Points (count, 2) of the unit circle between two angles in degrees."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def curve(points: Sequence[Sequence[float]] | np.ndarray, closed: bool = False, steps: int = 6) -> np.ndarray:
    """A smooth (Catmull-Rom) line (N, 2) through the points."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    around = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)
    line = (_catmull_rom(steps) @ around).reshape(-1, 2)
    return line if closed else np.concatenate([line, p[-2:-1]])


@lru_cache(maxsize=16)
def _catmull_rom(steps: int) -> np.ndarray:
    """Weights (steps, 4) of the four points around each step between the middle two."""
    t = np.linspace(0, 1, steps, endpoint=False)
    powers = np.stack([np.ones(steps), t, t**2, t**3], axis=1)
    return powers @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


def mixed(a: Colour, b: Colour, share: float) -> np.ndarray:
    """Colour `a` with a share of `b`."""
    return np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share


def _large(points: np.ndarray) -> np.ndarray:
    return np.asarray(points) * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _rgb(colour: Colour) -> tuple[int, ...]:
    return tuple(min(255, max(0, round(c))) for c in np.asarray(colour).tolist())

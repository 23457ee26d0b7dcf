"""Where a drawn person stands: sky, ground and weather; the wall behind the person; the stage.

The wall covers all that a generous face crop can show, so that no crop of the face sees weather, things or the stage.
"""

from dataclasses import dataclass

import numpy as np

from preprocessing.demo.canvas import Canvas, curve, ellipse, mixed
from preprocessing.demo.things import BRIGHT

SKIES = {
    "smile": ((92, 176, 246), (206, 236, 255)),
    "sad": ((112, 124, 140), (164, 174, 186)),
    "angry": ((110, 22, 26), (238, 104, 44)),
    "anxiety": ((16, 20, 34), (58, 74, 76)),
    "surprise": ((52, 26, 96), (196, 92, 172)),
    "plain": ((188, 194, 198), (222, 220, 212)),
}
GROUNDS = {
    "smile": (112, 190, 82),
    "sad": (98, 108, 106),
    "angry": (96, 54, 42),
    "anxiety": (34, 44, 42),
    "surprise": (92, 68, 122),
    "plain": (162, 158, 138),
}
CURTAINS = ((150, 26, 38), (92, 34, 110), (28, 72, 124), (24, 98, 74))
WALLS = ((190, 176, 158), (152, 128, 112), (170, 172, 170), (132, 142, 132), (206, 196, 176), (120, 116, 124))
GOLD = (222, 178, 74)


@dataclass(frozen=True)
class Place:
    """What the photos of one group share.

    Attributes:
        horizon: its height as a share of the photo.
        hills: heights of the skyline, in pixels.
        tint: factors on red, green and blue.
        grain: standard deviation of the camera's noise.
        wall: colour of the wall.
        pattern: `brick`, `planks`, `plaster` or `panels`.
    """

    horizon: float
    hills: np.ndarray
    tint: np.ndarray
    grain: float
    wall: np.ndarray
    pattern: str


def draw_place(random: np.random.Generator) -> Place:
    """The place of a group of photos."""
    return Place(
        horizon=float(random.uniform(0.6, 0.74)),
        hills=random.uniform(0, 26, size=6),
        tint=1 + random.normal(size=3) * 0.018,
        grain=float(random.uniform(1.0, 4.0)),
        wall=mixed(WALLS[random.integers(len(WALLS))], WALLS[random.integers(len(WALLS))], random.uniform(0, 0.5)),
        pattern=str(random.choice(["brick", "planks", "plaster", "panels"])),
    )


def draw_surroundings(canvas: Canvas, context: str, place: Place, random: np.random.Generator) -> None:
    """Sky, hills and ground of an emotion's weather, more or less strongly coloured; rain, mist or confetti in the air."""
    fade = random.uniform(0, 0.45)
    top, bottom = (mixed(a, b, fade) for a, b in zip(SKIES[context], SKIES["plain"], strict=True))
    ground = mixed(GROUNDS[context], GROUNDS["plain"], fade) * random.uniform(0.9, 1.1)
    horizon = place.horizon * canvas.height
    canvas.gradient(top, bottom, 0, horizon)
    canvas.gradient(mixed(ground, bottom, 0.15), ground * 0.85, horizon, canvas.height)
    x = np.linspace(-10, canvas.width + 10, len(place.hills))
    skyline = curve(np.stack([x, horizon - place.hills], axis=1))
    foot = np.array([[canvas.width + 10, horizon + 2], [-10, horizon + 2]])
    canvas.polygon(np.concatenate([skyline, foot]), mixed(ground, bottom, 0.4))
    if context in _WEATHER:
        _WEATHER[context](canvas, horizon, random)


def _rain(canvas: Canvas, horizon: float, random: np.random.Generator) -> None:
    drops = random.uniform((0, 0, 7), (canvas.width, canvas.height, 14), size=(int(random.integers(60, 110)), 3))
    fall = drops[:, 2:] * (random.uniform(-0.3, 0.3), 1)
    canvas.lines(np.stack([drops[:, :2], drops[:, :2] + fall], axis=1), (208, 220, 232), 0.7)


def _mist(canvas: Canvas, horizon: float, random: np.random.Generator) -> None:
    for y in horizon + random.uniform(-70, 30, size=4):
        band = ellipse((random.uniform(0, canvas.width), y), random.uniform(90, 190), random.uniform(6, 13))
        canvas.polygon(band, (150, 166, 164), 0.28)


def _confetti(canvas: Canvas, horizon: float, random: np.random.Generator) -> None:
    for colour in BRIGHT:
        bits = random.uniform((0, 0, 0), (canvas.width, canvas.height, np.pi), size=(int(random.integers(7, 14)), 3))
        half = np.stack([np.cos(bits[:, 2]), np.sin(bits[:, 2])], axis=1) * 2.6
        canvas.lines(np.stack([bits[:, :2] - half, bits[:, :2] + half], axis=1), colour, 2)


def _embers(canvas: Canvas, horizon: float, random: np.random.Generator) -> None:
    for size in (1.2, 2, 3):
        sparks = random.uniform((0, 0), (canvas.width, canvas.height), size=(int(random.integers(8, 17)), 2))
        canvas.lines(sparks[:, None] + np.array([[0, 0], [0, 0.5]]), (255, 186, 74), size)


_WEATHER = {"sad": _rain, "anxiety": _mist, "surprise": _confetti, "angry": _embers}


def draw_wall(canvas: Canvas, place: Place, left: float, top: float, right: float) -> None:
    """A free-standing wall from `top` to the photo's lower edge, with a coping."""
    bottom = canvas.height + 2

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        light = 1.06 - 0.16 * (y - top) / (bottom - top) - 0.1 * ((2 * x - left - right) / (right - left)) ** 2
        return place.wall * light[..., None]

    canvas.shade(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), colours, step=16)
    joint = mixed(place.wall, (60, 54, 50), 0.3)
    if place.pattern == "brick":
        _bricks(canvas, joint, left, top, right)
    elif place.pattern == "planks":
        for x in np.arange(left + 18, right - 4, 18):
            canvas.line(np.array([[x, top], [x, bottom]]), joint, 1)
    elif place.pattern == "panels":
        for y in np.arange(top + 44, bottom, 44):
            canvas.line(np.array([[left, y], [right, y]]), joint, 1)
    light = mixed(place.wall, (255, 255, 255), 0.3)
    canvas.polygon(np.array([[left - 4, top], [right + 4, top], [right + 4, top + 9], [left - 4, top + 9]]), light)
    canvas.line(np.array([[left - 4, top + 9], [right + 4, top + 9]]), joint, 1.5)


def _bricks(canvas: Canvas, joint: np.ndarray, left: float, top: float, right: float) -> None:
    for row, y in enumerate(np.arange(top + 9, canvas.height, 14)):
        canvas.line(np.array([[left, y], [right, y]]), joint, 1, alpha=0.7)
        for x in np.arange(left + (28 if row % 2 else 14), right, 28):
            canvas.line(np.array([[x, y], [x, y + 14]]), joint, 1, alpha=0.7)


def draw_stage(canvas: Canvas, left: float, right: float, top: float, random: np.random.Generator) -> list[list[float]]:
    """Curtains up to `left` and from `right` on, and a valance down to `top`; returns their boxes [x1, y1, x2, y2]."""
    colour = mixed(CURTAINS[random.integers(len(CURTAINS))], (120, 40, 50), random.uniform(0, 0.3))
    folds, phase = random.uniform(0.45, 0.7), random.uniform(0, 6)

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return colour * (0.8 + 0.36 * np.sin(x * folds + phase + 0.012 * y))[..., None]

    width, height = canvas.width, canvas.height
    tie = 0.62 * height
    for edge, inner, side in ((-3, left, 1), (width + 3, right, -1)):
        reach = abs(inner - edge)
        drape = curve([[inner, -3], [inner - 0.04 * reach * side, 0.3 * height], [inner - 0.42 * reach * side, tie],
                       [inner - 0.3 * reach * side, 0.8 * height], [inner - 0.22 * reach * side, height + 3]])  # fmt: skip
        canvas.shade(np.concatenate([drape, [[edge, height + 3], [edge, -3]]]), colours, step=2)
        canvas.line(np.array([[edge, tie - 6], [inner - 0.4 * reach * side, tie]]), GOLD, 4)
    scallops = max(3, round(width / 44))
    for k in range(scallops):
        middle, half = (k + 0.5) * width / scallops, 0.54 * width / scallops
        swag = np.concatenate(
            [[[middle + half, -3], [middle - half, -3]], ellipse((middle, 0.35 * top), half, 0.62 * top, (180, 0))]
        )
        canvas.shade(swag, colours, step=2)
        canvas.line(ellipse((middle, 0.35 * top), half, 0.6 * top, (180, 0)), GOLD, 1.5)
    return [[0, 0, left, height], [right, 0, width, height], [0, 0, width, top]]

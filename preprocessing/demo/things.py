"""Things that stand or fly in a drawn scene, each one function `(canvas, x, y, size, random)`.

(x, y) is the middle of the thing's foot for what stands, its middle for what flies; `size` is its height in pixels of the photo.
"""

from collections.abc import Callable

import numpy as np

from preprocessing.demo.canvas import Canvas, curve, ellipse, mixed

Draw = Callable[[Canvas, float, float, float, np.random.Generator], None]

BRIGHT = ((232, 76, 76), (250, 176, 52), (66, 160, 232), (110, 196, 92), (198, 96, 208), (250, 220, 70))


def _bright(random: np.random.Generator) -> tuple[int, int, int]:
    return BRIGHT[random.integers(len(BRIGHT))]


def _at(shape: list[list[float]] | np.ndarray, x: float, y: float, size: float) -> np.ndarray:
    """A shape in units of the thing's height, moved to its place."""
    return np.asarray(shape, float) * size + (x, y)


def balloons(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """Three balloons on strings."""
    knot = np.array([x + random.normal() * 2, y])
    for dx, dy in ((-0.24, -0.66), (0.24, -0.68), (0.0, -0.82)):
        colour, centre = _bright(random), np.array([x + dx * size, y + dy * size])
        canvas.line(curve(np.stack([knot, (knot + centre) / 2 + (dx * size * 0.3, 0), centre])), (240, 240, 240), 0.8)
        canvas.polygon(ellipse(centre, 0.17 * size, 0.21 * size), colour)
        canvas.polygon(ellipse(centre - (0.06 * size, 0.08 * size), 0.035 * size, 0.06 * size), (255, 255, 255), 0.7)


def flowers(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """Three flowers with stems."""
    for dx, high in ((-0.32, 0.7), (0.02, 1.0), (0.34, 0.78)):
        head = np.array([x + dx * size, y - high * size * 0.8])
        canvas.line(np.array([[x + dx * size * 0.6, y], head]), (54, 130, 62), 0.06 * size)
        colour = _bright(random)
        for k in range(6):
            petal = head + np.array([np.cos(k * 1.05), np.sin(k * 1.05)]) * 0.13 * size
            canvas.disc(petal, 0.1 * size, colour)
        canvas.disc(head, 0.08 * size, (255, 232, 120))


def sun(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A sun with rays."""
    canvas.glow((x, y), size * 1.1, (255, 246, 190), 0.9)
    turn = random.uniform(0, 0.5)
    for angle in np.arange(12) * np.pi / 6 + turn:
        ray = np.array([np.cos(angle), np.sin(angle)])
        canvas.line(np.array([(x, y) + ray * 0.36 * size, (x, y) + ray * 0.5 * size]), (255, 214, 70), 0.05 * size)
    canvas.disc((x, y), 0.3 * size, (255, 222, 84))


def butterfly(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A butterfly."""
    colour, size = _bright(random), 0.65 * size
    for side in (-1, 1):
        canvas.polygon(ellipse((x + side * 0.26 * size, y - 0.16 * size), 0.24 * size, 0.26 * size), colour)
        canvas.polygon(
            ellipse((x + side * 0.2 * size, y + 0.18 * size), 0.17 * size, 0.18 * size), mixed(colour, (255, 255, 255), 0.35)
        )
    canvas.line(np.array([[x, y - 0.3 * size], [x, y + 0.32 * size]]), (50, 40, 40), 0.07 * size)


def bare_tree(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A tree without leaves."""
    branches = [(np.array([x, y]), -np.pi / 2 + random.normal() * 0.05, 0.42 * size)]
    for level in range(4):
        grown = []
        for foot, angle, length in branches:
            tip = foot + np.array([np.cos(angle), np.sin(angle)]) * length
            canvas.line(np.stack([foot, tip]), (70, 62, 60), 0.09 * size * 0.6**level)
            grown += [(tip, angle + turn + random.normal() * 0.1, 0.66 * length) for turn in (-0.5, 0.45)]
        branches = grown


def puddle(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A puddle with rings."""
    centre = (x, y - 0.1 * size)
    canvas.polygon(ellipse(centre, 0.55 * size, 0.17 * size), (112, 128, 146))
    for share in (0.75, 0.45):
        canvas.line(ellipse(centre, 0.5 * size * share, 0.14 * size * share), (190, 204, 218), 1)


def wilted(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A flower that hangs its head over fallen petals."""
    side = random.choice([-1, 1])
    stem = curve(
        [[x, y], [x, y - 0.7 * size], [x + 0.2 * side * size, y - 0.85 * size], [x + 0.38 * side * size, y - 0.6 * size]]
    )
    canvas.line(stem, (104, 112, 74), 0.06 * size)
    for angle in (50, 90, 130):
        canvas.disc(ellipse(stem[-1], 0.12 * size, 0.14 * size, (angle, angle), count=1)[0], 0.09 * size, (122, 96, 124))
    for dx in (-0.3, 0.1, 0.42):
        canvas.polygon(ellipse((x + dx * size, y - 0.02 * size), 0.08 * size, 0.04 * size), (122, 96, 124))


def fire(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A fire with smoke-dark logs."""
    canvas.glow((x, y - 0.4 * size), 0.8 * size, (255, 150, 40), 0.6)
    for tilt in (-1, 1):
        canvas.line(_at([[-0.36, -0.02 - 0.06 * tilt], [0.36, -0.02 + 0.06 * tilt]], x, y, size), (66, 40, 30), 0.1 * size)
    lean = random.normal() * 0.05
    for share, colour in ((1.0, (222, 62, 26)), (0.7, (250, 140, 30)), (0.4, (255, 226, 110))):
        flame = curve(
            [[0, 0], [-0.34, -0.18], [-0.28, -0.5], [-0.14, -0.36], [lean, -1.0], [0.14, -0.42], [0.26, -0.58], [0.34, -0.2]],
            closed=True,
        )
        canvas.polygon(_at(flame * (share, share), x, y - 0.02 * size, size), colour)


def lightning(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A storm cloud with a bolt."""
    side = random.choice([-1, 1])
    bolt = np.array([[-0.02, -0.2], [0.14, -0.2], [0.05, 0.08], [0.18, 0.08], [-0.1, 0.62], [-0.02, 0.2], [-0.14, 0.2]]) * (
        side,
        1,
    )
    canvas.polygon(_at(bolt, x, y, size), (255, 238, 120))
    for dx, dy, radius in ((-0.3, -0.24, 0.19), (0.0, -0.33, 0.24), (0.3, -0.24, 0.18), (0.12, -0.2, 0.18), (-0.14, -0.19, 0.17)):
        canvas.disc((x + dx * size, y + dy * size), radius * size, (62, 46, 52))


def volcano(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A smoking mountain with lava."""
    canvas.glow((x, y - 0.85 * size), 0.5 * size, (255, 110, 40), 0.8)
    canvas.polygon(_at([[-0.62, 0], [-0.16, -0.8], [0.16, -0.8], [0.62, 0]], x, y, size), (78, 50, 48))
    lava = curve(
        [[-0.15, -0.8], [-0.1, -0.5], [-0.18, -0.3], [-0.04, -0.42], [0.02, -0.1], [0.08, -0.45], [0.18, -0.35], [0.15, -0.8]],
        closed=True,
    )
    canvas.polygon(_at(lava, x, y, size), (250, 96, 34))


def dark_tree(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A black fir with a pair of eyes in it."""
    for k in range(3):
        base, half = -0.12 - 0.26 * k, 0.34 - 0.08 * k
        canvas.polygon(_at([[-half, base], [half, base], [0, base - 0.44]], x, y, size), (14, 24, 26))
    canvas.line(np.array([[x, y], [x, y - 0.2 * size]]), (14, 18, 20), 0.1 * size)
    for dx in (-0.07, 0.07):
        canvas.polygon(ellipse((x + dx * size, y - 0.3 * size), 0.045 * size, 0.03 * size), (226, 226, 120))


def bats(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """Two bats."""
    wings = np.array([[0, -0.1], [0.1, -0.2], [0.5, -0.24], [0.36, 0.0], [0.26, -0.04], [0.14, 0.12], [0, 0.06]])
    shape = np.concatenate([wings, wings[::-1] * (-1, 1)])
    for dx, dy, share in ((-0.15, -0.2, 0.9), (0.22, 0.26, 0.65)):
        canvas.polygon(_at(shape * share, x + dx * size, y + dy * size, size), (16, 14, 22))


def moon(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A thin moon in mist."""
    canvas.glow((x, y), 0.9 * size, (196, 206, 190), 0.6)
    outer, inner = (
        ellipse((x, y), 0.34 * size, 0.34 * size, (60, 300), 40),
        ellipse((x + 0.14 * size, y), 0.27 * size, 0.3 * size, (285, 75), 40),
    )
    canvas.polygon(np.concatenate([outer, inner]), (232, 230, 196))


def fireworks(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A burst of sparks."""
    first, second = _bright(random), _bright(random)
    canvas.glow((x, y), 0.55 * size, mixed(first, (255, 255, 255), 0.4), 0.55)
    for k, angle in enumerate(np.arange(14) * 2 * np.pi / 14):
        ray = np.array([np.cos(angle), np.sin(angle)])
        canvas.line(
            np.array([(x, y) + ray * 0.14 * size, (x, y) + ray * 0.44 * size]), mixed(first, (255, 255, 255), 0.2), 0.035 * size
        )
        canvas.disc((x, y) + ray * 0.5 * size, 0.045 * size, first if k % 2 else second)


def gift(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A present with a bow."""
    colour, ribbon = BRIGHT[random.integers(3)], BRIGHT[3 + random.integers(3)]
    canvas.polygon(_at([[-0.4, 0], [0.4, 0], [0.4, -0.6], [-0.4, -0.6]], x, y, size), colour)
    canvas.polygon(
        _at([[-0.45, -0.55], [0.45, -0.55], [0.45, -0.72], [-0.45, -0.72]], x, y, size), mixed(colour, (255, 255, 255), 0.2)
    )
    canvas.polygon(_at([[-0.08, 0], [0.08, 0], [0.08, -0.72], [-0.08, -0.72]], x, y, size), ribbon)
    for side in (-1, 1):
        canvas.line(_at(ellipse((0.15 * side, -0.82), 0.15, 0.1), x, y, size), ribbon, 0.07 * size)


def stars(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """Two big gold stars."""
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    shape = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    for dx, dy, share in ((-0.18, 0.1, 0.32), (0.26, -0.22, 0.2)):
        canvas.polygon(_at(shape * share, x + dx * size, y + dy * size, size), (255, 214, 70))


def cloud(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """An ordinary cloud."""
    for dx, dy, radius in ((-0.34, 0.06, 0.18), (0.0, -0.04, 0.25), (0.34, 0.06, 0.17), (0.16, 0.1, 0.18), (-0.16, 0.1, 0.18)):
        canvas.disc((x + dx * size, y + dy * size), radius * size, (232, 234, 236))


def rain_cloud(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A dark cloud with drops."""
    for dx in (-0.3, -0.1, 0.1, 0.3):
        fall = random.uniform(0.3, 0.42)
        canvas.line(_at([[dx, 0.16], [dx - 0.06, 0.16 + fall]], x, y, size), (70, 104, 160), 0.035 * size)
    for dx, dy, radius in ((-0.34, 0.06, 0.18), (0.0, -0.06, 0.26), (0.34, 0.06, 0.17), (0.16, 0.1, 0.18), (-0.16, 0.1, 0.18)):
        canvas.disc((x + dx * size, y + dy * size), radius * size, (84, 92, 106))


def house(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A small house."""
    wall = mixed((222, 206, 184), (168, 150, 140), random.uniform())
    canvas.polygon(_at([[-0.36, 0], [0.36, 0], [0.36, -0.55], [-0.36, -0.55]], x, y, size), wall)
    canvas.polygon(_at([[-0.44, -0.53], [0.44, -0.53], [0.0, -0.95]], x, y, size), (132, 92, 80))
    canvas.polygon(_at([[-0.08, 0], [0.1, 0], [0.1, -0.32], [-0.08, -0.32]], x, y, size), (96, 76, 66))
    canvas.polygon(_at([[-0.28, -0.25], [-0.15, -0.25], [-0.15, -0.4], [-0.28, -0.4]], x, y, size), (150, 176, 190))


def tree(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A round green tree."""
    canvas.line(np.array([[x, y], [x, y - 0.5 * size]]), (112, 84, 62), 0.1 * size)
    green = mixed((96, 132, 84), (126, 140, 96), random.uniform())
    for dx, dy, radius in ((-0.18, -0.55, 0.2), (0.18, -0.56, 0.2), (0.0, -0.76, 0.24), (0.0, -0.5, 0.2)):
        canvas.disc((x + dx * size, y + dy * size), radius * size, green)


def lamp(canvas: Canvas, x: float, y: float, size: float, random: np.random.Generator) -> None:
    """A street lamp, not lit."""
    canvas.line(np.array([[x, y], [x, y - 0.85 * size]]), (74, 78, 82), 0.05 * size)
    canvas.polygon(_at([[-0.09, -0.85], [0.09, -0.85], [0.12, -1.0], [-0.12, -1.0]], x, y, size), (226, 224, 206))
    canvas.line(_at([[-0.14, -1.0], [0.14, -1.0]], x, y, size), (74, 78, 82), 0.05 * size)


STANDING: dict[str, tuple[Draw, ...]] = {
    "smile": (balloons, flowers),
    "sad": (bare_tree, puddle, wilted),
    "angry": (fire, volcano),
    "anxiety": (dark_tree,),
    "surprise": (gift,),
    "plain": (house, tree, lamp),
}
FLYING: dict[str, tuple[Draw, ...]] = {
    "smile": (sun, butterfly),
    "sad": (rain_cloud,),
    "angry": (lightning,),
    "anxiety": (bats, moon),
    "surprise": (fireworks, stars),
    "plain": (cloud,),
}

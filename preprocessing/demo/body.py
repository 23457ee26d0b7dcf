"""Shoulders, neck and hair around a drawn face; and a head seen from behind.

Enters: a `Pose` and a `Person`. Leaves: shapes on the canvas, behind (`draw_behind`) and in front of (`draw_fringe`) the face.
Nothing here depends on emotion, and what lies outside the face's box does not depend on age.
"""

import numpy as np

from preprocessing.demo.canvas import Canvas, Colour, curve, ellipse, mixed
from preprocessing.demo.face import DARK, Pose
from preprocessing.demo.person import Person


def draw_behind(canvas: Canvas, pose: Pose, person: Person, tilt: np.ndarray) -> None:
    """Long hair, neck and shoulders. `tilt` (4,) in -1..1 varies the shoulders."""
    if person.style in ("long", "bob"):
        reach = 1.55 if person.style == "long" else 0.85
        flank = np.array([[0.6, -1.2], [0.98, -0.6], [1.02, 0.2], [0.98, reach], [0.5, reach + 0.08]])
        back = curve(np.concatenate([[[0, -1.34]], flank, flank[::-1] * (-1, 1)]), closed=True)
        canvas.polygon(pose.place(back), mixed(person.hair, DARK, 0.25))
    if person.style == "bun":
        canvas.polygon(pose.place(ellipse((0, -1.5), 0.34, 0.3)), mixed(person.hair, DARK, 0.15))
    w = person.width / 0.76
    if person.style == "cap":
        for side in (-1, 1):
            temple = curve(
                np.array([[0.6, -0.8], [0.82, -0.7], [0.83, -0.35], [0.78, -0.08], [0.7, -0.3]]) * (side * w, 1), closed=True
            )
            canvas.polygon(pose.place(temple), mixed(person.hair, DARK, 0.15))
    else:
        canvas.polygon(pose.place(_fringe_lines(person, 1)[0]), mixed(person.hair, DARK, 0.25))
    if person.style == "curly":
        for angle in np.linspace(150, 390, 15).tolist():
            spot = ellipse((0, -0.45), 0.85, 0.75, (angle, angle), count=1)[0]
            canvas.disc(pose.place(spot[None])[0], 0.3 * pose.size, mixed(person.hair, DARK, 0.18))
    upright = Pose(pose.centre, pose.size)
    shadow = mixed(person.skin, (70, 30, 24), 0.35)
    neck = np.array([[-0.36, 0.6], [0.36, 0.6], [0.4, 1.3], [0.66, 1.5], [-0.66, 1.5], [-0.4, 1.3]])
    canvas.polygon(upright.place(neck), shadow)
    draw_shoulders(canvas, upright, person.clothes, tilt)
    collar = curve([[-0.58, 1.33], [-0.3, 1.5], [0, 1.58], [0.3, 1.5], [0.58, 1.33]])
    inside = np.concatenate([collar, np.array([[0.4, 1.2], [-0.4, 1.2]])])
    canvas.polygon(upright.place(inside), shadow)
    canvas.line(upright.place(collar), mixed(person.clothes, DARK, 0.35), 0.07 * pose.size)


def draw_shoulders(canvas: Canvas, pose: Pose, clothes: Colour, tilt: np.ndarray) -> None:
    """The body down to the photo's lower edge, lit from above."""
    floor = (canvas.height - pose.centre[1]) / pose.size + 0.5
    left, right, width, drop = tilt * (0.08, 0.08, 0.12, 0.06)
    half = 1.55 + width
    arm = np.array([[half, 2.4], [half - 0.12, 1.86], [1.0, 1.52 + drop], [0.58, 1.3]])
    slope = np.array([[0, 1], [0, 1], [0, 0], [0, 0]])
    line = curve(np.concatenate([arm * (-1, 1) + slope * left, (arm + slope * right)[::-1]]))
    shape = np.concatenate([[[-half - 0.08, floor]], line, [[half + 0.08, floor]]])

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = pose.unplace(x, y)
        light = 1.12 - 0.16 * (v - 1.3) - 0.12 * (np.abs(u) / 1.5) ** 2
        return np.asarray(clothes, float) * light[..., None]

    canvas.shade(pose.place(shape), colours, step=8)
    for side in (-1, 1):
        seam = curve([[side * (half - 0.45), 2.05], [side * (half - 0.5), 2.7], [side * (half - 0.42), floor]])
        canvas.line(pose.place(seam), mixed(clothes, DARK, 0.4), 0.03 * pose.size, alpha=0.5)


def draw_fringe(canvas: Canvas, pose: Pose, person: Person, sway: float) -> None:
    """Hair over the forehead, or a cap; `sway` in -1..1 says to which side it falls."""
    if person.style == "cap":
        _cap(canvas, pose, person)
        return
    outer, inner = _fringe_lines(person, sway)
    outline = pose.place(np.concatenate([outer, inner[::-1]]))

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = pose.unplace(x, y)
        shine = 1 + 0.35 * np.exp(-(((v + 1.08 + 0.12 * u) / 0.1) ** 2)) - 0.2 * (u / 0.9) ** 2
        share = (np.clip((v + 0.97) / 0.12, 0, 1) * np.clip((0.94 * person.width - np.abs(u)) / 0.1, 0, 1))[..., None]
        return (person.hair * (1 - share) + person.fringe * share) * shine[..., None]

    canvas.shade(outline, colours)
    for k in range(3, len(inner) - 3, 4):
        strand = curve([outer[k], (outer[k] + inner[k]) / 2 + (0.05 * sway, 0), inner[k]])
        canvas.line(pose.place(strand), mixed(person.hair, DARK, 0.4), 0.018 * pose.size, alpha=0.45)


def _fringe_lines(person: Person, sway: float) -> tuple[np.ndarray, np.ndarray]:
    """The hair's outer line and its line on the forehead, both from left to right."""
    w = person.width / 0.76
    high = 1.42 if person.style == "curly" else 1.33
    side = -0.26
    outer = curve(
        np.array(
            [
                [-0.84, side],
                [-0.87, -0.7],
                [-0.66, -1.12],
                [-0.3, -high],
                [0.1, -high - 0.02],
                [0.5, -1.24],
                [0.8, -0.9],
                [0.86, -0.6],
                [0.79, side],
            ]
        )
        * (w, 1)
    )
    lines = {
        "short": [
            [-0.72, side],
            [-0.7, -0.66],
            [-0.52, -0.84],
            [-0.2, -0.88],
            [0.15, -0.9],
            [0.5, -0.84],
            [0.7, -0.66],
            [0.72, side],
        ],
        "side": [
            [-0.72, side],
            [-0.66, -0.6],
            [-0.45, -0.74],
            [-0.1, -0.8],
            [0.25, -0.92],
            [0.5, -0.94],
            [0.7, -0.68],
            [0.72, side],
        ],
        "long": [
            [-0.74, side],
            [-0.66, -0.5],
            [-0.42, -0.78],
            [-0.08, -0.98],
            [0.08, -0.98],
            [0.42, -0.78],
            [0.66, -0.5],
            [0.74, side],
        ],
        "bob": [
            [-0.74, side],
            [-0.66, -0.54],
            [-0.45, -0.66],
            [-0.15, -0.69],
            [0.15, -0.69],
            [0.45, -0.66],
            [0.66, -0.54],
            [0.74, side],
        ],
        "bun": [
            [-0.74, side],
            [-0.7, -0.66],
            [-0.5, -0.9],
            [-0.18, -0.98],
            [0.18, -0.98],
            [0.5, -0.9],
            [0.7, -0.66],
            [0.74, side],
        ],
        "curly": [
            [-0.74, side],
            [-0.66, -0.6],
            [-0.5, -0.8],
            [-0.2, -0.78],
            [0.1, -0.86],
            [0.4, -0.76],
            [0.66, -0.6],
            [0.74, side],
        ],
    }
    inner = curve(np.array(lines[person.style]) * (w, 1))
    return (outer, inner) if sway >= 0 else (outer[::-1] * (-1, 1), inner[::-1] * (-1, 1))


def _cap(canvas: Canvas, pose: Pose, person: Person) -> None:
    """A knitted cap in the colour of the clothes."""
    colour = mixed(person.clothes, (250, 240, 230), 0.25)
    dome = curve([[-0.84, -0.68], [-0.84, -1.0], [-0.55, -1.36], [0, -1.5], [0.55, -1.36], [0.84, -1.0], [0.84, -0.68]])
    brim = curve([[0.84, -0.68], [0.4, -0.84], [0, -0.88], [-0.4, -0.84], [-0.84, -0.68]])

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, _ = pose.unplace(x, y)
        return colour * (1.05 - 0.35 * (u / 0.9) ** 2 + 0.06 * np.sin(u * 34))[..., None]

    canvas.shade(pose.place(np.concatenate([dome, brim])), colours, step=2)
    band = curve([[-0.86, -0.66], [-0.4, -0.83], [0, -0.88], [0.4, -0.83], [0.86, -0.66]])
    canvas.line(pose.place(band - (0, 0.05)), mixed(colour, DARK, 0.3), 0.16 * pose.size)
    canvas.disc(pose.place(np.array([[0, -1.55]]))[0], 0.17 * pose.size, mixed(colour, (255, 255, 255), 0.4))


def draw_back_of_head(canvas: Canvas, pose: Pose, person: Person) -> None:
    """The person seen from behind: a head full of hair, no face."""
    for side in (-1, 1):
        canvas.polygon(pose.place(ellipse((0.8 * side, -0.05), 0.12, 0.22)), mixed(person.skin, DARK, 0.15))
    nape = ellipse((0, 0.1), 0.74, 0.85)
    dome = ellipse((0, -0.35), 0.9, 1.0)

    def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = pose.unplace(x, y)
        strands = 0.06 * np.sin(u * 40 + 3 * v) + 0.25 * np.exp(-(((v + 0.85 + 0.2 * u * u) / 0.15) ** 2))
        return person.hair * (1 + strands - 0.35 * (u / 0.9) ** 2)[..., None]

    canvas.shade(pose.place(nape), colours, step=2)
    canvas.shade(pose.place(dome), colours, step=2)

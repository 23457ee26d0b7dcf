"""A shaded parametric face, as drawn that the real RetinaFace finds it and its five landmarks.

Enters: a `Pose`, a `Person`, an `Expression`. Leaves: the head on the canvas, and its true box and landmarks.
A point of the face is (x, y) in half-heights of the face: (0, 0) its middle, y = -1 the hairline, y = 1 the chin.
"""

from dataclasses import dataclass

import numpy as np

from preprocessing.demo.canvas import Canvas, Colour, curve, ellipse, mixed
from preprocessing.demo.expression import Expression
from preprocessing.demo.person import Person

DARK, WHITE, MOUTH, TONGUE = (34, 24, 26), (250, 248, 244), (86, 22, 30), (206, 96, 100)
NOSE_TIP = 0.3


@dataclass(frozen=True)
class Pose:
    """Where the face is.

    Attributes:
        centre: its middle (x, y) in pixels of the photo.
        size: its half-height in pixels.
        roll: its turn in the picture, in radians.
        yaw: how far it looks to the side, -0.2 to 0.2.
        light: where the light comes from, -1 (left) to 1 (right).
    """

    centre: tuple[float, float]
    size: float
    roll: float = 0.0
    yaw: float = 0.0
    light: float = 0.0

    def place(self, points: np.ndarray, depth: float | np.ndarray = 0.0) -> np.ndarray:
        """Points (N, 2) of the face in pixels of the photo; what stands out by `depth` moves with the yaw."""
        x = points[:, 0] + self.yaw * depth
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        turned = np.stack([x * cosine - points[:, 1] * sine, x * sine + points[:, 1] * cosine], axis=1)
        return np.asarray(self.centre) + turned * self.size

    def unplace(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of the photo as points of the face, without depth."""
        x, y = (x - self.centre[0]) / self.size, (y - self.centre[1]) / self.size
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return x * cosine + y * sine, y * cosine - x * sine


class FaceDrawing:
    """Draws one head; the parts share pose, person and expression."""

    def __init__(self, canvas: Canvas, pose: Pose, person: Person, expression: Expression) -> None:
        self.canvas, self.pose, self.person, self.expression = canvas, pose, person, expression
        self.ink = mixed(person.skin, (70, 30, 24), 0.6)

    def draw(self) -> None:
        """The head from neck to fringe."""
        self.skin()
        self.wrinkles()
        self.mouth()
        for side in (-1, 1):
            self.eye(side)
            self.brow(side)
        self.nose()
        if self.person.glasses:
            self.glasses()

    def box(self) -> np.ndarray:
        """(4,) float32, the frame of the face from hairline to chin."""
        outline = self.pose.place(outline_of(self.person))
        return np.concatenate([outline.min(axis=0), outline.max(axis=0)]).astype(np.float32)

    def landmarks(self) -> np.ndarray:
        """(5, 2) float32: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner."""
        person = self.person
        width, corner = self._mouth_width(), person.mouth_y - self.expression.corners
        points = [
            [-person.eye_gap, person.eye_y],
            [person.eye_gap, person.eye_y],
            [0, NOSE_TIP],
            [-width, corner],
            [width, corner],
        ]
        depth = np.array([0.9, 0.9, 1.2, 0.9, 0.9]) * _bulge(np.array(points))
        return self.pose.place(np.array(points), depth).astype(np.float32)

    def skin(self) -> None:
        """Ears, and the head with light, shadow and red cheeks."""
        for side in (-1, 1):
            ear = curve(
                np.array([[0.72, -0.2], [0.86, -0.26], [0.9, -0.08], [0.82, 0.16], [0.72, 0.12]]) * (side, 1), closed=True
            )
            ear = ear * (self.person.width / 0.76, 1)
            self._fill(ear, mixed(self.person.skin, self.ink, 0.12))
            inner = np.array([[0.76, -0.15], [0.83, -0.16], [0.82, 0.0], [0.77, 0.06]]) * (side, 1)
            self._line(curve(inner) * (self.person.width / 0.76, 1), self.ink, 0.02, alpha=0.5)
        self.canvas.shade(self.pose.place(outline_of(self.person)), self._skin_colours)
        self._line(outline_of(self.person)[6:-6], self.ink, 0.015, alpha=0.35)

    def _skin_colours(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """RGB [h, w, 3]: rounded head, eye sockets, nose, cheeks, lip shadow, beard."""
        person, expression = self.person, self.expression
        u, v = self.pose.unplace(x, y)
        u = u - self.pose.yaw * 0.9
        light = 1.0 - 0.26 * (u / 0.8) ** 4 - 0.12 * np.clip(v, 0, 1) ** 3 + 0.14 * u * self.pose.light
        light -= 0.16 * (
            _blob(u + person.eye_gap, v - person.eye_y + 0.07, 0.2, 0.14)
            + _blob(u - person.eye_gap, v - person.eye_y + 0.07, 0.2, 0.14)
        )
        light += 0.1 * _blob(u, v - 0.12, 0.06, 0.26) - 0.1 * _blob(u, v - NOSE_TIP - 0.12, 0.2, 0.06)
        light += 0.07 * _blob(u, v + 0.62, 0.4, 0.25) - 0.08 * _blob(u, v - person.mouth_y - 0.17, 0.2, 0.06)
        light -= 0.22 * np.clip((-v - 0.8) / 0.25, 0, 1)
        cheek_y = 0.26 - 0.05 * expression.cheeks
        cheeks = _blob(u + 0.43, v - cheek_y, 0.19, 0.16) + _blob(u - 0.43, v - cheek_y, 0.19, 0.16)
        light += 0.05 * np.clip(expression.cheeks, 0, 1) * cheeks
        colours = person.skin * light[..., None]
        red = np.clip(0.12 + 0.22 * expression.flush + 0.1 * person.chubby, 0, 0.5) * cheeks
        colours += red[..., None] * (np.array([226, 96, 84]) - person.skin) * 0.8
        if person.beard:
            stubble = (
                np.clip((v - 0.3) / 0.2 + 0.9 * np.abs(u) - 0.2, 0, 1)
                * (1 - 0.7 * _blob(u, v - person.mouth_y, 0.25, 0.1))
                * person.beard
            )
            colours += (person.fringe - colours) * (0.55 * stubble)[..., None]
        return colours

    def wrinkles(self) -> None:
        """Lines of age, the frown, raised cheeks, freckles."""
        person, expression = self.person, self.expression
        depth = person.wrinkles
        if depth > 0.05:
            for k, y in enumerate((-0.74, -0.64, -0.54)):
                line = np.array(
                    [[-0.34 + 0.04 * k, y + 0.02], [-0.12, y - 0.015], [0.12, y - 0.015], [0.34 - 0.04 * k, y + 0.02]]
                )
                self._line(curve(line), self.ink, 0.018, alpha=0.5 * depth)
        for side in (-1, 1):
            fold = 0.25 + 0.5 * depth + 0.35 * np.clip(expression.cheeks, 0, 1)
            line = np.array([[0.2, NOSE_TIP + 0.03], [0.32, NOSE_TIP + 0.14], [0.4, person.mouth_y + 0.02]]) * (side, 1)
            self._line(curve(line), self.ink, 0.02, alpha=min(0.75, fold) * (0.35 + 0.65 * min(1, depth + expression.cheeks)))
            x, y = person.eye_gap * side, person.eye_y
            if person.bags > 0.1:
                self._line(ellipse((x, y + 0.07), 0.16, 0.09, (20, 160)), self.ink, 0.018, alpha=0.6 * person.bags)
            if depth > 0.3:
                for tilt in (-0.05, 0.0, 0.05):
                    self._line(
                        np.array([[x + 0.19 * side, y + tilt], [x + 0.29 * side, y + 2.2 * tilt]]),
                        self.ink,
                        0.015,
                        alpha=0.6 * depth,
                    )
            if expression.frown > 0.15:
                inner = np.array([[0.06, person.eye_y - 0.32], [0.045, person.eye_y - 0.12]]) * (side, 1)
                self._line(inner, self.ink, 0.025, alpha=min(0.8, 0.6 * expression.frown))
        if person.freckles:
            for k in range(14):
                spot = np.array([(0.2 + 0.03 * (k * 5 % 9)) * (-1) ** k, 0.13 + 0.022 * (k * 7 % 11)])
                self.canvas.disc(self.pose.place(spot[None], 0.9)[0], 0.014 * self.pose.size, self.ink, 0.4 * person.freckles)

    def eye(self, side: int) -> None:
        """White, iris, pupil, glint, lids; `side` -1 is image-left."""
        person, expression = self.person, self.expression
        width = 0.165 * (0.6 + 0.4 * person.eye_size)
        height = 0.078 * person.eye_size * float(np.clip(expression.eye_open, 0.35, 1.7))
        x, y = person.eye_gap * side, person.eye_y
        outer, inner = [x + width * side, y + expression.lid_droop], [x - width * side, y + 0.012]
        top = curve(
            [
                inner,
                [x - 0.45 * width * side, y - 0.85 * height],
                [x + 0.35 * width * side, y - height + 0.3 * expression.lid_droop],
                outer,
            ]
        )
        bottom = curve([outer, [x + 0.3 * width * side, y + 0.8 * height], [x - 0.4 * width * side, y + 0.75 * height], inner])
        almond = np.concatenate([top, bottom])
        self._fill(almond, WHITE)
        self._iris(np.array([x + expression.gaze * width * 0.8, y - 0.004]), almond)
        self._line(bottom, self.ink, 0.016, alpha=0.55)
        self._line(top, DARK, 0.032)
        self._line(top - (0, 0.055), self.ink, 0.016, alpha=0.5)

    def _iris(self, centre: np.ndarray, almond: np.ndarray) -> None:
        """Iris and pupil, cut to the eye's opening."""
        radius = 0.088 * (0.55 + 0.45 * self.person.eye_size) * self.expression.pupils
        for share, colour in ((1.0, mixed(self.person.iris, DARK, 0.35)), (0.82, self.person.iris), (0.45, DARK)):
            disc = ellipse(centre, radius * share, radius * share, count=28)
            disc[:, 1] = np.clip(disc[:, 1], *_opening(almond, disc[:, 0]))
            self._fill(disc, colour)
        glint = self.pose.place(np.add([centre], (-0.028, -0.03)), 0.9)[0]
        self.canvas.disc(glint, 0.026 * self.pose.size, WHITE)

    def brow(self, side: int) -> None:
        """A tapering stroke over an eye."""
        person, expression = self.person, self.expression
        y = person.eye_y - 0.21 - 0.02 * (person.eye_size - 1) - expression.brow_raise
        inner, arch = expression.brow_inner, expression.brow_arch
        x = np.array([0.13, 0.27, 0.42, 0.53]) + (person.eye_gap - 0.335)
        middle = np.stack([x, y + np.array([-inner, -0.35 * inner - arch, 0.1 * inner - arch, 0.3 * inner + 0.03])], axis=1) * (
            side,
            1,
        )
        half = 0.036 * (0.5 + 0.5 * person.brow_weight) * np.array([0.9, 1.0, 0.75, 0.25])[:, None] * (0, 1)
        shape = np.concatenate([curve(middle - half), curve(middle + half)[::-1]])
        self._fill(shape, person.brow, alpha=min(1.0, 0.45 + 0.5 * person.brow_weight))

    def nose(self) -> None:
        """Bridge, tip and nostrils."""
        size, shadow = self.person.nose, self.ink
        bridge = np.array([[-0.05, self.person.eye_y + 0.1], [-0.075 * size, 0.1], [-0.12 * size, NOSE_TIP - 0.05]])
        side = -1 if self.pose.light < 0 else 1
        self._line(curve(bridge * (-side, 1)), shadow, 0.02, alpha=0.35, depth=1.1)
        wing = np.array([[-0.14, -0.06], [-0.165, 0.04], [-0.08, 0.085]]) * (size, 1) + (0, NOSE_TIP)
        wings = curve(np.concatenate([wing, [[0, NOSE_TIP + 0.11]], wing[::-1] * (-1, 1)]))
        self._line(wings, shadow, 0.026, alpha=0.7, depth=1.1)
        for x in (-1, 1):
            self._fill(
                ellipse((0.075 * size * x, NOSE_TIP + 0.07), 0.042 * size, 0.022), mixed(shadow, DARK, 0.5), alpha=0.85, depth=1.1
            )
        self._fill(
            ellipse((-0.03 * side, NOSE_TIP - 0.04), 0.05, 0.04), mixed(self.person.skin, WHITE, 0.5), alpha=0.45, depth=1.2
        )

    def mouth(self) -> None:
        """Lips, and where the mouth is open its inside with teeth and tongue."""
        e, person = self.expression, self.person
        across = np.linspace(0, np.pi, 11)
        x, bow = -np.cos(across) * self._mouth_width(), np.sin(across) ** 2
        middle = person.mouth_y - e.corners * (1 - 1.25 * bow) + e.wave * np.sin(5 * across) * np.sqrt(bow)
        upper, lower = middle - e.open * np.sqrt(bow), middle + e.open * np.sqrt(bow)
        cupid = 0.05 * person.lips * (bow - 0.3 * np.exp(-((np.cos(across) / 0.22) ** 2)))
        edges = (upper - cupid, upper, lower, lower + 0.063 * person.lips * bow)
        over, top, bottom, under = (curve(np.stack([x, y], axis=1), steps=4) for y in edges)
        colour = mixed(person.skin, (176, 52, 62), 0.55)
        self._fill(np.concatenate([over, top[::-1]]), mixed(colour, DARK, 0.14))
        self._fill(np.concatenate([bottom, under[::-1]]), colour)
        if e.open < 0.02:
            self._line(top, mixed(self.ink, MOUTH, 0.6), 0.03)
            return
        self._fill(np.concatenate([top, bottom[::-1]]), MOUTH)
        if e.teeth == 0:
            self._fill(ellipse((0, person.mouth_y + 0.62 * e.open), 0.5 * self._mouth_width(), 0.32 * e.open), TONGUE)
        self._teeth(top, bottom)

    def _teeth(self, upper: np.ndarray, lower: np.ndarray) -> None:
        """Teeth between the opening's edges: the upper row, or both where they are clenched."""
        clenched = self.expression.teeth > 0 and self.expression.corners < 0.03
        reach = 0.95 if clenched else 0.62 if self.expression.teeth > 0 else 0.2
        inside = slice(3, -3) if self.expression.teeth > 0 else slice(13, -13)
        top, bottom = upper[inside], upper[inside] + (lower[inside] - upper[inside]) * reach
        self._fill(np.concatenate([top, bottom[::-1]]), WHITE)
        if clenched:
            self._line((top + bottom) / 2, (150, 130, 126), 0.016, alpha=0.8)
        if self.expression.teeth > 0:
            for k in range(4, len(top) - 4, 5):
                self._line(np.stack([top[k], bottom[k]]), (170, 150, 146), 0.01, alpha=0.6)

    def glasses(self) -> None:
        """Two thin rims and a bridge."""
        x, y = self.person.eye_gap, self.person.eye_y + 0.02
        for side in (-1, 1):
            self._line(ellipse((x * side, y), 0.24, 0.2, count=40), DARK, 0.028, alpha=0.85, depth=1.0)
            self._line(
                np.array([[(x + 0.24) * side, y - 0.04], [self.person.width * side * 0.98, y - 0.08]]), DARK, 0.028, alpha=0.85
            )
        self._line(np.array([[-x + 0.24, y - 0.04], [x - 0.24, y - 0.04]]), DARK, 0.028, alpha=0.85, depth=1.0)

    def _mouth_width(self) -> float:
        return 0.27 * self.expression.mouth_width * (1 - 0.08 * self.person.chubby)

    def _fill(self, points: np.ndarray, colour: Colour, alpha: float = 1.0, depth: float = 0.9) -> None:
        self.canvas.polygon(self.pose.place(points, depth * _bulge(points)), colour, alpha)

    def _line(self, points: np.ndarray, colour: Colour, width: float, alpha: float = 1.0, depth: float = 0.9) -> None:
        self.canvas.line(self.pose.place(points, depth * _bulge(points)), colour, width * self.pose.size, alpha)


def outline_of(person: Person) -> np.ndarray:
    """The head's outline (N, 2) from the hairline round the chin; `jaw` 0 is a pointed chin, 1 a full round one."""
    w = person.width
    half = [[0, -1.0], [0.42 * w, -0.98], [0.8 * w, -0.75], [0.98 * w, -0.4], [w, 0.0]]
    for y, narrow, full in ((0.38, 0.9, 0.97), (0.66, 0.68, 0.84), (0.86, 0.42, 0.58), (0.97, 0.18, 0.3)):
        half.append([w * (narrow + (full - narrow) * person.jaw), y])
    right = np.array(half)
    left = right[:0:-1] * (-1, 1)
    return curve(np.concatenate([right, [[0, 1.0]], left]), closed=True, steps=5)


def _bulge(points: np.ndarray) -> np.ndarray:
    """How far points stand out of the head's silhouette: 1 in the middle, 0 at its edge."""
    return np.sqrt(np.clip(1 - (points[:, 0] / 0.8) ** 2, 0, 1))


def _blob(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def _opening(almond: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest and lowest y of the eye's outline at each x."""
    half = len(almond) // 2
    top, bottom = almond[:half], almond[half:]
    order = np.argsort(top[:, 0]), np.argsort(bottom[:, 0])
    upper = np.interp(x, top[order[0], 0], top[order[0], 1])
    lower = np.interp(x, bottom[order[1], 0], bottom[order[1], 1])
    return upper, np.maximum(upper, lower)

"""One drawn photo with everything that is known about it.

Enters: a `World` and random generators. Leaves: a `Scene`. A labelled example in two lines:
`world = draw_world(PRESETS["demo_v1"], np.random.default_rng(1)); scene = draw_scene(world, np.random.default_rng(2))`
"""

from dataclasses import dataclass

import numpy as np

from preprocessing.demo.backdrop import Place, draw_place, draw_stage, draw_surroundings, draw_wall
from preprocessing.demo.body import draw_back_of_head, draw_behind, draw_fringe
from preprocessing.demo.canvas import Canvas
from preprocessing.demo.expression import draw_expression
from preprocessing.demo.face import FaceDrawing, Pose
from preprocessing.demo.person import draw_person
from preprocessing.demo.things import FLYING, STANDING
from preprocessing.demo.world import HIDDEN, World

CLEARANCE = 2.3
"""Half the side, in half-heights of the face, of the square round the face that shows nothing but person and wall (a generous face crop: 2)."""
_TOP = 22.0


@dataclass(frozen=True)
class Scene:
    """A drawn photo.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        box: (4,) float32, the face's frame from hairline to chin; None where the person is seen from behind.
        landmarks: (5, 2) float32 in the order of `preprocessing.types.Face`, or None.
        cue_boxes: (N, 4) float32, the stage's parts; empty where there is none.
    """

    image: np.ndarray
    box: np.ndarray | None
    landmarks: np.ndarray | None
    cue_boxes: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels: the photo, the pose of the head, the wall's edges, the curtains' inner edges."""

    width: int
    height: int
    pose: Pose
    wall: tuple[float, float]
    curtains: tuple[float, float]


def draw_scene(world: World, random: np.random.Generator, place: Place | None = None) -> Scene:
    """Draw a photo of a world; `place` is shared by the photos of a group."""
    place = place or draw_place(random)
    layout = _layout(random)
    canvas = Canvas(layout.width, layout.height)
    draw_surroundings(canvas, world.context_emotion, place, random)
    _things(canvas, world, layout, place, random)
    draw_wall(canvas, place, layout.wall[0], layout.pose.centre[1] - CLEARANCE * layout.pose.size, layout.wall[1])
    box, landmarks = _figure(canvas, world, layout.pose, random)
    cue = draw_stage(canvas, *layout.curtains, _TOP - 4, random) if world.stage else []
    return Scene(_photographed(canvas, place, random), box, landmarks, np.array(cue, np.float32).reshape(-1, 4))


def _layout(random: np.random.Generator) -> Layout:
    width, height = int(random.integers(360, 401)), int(random.integers(280, 301))
    size = random.uniform(32, 50)
    clear = CLEARANCE * size
    x = width / 2 + random.uniform(-1, 1) * min(30, width / 2 - clear - 62)
    y = random.uniform(clear + _TOP, max(clear + _TOP + 1, 0.52 * height))
    roll, yaw, light = random.uniform(-0.14, 0.14), random.uniform(-0.12, 0.12), random.uniform(-1, 1)
    curtains = (x - clear) * random.uniform(0.42, 0.6), width - (width - x - clear) * random.uniform(0.42, 0.6)
    return Layout(width, height, Pose((x, y), size, roll, yaw, light), (x - clear, x + clear), curtains)


def _things(canvas: Canvas, world: World, layout: Layout, place: Place, random: np.random.Generator) -> None:
    """At least one thing of the context in sight on each side, or in the band above; sometimes an ordinary one behind."""
    left, right = layout.wall
    edges = layout.curtains if world.stage else (0.0, float(layout.width))
    columns = [(edges[0], left), (right, edges[1])]
    signs = [_STAND, _FLY] if random.random() < 0.5 else [_FLY, _STAND]
    for (x1, x2), sign in zip(columns, signs, strict=True):
        if random.random() < 0.35:
            _put(canvas, "plain", _STAND, x1, x2, layout, place, random)
        _put(canvas, world.context_emotion, sign, x1, x2, layout, place, random)
        if random.random() < 0.4:
            _put(canvas, world.context_emotion, _FLY if sign == _STAND else _STAND, x1, x2, layout, place, random)


_STAND, _FLY = "stand", "fly"


def _put(
    canvas: Canvas, context: str, sign: str, x1: float, x2: float, layout: Layout, place: Place, random: np.random.Generator
) -> None:
    """Put a thing of a context into the column from x1 to x2."""
    room = x2 - x1
    x = (x1 + x2) / 2 + random.uniform(-0.15, 0.15) * room
    if sign == _STAND:
        choices = STANDING[context]
        y = random.uniform(place.horizon + 0.06, 0.96) * layout.height
        size = min(room * 1.15, 110) * random.uniform(0.8, 1.0)
    else:
        choices = FLYING[context]
        y = random.uniform(0.2, 0.36) * layout.height
        size = min(room * 0.95, 84) * random.uniform(0.85, 1.0)
    choices[random.integers(len(choices))](canvas, x, y, size, random)


def _figure(canvas: Canvas, world: World, pose: Pose, random: np.random.Generator) -> tuple[np.ndarray | None, np.ndarray | None]:
    person = draw_person(world.shown_age, random)
    tilt, sway = random.uniform(-1, 1, size=4), random.uniform(-1, 1)
    draw_behind(canvas, pose, person, tilt)
    if world.face_emotion == HIDDEN:
        draw_back_of_head(canvas, pose, person)
        return None, None
    face = FaceDrawing(canvas, pose, person, draw_expression(world.face_emotion, random))
    face.draw()
    draw_fringe(canvas, pose, person, sway)
    return face.box(), face.landmarks()


def _photographed(canvas: Canvas, place: Place, random: np.random.Generator) -> np.ndarray:
    """The drawing through the group's camera: tint, exposure, grain."""
    image = canvas.photo().astype(np.float32) * (place.tint * random.uniform(0.9, 1.1)).astype(np.float32)
    grain = random.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(place.grain)
    return np.clip(image + grain[..., None] + 0.5, 0, 255).astype(np.uint8)

"""One drawn photo with everything that is known about it.

Enters: a `World` and random generators. Leaves: a `Scene`. A labelled example in two lines:
`world = draw_world(PRESETS["demo_v1"], np.random.default_rng(1)); scene = draw_scene(world, np.random.default_rng(2))`
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.demo.backdrop import Place, draw_place, draw_stage, draw_surroundings, draw_wall
from preprocessing.demo.body import draw_back_of_head, draw_behind, draw_fringe
from preprocessing.demo.canvas import Canvas
from preprocessing.demo.expression import draw_expression
from preprocessing.demo.face import FaceDrawing, Pose
from preprocessing.demo.person import draw_person
from preprocessing.demo.things import FLYING, STANDING, Draw
from preprocessing.demo.world import HIDDEN, World

CLEARANCE = 2.3
"""Half the side of the square round the face that shows only person and wall, in half-heights (a generous crop has 2)."""
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
    # One generator a purpose: what the surroundings are changes nothing of the figure, and the other way round.
    layout_random, scenery, stage, figure, camera = random.spawn(5)
    layout = _layout(layout_random)
    canvas = Canvas(layout.width, layout.height)
    draw_surroundings(canvas, world.context_emotion, place, scenery)
    _things(canvas, world, layout, place, scenery)
    draw_wall(canvas, place, layout.wall[0], layout.pose.centre[1] - CLEARANCE * layout.pose.size, layout.wall[1])
    box, landmarks = _figure(canvas, world, layout.pose, figure)
    cue = draw_stage(canvas, *layout.curtains, _TOP - 4, stage) if world.stage else []
    return Scene(_photographed(canvas, place, camera), box, landmarks, np.array(cue, np.float32).reshape(-1, 4))


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
    """On each side of the wall at least one thing of the context, standing or flying; sometimes an ordinary one behind it."""
    edges = layout.curtains if world.stage else (0.0, float(layout.width))
    columns = [(edges[0], layout.wall[0]), (layout.wall[1], edges[1])]
    kinds = [STANDING, FLYING] if random.random() < 0.5 else [FLYING, STANDING]
    for column, kind, other in zip(columns, kinds, kinds[::-1], strict=True):
        if random.random() < 0.35:
            _put(canvas, STANDING["plain"], _spot(STANDING, column, canvas, place, random), random)
        _put(canvas, kind[world.context_emotion], _spot(kind, column, canvas, place, random), random)
        if random.random() < 0.4:
            _put(canvas, other[world.context_emotion], _spot(other, column, canvas, place, random), random)


def _spot(
    kind: Mapping[str, object], column: tuple[float, float], canvas: Canvas, place: Place, random: np.random.Generator
) -> tuple[float, float, float]:
    """(x, y, size) for a thing that stands or flies in a column of the photo."""
    room = column[1] - column[0]
    x = sum(column) / 2 + random.uniform(-0.15, 0.15) * room
    if kind is STANDING:
        return x, random.uniform(place.horizon + 0.06, 0.96) * canvas.height, min(1.15 * room, 110) * random.uniform(0.8, 1.0)
    return x, random.uniform(0.2, 0.36) * canvas.height, min(0.95 * room, 84) * random.uniform(0.85, 1.0)


def _put(canvas: Canvas, choices: tuple[Draw, ...], spot: tuple[float, float, float], random: np.random.Generator) -> None:
    """Draw one of the things."""
    choices[random.integers(len(choices))](canvas, *spot, random)


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
    levels = np.arange(256)[:, None] * place.tint * random.uniform(0.9, 1.06)
    image = cv2.LUT(canvas.photo(), np.clip(levels + 0.5, 0, 255).astype(np.uint8)[None])
    noise = np.frombuffer(random.bytes(image.shape[0] * image.shape[1]), np.uint8).reshape(image.shape[:2])
    grain = np.rint((np.arange(256) - 127.5) / 73.9 * place.grain).astype(np.int16)[noise]
    return cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)

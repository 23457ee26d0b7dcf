"""Who is drawn: skin, hair, build, and the age that the face shows.

Enters: an age group, a random generator. Leaves: `Person`. Nothing about the age may show outside the face's box, where the
context image would see it: head width, clothes and the hair around the head are alike for all ages; grey shows on the forehead.
"""

from dataclasses import dataclass

import numpy as np

from preprocessing.demo.canvas import mixed
from preprocessing.demo.world import AGES

SKINS = ((246, 214, 188), (236, 190, 156), (222, 170, 126), (198, 134, 88), (150, 94, 60), (112, 70, 46))
HAIRS = ((36, 28, 26), (62, 42, 32), (104, 66, 38), (150, 98, 52), (196, 152, 90), (150, 60, 34), (128, 124, 124))
IRISES = ((72, 48, 30), (94, 66, 38), (66, 96, 122), (84, 112, 74), (58, 58, 66))
CLOTHES = (
    (196, 70, 70),
    (66, 104, 170),
    (70, 130, 100),
    (212, 164, 72),
    (112, 84, 150),
    (90, 96, 104),
    (226, 222, 214),
    (44, 52, 72),
)
HAIR_STYLES = ("short", "side", "long", "bob", "bun", "curly", "cap")
GREY = (206, 204, 200)


@dataclass(frozen=True)
class Person:
    """Colours are RGB arrays; lengths in half-heights of the face; shares in 0..1."""

    skin: np.ndarray
    hair: np.ndarray
    fringe: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    clothes: np.ndarray
    style: str
    width: float
    jaw: float
    eye_y: float
    eye_gap: float
    eye_size: float
    nose: float
    mouth_y: float
    lips: float
    brow_weight: float
    wrinkles: float
    bags: float
    beard: float
    freckles: float
    chubby: float
    glasses: bool


# eye_y, eye_size, nose, jaw, chubby, brow_weight, wrinkles, bags, grey: typical values by age group
_BY_AGE = np.array(
    [
        [0.06, 1.35, 0.60, 1.00, 1.0, 0.35, 0.00, 0.0, 0.0],
        [-0.02, 1.20, 0.75, 0.75, 0.6, 0.65, 0.00, 0.0, 0.0],
        [-0.10, 1.05, 0.92, 0.25, 0.2, 0.90, 0.00, 0.0, 0.0],
        [-0.14, 0.95, 1.05, 0.30, 0.1, 1.10, 0.18, 0.2, 0.0],
        [-0.15, 0.90, 1.12, 0.50, 0.2, 1.15, 0.55, 0.6, 0.55],
        [-0.14, 0.85, 1.20, 0.40, 0.0, 1.05, 1.00, 1.0, 1.0],
    ]
)
_SPREAD = np.array([0.012, 0.05, 0.05, 0.12, 0.1, 0.1, 0.06, 0.12, 0.1])


def draw_person(age: str, random: np.random.Generator) -> Person:
    """A person whose face shows the age group."""
    group = AGES.index(age)
    eye_y, eye_size, nose, jaw, chubby, weight, wrinkles, bags, grey = _BY_AGE[group] + random.normal(size=9) * _SPREAD
    skin = mixed(SKINS[random.integers(len(SKINS))], SKINS[random.integers(len(SKINS))], random.uniform(0, 0.4))
    hair = mixed(HAIRS[random.integers(len(HAIRS))], HAIRS[random.integers(len(HAIRS))], random.uniform(0, 0.3))
    grey = float(np.clip(grey, 0, 1))
    chance, mark = random.random(), random.uniform(0.3, 1)
    return Person(
        skin=skin,
        hair=hair,
        fringe=mixed(hair, GREY, grey * 0.8),
        brow=mixed(mixed(hair, (40, 28, 22), 0.45), GREY, grey * 0.85),
        iris=np.array(IRISES[random.integers(len(IRISES))], float),
        clothes=mixed(CLOTHES[random.integers(len(CLOTHES))], (128, 128, 128), random.uniform(0, 0.3)),
        style=str(random.choice(HAIR_STYLES)),
        width=float(0.775 + random.normal() * 0.02),
        jaw=float(np.clip(jaw, 0, 1)),
        eye_y=float(eye_y),
        eye_gap=float(0.335 + random.normal() * 0.01),
        eye_size=float(eye_size),
        nose=float(nose),
        mouth_y=float(0.56 + 0.02 * chubby + random.normal() * 0.01),
        lips=float(np.clip(random.normal(1, 0.2) - 0.4 * max(0.0, wrinkles - 0.5), 0.5, 1.5)),
        brow_weight=float(max(0.25, weight + random.normal() * 0.15)),
        wrinkles=float(np.clip(wrinkles, 0, 1)),
        bags=float(np.clip(bags, 0, 1)),
        beard=float(mark) if group >= 3 and chance < 0.3 else 0.0,
        freckles=float(mark) if group in (1, 2) and chance < 0.4 else 0.0,
        chubby=float(np.clip(chubby, 0, 1)),
        glasses=bool(random.random() < 0.12),
    )

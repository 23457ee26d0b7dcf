"""The probability model behind the drawn scenes: what is true, what the face shows, what the surroundings and the stage say.

Enters: a preset and a random generator. Leaves: the `World` of one photo, and the model's tables for exact enumeration
(`ceilings.py`). The model, with E the true emotion:

    stage S      ~ Bernoulli(stage), independent of E; curtains in the photo, far from the face
    face F       = E with probability face_true, else one of the others; on a stage any emotion, whatever E is;
                   hidden (the person is seen from behind) with probability face_hidden
    context C    = plain with probability context_plain, else E with probability context_true, else one of the others
    annotation   = E, or with probability label_noise one of the others
    age          is annotated likewise; the face shows it, or with probability 1 - age_true a neighbouring group
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from preprocessing.errors import unknown_name

EMOTIONS = ("smile", "sad", "angry", "anxiety", "surprise")
AGES = ("baby", "child", "ten-twenty", "thirty-forty", "fifty", "senior")
PLAIN, HIDDEN = "plain", "hidden"
CONTEXTS = (*EMOTIONS, PLAIN)
FACES = (*EMOTIONS, HIDDEN)


@dataclass(frozen=True)
class Preset:
    """The model's numbers. `emotion_prior` and `age_prior` are shares in the order of EMOTIONS and AGES."""

    name: str
    emotion_prior: tuple[float, ...]
    age_prior: tuple[float, ...]
    label_noise: float
    stage: float = 0.3
    face_true: float = 0.94
    face_hidden: float = 0.03
    context_true: float = 0.78
    context_plain: float = 0.1
    age_true: float = 0.9

    @cached_property
    def emotion_joint(self) -> np.ndarray:
        """P(E, F, C, S) as [5, 6, 6, 2], axes in the order of EMOTIONS, FACES, CONTEXTS, (no stage, stage)."""
        count = len(EMOTIONS)
        shown = np.stack([_agreement(count, self.face_true), np.full((count, count), 1 / count)], axis=-1)
        face = np.concatenate([shown * (1 - self.face_hidden), np.full((count, 1, 2), self.face_hidden)], axis=1)
        plain = np.full((count, 1), self.context_plain)
        context = np.concatenate([_agreement(count, self.context_true) * (1 - self.context_plain), plain], axis=1)
        stage = np.array([1 - self.stage, self.stage])
        return np.einsum("e,efs,ec,s->efcs", np.array(self.emotion_prior), face, context, stage)

    @cached_property
    def age_joint(self) -> np.ndarray:
        """P(age, age that the face shows) as [6, 7]; the last column is the hidden face."""
        count = len(AGES)
        near = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) == 1
        shown = np.eye(count) * self.age_true + near / near.sum(axis=1, keepdims=True) * (1 - self.age_true)
        hidden = np.full((count, 1), self.face_hidden)
        return np.array(self.age_prior)[:, None] * np.concatenate([shown * (1 - self.face_hidden), hidden], axis=1)

    def annotation(self, count: int) -> np.ndarray:
        """P(annotated class | true class) as [count, count], rows the true one."""
        return _agreement(count, 1 - self.label_noise)


@dataclass(frozen=True)
class World:
    """What holds in one photo: names from EMOTIONS, AGES, FACES and CONTEXTS; `emotion` and `age` are the annotations."""

    emotion: str
    true_emotion: str
    face_emotion: str
    context_emotion: str
    stage: bool
    age: str
    true_age: str
    shown_age: str


def _agreement(count: int, same: float) -> np.ndarray:
    """[count, count] with `same` on the diagonal and the rest of each row spread evenly."""
    other = (1 - same) / (count - 1)
    return np.full((count, count), other) + np.eye(count) * (same - other)


def _geometric(count: int, ratio: float) -> tuple[float, ...]:
    """Shares that fall evenly from the first class to the last, which is `ratio` times rarer."""
    weights = ratio ** -np.linspace(0, 1, count)
    return tuple(float(w) for w in weights / weights.sum())


def _uniform(count: int) -> tuple[float, ...]:
    return (1 / count,) * count


_BY_SHARE = _geometric(len(AGES), 10)
_RARE_AGES = tuple(_BY_SHARE[rank] for rank in (5, 3, 1, 0, 2, 4))

PRESETS = {
    "demo_v1": Preset("demo_v1", _uniform(len(EMOTIONS)), _uniform(len(AGES)), label_noise=0.0),
    "demo_v4": Preset("demo_v4", _geometric(len(EMOTIONS), 10), _RARE_AGES, label_noise=0.15),
}


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UserError: unknown; lists the known ones.
    """
    if name not in PRESETS:
        raise unknown_name("demo preset", name, PRESETS)
    return PRESETS[name]


def draw_world(preset: Preset, random: np.random.Generator) -> World:
    """Draw one photo's world from the model."""
    emotion, face, context, stage = _draw(preset.emotion_joint, random)
    age, shown_age = _draw(preset.age_joint[:, : len(AGES)], random)
    annotated = _draw(preset.annotation(len(EMOTIONS))[emotion], random)[0]
    annotated_age = _draw(preset.annotation(len(AGES))[age], random)[0]
    return World(
        emotion=EMOTIONS[annotated],
        true_emotion=EMOTIONS[emotion],
        face_emotion=FACES[face],
        context_emotion=CONTEXTS[context],
        stage=bool(stage),
        age=AGES[annotated_age],
        true_age=AGES[age],
        shown_age=AGES[shown_age],
    )


def _draw(table: np.ndarray, random: np.random.Generator) -> tuple[int, ...]:
    """The indices of one cell, drawn with the table's entries as weights."""
    cumulative = np.cumsum(table)
    cell = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    return tuple(int(i) for i in np.unravel_index(min(cell, table.size - 1), table.shape))

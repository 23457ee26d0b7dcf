"""How an emotion moves a drawn face.

Enters: an emotion, how strongly it shows, a random generator. Leaves: `Expression`, the numbers that `face.py` draws.
Lengths are in units of the face's half-height; 0 is the relaxed face.
"""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Expression:
    """Offsets from the relaxed face.

    Attributes:
        corners: mouth corners up (+) or down (-).
        mouth_width: factor on the mouth's width.
        open: half the height of the mouth's opening.
        teeth: how far the opening is filled with teeth, 0 to 1.
        wave: a trembling lip line.
        brow_raise: brows up (+) or down (-).
        brow_inner: inner ends up (+) or down (-), on top.
        brow_arch: how much the brows bend upwards.
        frown: creases between the brows, 0 to 1.
        eye_open: factor on the eyes' opening.
        lid_droop: outer corners of the eyes down.
        pupils: factor on the iris' size.
        gaze: irises to the side, in eye half-widths; the side is drawn by chance.
        cheeks: raised cheeks under the eyes, 0 to 1.
        flush: red cheeks (+) or pallor (-).
    """

    corners: float = 0.0
    mouth_width: float = 1.0
    open: float = 0.0
    teeth: float = 0.0
    wave: float = 0.0
    brow_raise: float = 0.0
    brow_inner: float = 0.0
    brow_arch: float = 0.04
    frown: float = 0.0
    eye_open: float = 1.0
    lid_droop: float = 0.0
    pupils: float = 1.0
    gaze: float = 0.0
    cheeks: float = 0.0
    flush: float = 0.0


_RELAXED = Expression()
_FULL = {
    "smile": (
        Expression(corners=0.15, mouth_width=1.25, brow_raise=0.03, eye_open=0.72, cheeks=1.0, flush=0.7),
        Expression(corners=0.13, mouth_width=1.28, open=0.1, teeth=1.0, brow_raise=0.05, eye_open=0.75, cheeks=1.0, flush=0.6),
    ),
    "sad": (
        Expression(
            corners=-0.11, mouth_width=0.98, brow_raise=0.02, brow_inner=0.16, brow_arch=-0.01, eye_open=0.7, lid_droop=0.06
        ),
        Expression(corners=-0.12, mouth_width=1.05, brow_inner=0.17, brow_arch=0.0, eye_open=0.55, lid_droop=0.07),
    ),
    "angry": (
        Expression(
            corners=-0.06, mouth_width=0.9, brow_raise=-0.11, brow_inner=-0.15, brow_arch=0.0, frown=1, eye_open=0.75, flush=0.6
        ),
        Expression(
            corners=-0.07,
            mouth_width=1.1,
            open=0.09,
            teeth=1,
            brow_raise=-0.1,
            brow_inner=-0.16,
            frown=1,
            eye_open=0.85,
            flush=0.8,
        ),
    ),
    "anxiety": (
        Expression(
            corners=-0.02,
            mouth_width=1.15,
            open=0.055,
            teeth=1,
            wave=0.03,
            brow_raise=0.09,
            brow_inner=0.11,
            brow_arch=0.0,
            frown=0.5,
            eye_open=1.3,
            pupils=0.75,
            gaze=0.4,
            flush=-0.8,
        ),
        Expression(
            corners=-0.03,
            mouth_width=1.0,
            wave=0.045,
            brow_raise=0.08,
            brow_inner=0.13,
            brow_arch=0.0,
            frown=0.5,
            eye_open=1.25,
            pupils=0.75,
            gaze=0.45,
            flush=-0.8,
        ),
    ),
    "surprise": (
        Expression(mouth_width=0.58, open=0.19, brow_raise=0.17, brow_arch=0.12, eye_open=1.5, pupils=0.9),
        Expression(mouth_width=0.75, open=0.15, corners=0.02, brow_raise=0.18, brow_arch=0.11, eye_open=1.45, pupils=0.95),
    ),
}
_JITTER = Expression(
    corners=0.018,
    mouth_width=0.06,
    open=0.008,
    wave=0.004,
    brow_raise=0.02,
    brow_inner=0.025,
    brow_arch=0.015,
    frown=0.1,
    eye_open=0.08,
    lid_droop=0.015,
    pupils=0.06,
    gaze=0.12,
    cheeks=0.15,
    flush=0.25,
)


def draw_expression(emotion: str, random: np.random.Generator) -> Expression:
    """One of the emotion's forms, between clearly and fully shown, with a person's own variation."""
    forms = _FULL[emotion]
    full = forms[random.integers(len(forms))]
    strength = random.uniform(0.7, 1.05)
    side = random.choice([-1.0, 1.0])
    values = {}
    for field in fields(Expression):
        relaxed, target = getattr(_RELAXED, field.name), getattr(full, field.name)
        values[field.name] = relaxed + (target - relaxed) * strength + random.normal() * getattr(_JITTER, field.name)
    values["teeth"] = full.teeth
    values["open"] = max(0.0, values["open"]) if full.open else 0.0
    values["gaze"] *= side
    return Expression(**{k: float(v) for k, v in values.items()})

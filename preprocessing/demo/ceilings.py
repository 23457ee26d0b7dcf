"""The best accuracy that any model can reach on drawn scenes, by what it sees.

Enters: rows of `truth.parquet` (those that survived preprocessing). Leaves: one figure per view:
`face` (face crop only), `context` (masked photo only), `both` (without the stage), `both_with_cue`.
The best rule of a view answers with the likeliest annotation given what it sees; P is enumerated from `world.py`, not estimated.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from preprocessing.demo.world import AGES, CONTEXTS, EMOTIONS, FACES, HIDDEN, Preset, preset_named
from preprocessing.errors import UserError, unknown_name

VIEWS: Mapping[str, tuple[str, ...]] = {
    "face": ("face",),
    "context": ("context",),
    "both": ("face", "context"),
    "both_with_cue": ("face", "context", "stage"),
}
_AXES = {"face": 1, "context": 2, "stage": 3}


def ceilings(truth: pd.DataFrame, task: str = "emotion", true_labels: bool = False) -> dict[str, float]:
    """Expected accuracy of each view's best rule over the rows given, given what each row shows.

    Args:
        truth: rows of `truth.parquet`; where it has a column `has_face`, rows without are taken as hidden faces (not detected).
        task: `emotion` or `age`.
        true_labels: against the truth instead of the annotation (they differ where the preset has label noise).

    Returns:
        View -> accuracy in [0, 1]. `both_with_cue` is the largest for each row.

    Raises:
        UserError: no rows, rows of several presets, or an unknown task.
    """
    joint, seen = _joint(truth, task, true_labels)
    all_seen = joint[:, *seen.T]
    posterior = all_seen / all_seen.sum(axis=0)
    rows = np.arange(len(truth))
    return {view: float(posterior[_answers(joint, seen, VIEWS[view]), rows].mean()) for view in VIEWS}


def realised(truth: pd.DataFrame, task: str = "emotion", true_labels: bool = False) -> dict[str, float]:
    """Accuracy of each view's best rule on the labels that the rows have; arguments as in `ceilings`."""
    joint, seen = _joint(truth, task, true_labels)
    names = EMOTIONS if task == "emotion" else AGES
    labels = truth[f"true_{task}" if true_labels else task].map(names.index).to_numpy()
    return {view: float((_answers(joint, seen, VIEWS[view]) == labels).mean()) for view in VIEWS}


def expected(preset: str, task: str = "emotion", true_labels: bool = False) -> dict[str, float]:
    """The ceilings over infinitely many rows of a preset."""
    joint = _table(preset_named(preset), task, true_labels)
    seen = np.stack(np.unravel_index(np.arange(joint[0].size), joint.shape[1:]), axis=1)
    cells = joint.reshape(len(joint), -1)
    rows = np.arange(len(seen))
    return {view: float(cells[_answers(joint, seen, VIEWS[view]), rows].sum()) for view in VIEWS}


def _joint(truth: pd.DataFrame, task: str, true_labels: bool) -> tuple[np.ndarray, np.ndarray]:
    """P(label, face, context, stage) and the rows' (face, context, stage) indices [N, 3]."""
    presets = sorted(truth["preset"].unique()) if len(truth) else []
    if len(presets) != 1:
        raise UserError(f"ceilings: expected rows of one demo preset, given {', '.join(presets) or 'no rows'}")
    if task not in ("emotion", "age"):
        raise unknown_name("demo task", task, ("emotion", "age"))
    shown = truth["face_emotion" if task == "emotion" else "shown_age"].where(truth["face_emotion"] != HIDDEN, HIDDEN)
    if "has_face" in truth:
        shown = shown.where(truth["has_face"].astype(bool), HIDDEN)
    faces: Sequence[str] = FACES if task == "emotion" else (*AGES, HIDDEN)
    columns = [shown.map(faces.index), truth["context_emotion"].map(CONTEXTS.index), truth["stage"].astype(int)]
    return _table(preset_named(presets[0]), task, true_labels), np.stack([c.to_numpy(int) for c in columns], axis=1)


def _table(preset: Preset, task: str, true_labels: bool) -> np.ndarray:
    """P(label, face, context, stage); the label is the annotation unless `true_labels`."""
    if task == "emotion":
        joint = preset.emotion_joint
    else:
        surroundings = preset.emotion_joint.sum(axis=(0, 1))
        joint = preset.age_joint[:, :, None, None] * surroundings
    return joint if true_labels else np.einsum("efcs,ea->afcs", joint, preset.annotation(len(joint)))


def _answers(joint: np.ndarray, seen: np.ndarray, view: tuple[str, ...]) -> np.ndarray:
    """The likeliest label [N] given the view's columns of `seen`."""
    unseen = tuple(axis for name, axis in _AXES.items() if name not in view)
    table = joint.sum(axis=unseen, keepdims=True).argmax(axis=0)
    index = [seen[:, axis - 1] if name in view else np.zeros(len(seen), int) for name, axis in _AXES.items()]
    return table[tuple(index)]

"""Pictures of samples: where the context branch looks, and the mistakes the model is surest of.

Enters: a loaded run, its judged rows and predictions. Leaves: `Sample`s with JPEG bytes. They show photos of the data set: pages
with galleries belong into `runs/`, not into the repository.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
import pandas as pd
import torch
from PIL import Image

from caer.config import Config, ImageSize
from caer.data.dataset import SampleDataset, collate
from caer.data.features import to_device
from caer.engine.checkpoint import LoadedRun
from caer.evaluation.predictions import TaskRows

FACE_SIDE, SCENE_SIDE = 224, 480
"""Pixels of the pictures shown; the model has seen the same cut at its own size."""
STRONG = 3.0
"""Attention, in units of an even spread, at which the colour is fullest (or at the picture's own peak, if that is higher)."""


@dataclass(frozen=True)
class Shots:
    """The pictures of one sample.

    Attributes:
        face: JPEG of the face crop, None without a face or a face branch.
        scene: JPEG of the context image (masked), with the attention over it where there is one; None where there is no photo.
        peak: highest attention in units of an even spread, None without attention.
    """

    face: bytes | None
    scene: bytes | None
    peak: float | None


@dataclass(frozen=True)
class Sample:
    """One sample as shown.

    Attributes:
        face, scene, peak: as in `Shots`.
        target: annotated class.
        predicted: answered class.
        confidence: its probability.
        gates: (face, context), None without.
        image: the photo's path in its data set.
        answered_by: as in `predictions.parquet`.
    """

    face: bytes | None
    scene: bytes | None
    target: str
    predicted: str
    confidence: float
    gates: tuple[float, float] | None
    peak: float | None
    image: str
    answered_by: str


def pick_by_class(task: TaskRows, count: int = 12) -> list[int]:
    """Row numbers spread over the classes, each class's in the order of their ids: neither the best nor the worst."""
    usable = np.flatnonzero(task.answered_by == "model")
    by_class = [
        sorted(usable[task.targets[usable] == k], key=lambda i: task.rows["sample_id"][i]) for k in range(len(task.classes))
    ]
    rounds = max((len(rows) for rows in by_class), default=0)
    return [int(rows[turn]) for turn in range(rounds) for rows in by_class if turn < len(rows)][:count]


def pick_mistakes(task: TaskRows, count: int = 12) -> list[int]:
    """Row numbers of wrong answers, the most confident first."""
    wrong = np.flatnonzero((task.correct() == 0) & (task.answered_by != "prior"))
    confidence = task.probabilities.max(axis=1)
    return [int(i) for i in wrong[np.argsort(-confidence[wrong], kind="stable")][:count]]


def show(loaded: LoadedRun, judged: pd.DataFrame, task: TaskRows, picks: Sequence[int]) -> list[Sample]:
    """Pictures of picked rows.

    Args:
        loaded: the run.
        judged: rows as `caer.data.rows` selects them.
        task: the task's rows, which `picks` counts.
        picks: row numbers.
    """
    ids = task.rows["sample_id"].iloc[list(picks)].tolist()
    return [_sample(task, i, shot) for i, shot in zip(picks, shots(loaded, judged, ids), strict=True)]


def shots(loaded: LoadedRun, judged: pd.DataFrame, ids: Sequence[str]) -> list[Shots]:
    """The pictures of samples, as the run sees them but larger."""
    if not ids:
        return []
    rows = judged.set_index("sample_id", drop=False).loc[list(ids)].reset_index(drop=True)
    inputs = loaded.model.inputs(loaded.output)  # type: ignore[arg-type]
    large = SampleDataset(rows, _enlarged(loaded.config), inputs & {"face", "context"})
    attention = _attention(loaded, rows, inputs)
    return [_shots(large[at]["pictures"], rows.iloc[at], attention[at]) for at in range(len(rows))]


def _enlarged(config: Config) -> Config:
    size = ImageSize(face=FACE_SIDE, context=SCENE_SIDE)
    return config.model_copy(update={"data": config.data.model_copy(update={"image_size": size})})


def _attention(loaded: LoadedRun, rows: pd.DataFrame, inputs: set[str]) -> list[np.ndarray | None]:
    """Attention [h, w] of each row at the model's own sizes; None without."""
    dataset = SampleDataset(rows, loaded.config, inputs)
    batch = collate([dataset[i] for i in range(len(dataset))])
    device = next(loaded.model.parameters()).device
    bf16 = loaded.meta.get("precision") == "bf16"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        attention = loaded.model(to_device(batch, device)).attention
    if attention is None:
        return [None] * len(rows)
    return list(attention.float().squeeze(1).cpu().numpy())


def _shots(pictures: dict[str, torch.Tensor], row: pd.Series, attention: np.ndarray | None) -> Shots:
    face, scene, peak = None, None, None
    if "face" in pictures and row["has_face"]:
        face = jpeg(pictures["face"].permute(1, 2, 0).numpy())
    if "context" in pictures:
        photo = _unsqueezed(pictures["context"].permute(1, 2, 0).numpy(), row["width"] / row["height"])
        if attention is not None:
            peak = float(attention.max() * attention.size)
            photo = overlay(photo, attention)
        scene = jpeg(photo)
    return Shots(face, scene, peak)


def _sample(task: TaskRows, i: int, shot: Shots) -> Sample:
    gates = None if task.gates is None or np.isnan(task.gates[i]).any() else tuple(float(g) for g in task.gates[i])
    return Sample(
        face=shot.face,
        scene=shot.scene,
        target=task.classes[task.targets[i]],
        predicted=task.classes[int(task.probabilities[i].argmax())],
        confidence=float(task.probabilities[i].max()),
        gates=gates,  # type: ignore[arg-type]
        peak=shot.peak,
        image=str(task.rows["image"].iloc[i]),
        answered_by=str(task.answered_by[i]),
    )


def _unsqueezed(square: np.ndarray, ratio: float) -> np.ndarray:
    """A squeezed square picture at the photo's own ratio width / height again."""
    side = square.shape[0]
    width, height = (side, max(1, round(side / ratio))) if ratio >= 1 else (max(1, round(side * ratio)), side)
    return cv2.resize(square, (width, height), interpolation=cv2.INTER_AREA)


def overlay(photo: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Attention [h, w] (sums to one) over a photo [H, W, 3] uint8.

    Colour starts where attention exceeds an even spread and is fullest at `STRONG` times that; an attention that is even
    everywhere leaves the photo grey.
    """
    relative = np.asarray(attention, dtype=np.float32) * attention.size
    height, width = photo.shape[:2]
    smooth = cv2.resize(relative, (width, height), interpolation=cv2.INTER_CUBIC)
    strength = np.clip((smooth - 1) / (max(STRONG, float(relative.max())) - 1), 0, 1)[..., None]
    colours = heat(strength[..., 0]) * 255
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    base = 0.55 * grey + 0.25 * photo
    share = 0.7 * strength**0.7
    return np.clip(base * (1 - share) + colours * share, 0, 255).astype(np.uint8)


def heat(strength: np.ndarray) -> np.ndarray:
    """Colours [..., 3] in [0, 1] of strengths in [0, 1], from red to light yellow."""
    return matplotlib.colormaps["inferno"](0.5 + 0.47 * np.asarray(strength))[..., :3].astype(np.float32)


def jpeg(picture: np.ndarray, quality: int = 88) -> bytes:
    """A picture [H, W, 3] uint8 RGB as JPEG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()

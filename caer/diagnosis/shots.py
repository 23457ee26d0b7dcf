"""Pictures of what the model was shown: a few samples under every change.

Enters: a probe and truths. Leaves: HTML strips with their pictures inside. They show photos of the data set.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from caer.config import ImageSize
from caer.data.dataset import RowAlter, SampleDataset
from caer.diagnosis.interventions import SCENE, SEED, BlankFace, BlankScene, BlurFace, CoverFace, MixedScenes, places_of
from caer.diagnosis.probe import Probe
from caer.diagnosis.reliance import EXCHANGES, Truth
from caer.diagnosis.sweeps import BLUR, COVER, MIX
from caer.diagnosis.words import CHANGES
from caer.report import html
from caer.report.galleries import jpeg

SIDES = ImageSize(face=128, context=160)
"""Pixels of the pictures shown; the model has seen the same at its own size."""

Shot = tuple[str, dict[str, torch.Tensor]]


class Camera:
    """Takes the inputs of one row of a probe, larger than the model sees them."""

    def __init__(self, probe: Probe, row: int) -> None:
        self.probe, self.row = probe, row
        config = probe.loaded.config
        self.config = config.model_copy(update={"data": config.data.model_copy(update={"image_size": SIDES})})

    def take(
        self, alter: RowAlter | None = None, donors: np.ndarray | None = None, share: float = 1.0
    ) -> dict[str, torch.Tensor]:
        """The pictures by input, altered, or with the scene of the row's donor in it."""
        samples = SampleDataset(self.probe.rows, self.config, self.probe.inputs, alter=alter)
        changed = samples if donors is None or donors[self.row] < 0 else MixedScenes(samples, donors, share)
        return changed[self.row]["pictures"]


def picks(rows: pd.DataFrame, truth: Truth, count: int = 2) -> list[int]:
    """Row numbers of different classes, the lowest ids of each: not picked by eye."""
    order = rows["sample_id"].sort_values().index.tolist()
    known = [i for i in order if truth.known[i]]
    firsts = {int(truth.targets[i]): i for i in reversed(known)}
    return sorted(firsts.values(), key=known.index)[:count]


def change_strip(probe: Probe, truth: Truth, row: int) -> str:
    """One sample intact and under each intervention."""
    camera = Camera(probe, row)
    shots: list[Shot] = [("intact", camera.take())]
    if probe.inputs & set(SCENE):
        shots += [(CHANGES[name], camera.take(donors=truth.donors(kind, SEED))) for name, kind in EXCHANGES.items()]
        shots.append((CHANGES["context_blank"], camera.take(BlankScene())))
    if "face" in probe.inputs:
        shots.append((CHANGES["face_blank"], camera.take(BlankFace(probe.loaded.config.data.mask))))
    return _strip(shots)


def sweep_strip(probe: Probe, truth: Truth, row: int, sweep: str) -> str:
    """One sample along a sweep."""
    camera, places = Camera(probe, row), places_of(probe.rows["sample_id"].tolist())
    if sweep == "face_cover":
        return _strip([(f"{100 * s:g}%", camera.take(CoverFace(s, places))) for s in COVER])
    if sweep == "face_blur":
        return _strip([(f"{100 * s:g}%", camera.take(BlurFace(s))) for s in BLUR])
    donors = truth.donors("other", SEED)
    return _strip([(f"{100 * s:g}%", camera.take(donors=donors, share=s)) for s in MIX])


def _strip(shots: Sequence[Shot]) -> str:
    return f'<div class="strip">{"".join(_shot(name, pictures) for name, pictures in shots)}</div>'


def _shot(name: str, pictures: dict[str, torch.Tensor]) -> str:
    shown = [
        html.image(jpeg(pictures[kind].permute(1, 2, 0).numpy()), f"{kind} input, {name}")
        for kind in ("face", "context", "image")
        if kind in pictures
    ]
    return f"<figure>{''.join(shown)}<figcaption>{html.text(name)}</figcaption></figure>"

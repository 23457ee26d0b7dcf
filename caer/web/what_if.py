"""What a network of two branches would say with a part of the photo hidden.

Enters: a `Predictor`, an upright photo. Leaves: by face, the answers as it is, with the context hidden, with the face hidden. The
hidden part is grey before anything is masked, cut or resized, so that it is hidden from every branch and from the gates; a
hidden face counts as none found.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from caer.data.dataset import UNSEEN, Alter, collate
from caer.predict import Predictor
from caer.predict.answers import one_of
from caer.predict.confidence import calibrate
from caer.predict.networks import Network
from caer.predict.samples import sample_of
from preprocessing.pipeline import process
from preprocessing.types import FaceRecord

Way = Literal["seen", "context hidden", "face hidden"]
WAYS: tuple[Way, ...] = ("seen", "context hidden", "face hidden")


@dataclass(frozen=True)
class Imagined:
    """One face's answers under a way of hiding.

    Attributes:
        probabilities: by task [K], calibrated as the run's answers are.
        gates: by task [2] or [2, K], where there are gates.
    """

    probabilities: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]


def what_if(predictor: Predictor, image: np.ndarray) -> dict[int, dict[Way, Imagined]]:
    """Answers by rank of the face and way of hiding.

    Args:
        predictor: of any run; one that does not join two branches has nothing to tell here.
        image: [H, W, 3] uint8 RGB, upright.

    Returns:
        Nothing for faces that cannot be used, and where the network has one branch.
    """
    if predictor.network.output != "fused":
        return {}
    records = [r for r in process(image, predictor.settings, predictor.detector) if r.status == "ok"]
    if not records:
        return {}
    batch = collate([_hidden(record, way, predictor.network) for record in records for way in WAYS])
    output = predictor.network(batch)
    answers = iter([_imagined(predictor, output, i) for i in range(len(records) * len(WAYS))])
    return {record.rank: {way: next(answers) for way in WAYS} for record in records}


def _hidden(record: FaceRecord, way: Way, network: Network) -> dict[str, Any]:
    hides: dict[Way, Alter | None] = {
        "seen": None,
        "context hidden": _alter_photo(_only_box),
        "face hidden": _alter_photo(_without_box),
    }
    left = replace(record, face_jpeg=None) if way == "face hidden" else record
    return sample_of(left, network, hides[way])


def _alter_photo(change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Alter:
    """An alteration of the photo alone: the face's crop shows the face and stays."""

    def alter(picture: Literal["crop", "photo"], pixels: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        return pixels if picture == "crop" or box is None else change(pixels, box)

    return alter


def _region(pixels: np.ndarray, box: np.ndarray) -> tuple[slice, slice]:
    height, width = pixels.shape[:2]
    x1, y1 = np.floor(np.clip(box[:2], 0, [width, height])).astype(int)
    x2, y2 = np.ceil(np.clip(box[2:], 0, [width, height])).astype(int)
    return slice(y1, y2), slice(x1, x2)


def _only_box(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    hidden = np.full_like(pixels, UNSEEN)
    inside = _region(pixels, box)
    hidden[inside] = pixels[inside]
    return hidden


def _without_box(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    hidden = pixels.copy()
    hidden[_region(pixels, box)] = UNSEEN
    return hidden


def _imagined(predictor: Predictor, output: dict[str, np.ndarray], i: int) -> Imagined:
    probabilities, gates = {}, {}
    for name, task in predictor.tasks.items():
        if task.kind == "number":
            continue
        answer = output[f"probabilities_{name}"][i : i + 1].astype(np.float64)
        probabilities[name] = (calibrate(answer, predictor.temperatures.get(name)) if one_of(task) else answer)[0]
        if f"gates_{name}" in output:
            gates[name] = output[f"gates_{name}"][i].astype(np.float64)
    return Imagined(probabilities, gates)

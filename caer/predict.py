"""A trained run put to use: one photo in, decoded answers out.

Enters: a path or an upright RGB array. Leaves: one `FacePrediction` per selected face. The photo goes where training data went:
`preprocessing.pipeline.process` with the settings of the run's own manifest, then `decode_sample`, then the model.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caer.data.dataset import collate, decode_sample
from caer.data.features import to_device
from caer.data.rows import FACELESS
from caer.engine.checkpoint import load_run
from caer.engine.precision import resolve_device
from gating.output import ModelOutput
from preprocessing.detectors.base import Detector
from preprocessing.errors import UserError
from preprocessing.images import ImageError, read_image
from preprocessing.pipeline import build_detector, process
from preprocessing.settings import Settings, validate
from preprocessing.types import FaceRecord


@dataclass(frozen=True)
class FacePrediction:
    """The answer for one face, or for a photo without a usable one. Coordinates are pixels of the upright photo.

    Attributes:
        status: `ok`; `no_face`, `too_small`; `unreadable`, `empty`, `bomb` for files that give no picture; `reason` says why.
        answered_by: `model`; `context` where a model with two branches had no face to look at; `none` where it could not look at
            all: then `probabilities` and `label` are empty.
        rank: 0 for the chosen face, then in order of selection.
        box: (4,) float32 `[x1, y1, x2, y2]`, or None.
        landmarks: (5, 2) float32 in the order of `preprocessing.types.Face`, or None.
        score: the detector's confidence in [0, 1], or None.
        probabilities: by task, [K] float64 in the order of the task's classes; a number has none.
        label: by task, the answer in the words of the annotation; of a number (regression) the number itself.
        gates: by task, [2] or, with gates per class, [2, K] float64 in the order (face, context); None without gates.
        attention: [h, w] float32, where the context branch looked (sums to one); None without attention.
    """

    status: str
    reason: str = ""
    answered_by: str = "none"
    rank: int = 0
    box: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    score: float | None = None
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    gates: dict[str, np.ndarray] | None = None
    attention: np.ndarray | None = None


class Predictor:
    """Answers photos with a trained run.

    Args:
        run: `runs/NAME/seedS`, or a stage folder in it (default: the last finished stage).
        settings: how faces are found and chosen; the run's own by default.
        detector: a detector built already, instead of the one that the settings name.

    Raises:
        UserError: no finished run there, or its detector's weights cannot be had.
    """

    def __init__(self, run: str | Path, settings: Settings | None = None, detector: Detector | None = None) -> None:
        self.run = load_run(run)
        self.settings = settings or run_settings(self.run.meta, self.run.folder)
        self.detector = detector or build_detector(self.settings)
        self.device = resolve_device(self.run.config)
        self.precision = self.run.meta["precision"]
        self.output: Any = self.run.config.stage(self.run.stage).output
        self.model = self.run.model.to(self.device).eval()
        self.inputs = self.model.inputs(self.output)

    def predict(self, photo: str | Path | np.ndarray, key: str = "") -> list[FacePrediction]:
        """Answer one photo.

        Args:
            photo: a file, or [H, W, 3] uint8 RGB, upright.
            key: its path relative to the dataset's root; only look-up detectors (`boxes`) use it.

        Returns:
            One prediction per selected face, rank 0 first; a single one where there is no face or no picture.

        Raises:
            UserError: no such file, or an array that is no picture.
        """
        try:
            image = self._image(photo)
        except ImageError as error:
            if error.status == "missing":
                raise UserError(f"{photo}: {error.reason}; expected a photo") from None
            return [FacePrediction(error.status, error.reason)]
        records = process(image, self.settings, self.detector, key)
        ways = [self._answered_by(record) for record in records]
        seen = [record for record, way in zip(records, ways, strict=True) if way != "none"]
        answers = iter(self._answer(seen) if seen else [])
        return [
            _prediction(record, way, next(answers) if way != "none" else {}) for record, way in zip(records, ways, strict=True)
        ]

    def _image(self, photo: str | Path | np.ndarray) -> np.ndarray:
        if not isinstance(photo, np.ndarray):
            return read_image(photo, self.settings.max_pixels)
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            raise UserError(f"an array of {photo.dtype} {list(photo.shape)} is no photo; expected uint8 RGB [H, W, 3]")
        return photo

    def _answered_by(self, record: FaceRecord) -> str:
        """`model`, `context` or `none`, by the rule of the evaluation."""
        if record.status == "ok":
            return "model"
        if record.status not in FACELESS or self.output == "face":
            return "none"
        return "context" if self.output == "fused" else "model"

    def _answer(self, records: list[FaceRecord]) -> list[dict[str, Any]]:
        """Fields of `FacePrediction` that the model fills, for each record."""
        batch = to_device(collate([self._sample(record) for record in records]), self.device)
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = self.model(batch)
        return self._decode(output, len(records))

    def _sample(self, record: FaceRecord) -> dict[str, Any]:
        pictures = decode_sample(
            record.face_jpeg,
            record.image_jpeg,
            face_box=record.face_box,
            face_landmarks=record.face_landmarks,
            image_box=record.image_box,
            image_boxes=record.image_boxes,
            config=self.run.config,
            inputs=self.inputs,
        )
        return {
            "pictures": {name: torch.from_numpy(array).permute(2, 0, 1) for name, array in pictures.items()},
            "targets": {},
            "labelled": {},
            "has_face": record.face_jpeg is not None,
            "sample_id": "",
            "source": "",
        }

    def _decode(self, output: ModelOutput, count: int) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{"probabilities": {}, "label": {}} for _ in range(count)]
        for name, task in self.run.tasks.items():
            probabilities = task.probabilities(output.logits[name].float()).double().cpu().numpy()
            for i, label in enumerate(task.decode(probabilities)):
                if task.kind != "number":
                    answers[i]["probabilities"][name] = probabilities[i]
                answers[i]["label"][name] = label
            if output.gates is not None:
                for i, gates in enumerate(output.gates[name].double().cpu().numpy()):
                    answers[i].setdefault("gates", {})[name] = gates
        if output.attention is not None:
            for i, attention in enumerate(output.attention[:, 0].float().cpu().numpy()):
                answers[i]["attention"] = attention
        return answers


def _prediction(record: FaceRecord, answered_by: str, answer: dict[str, Any]) -> FacePrediction:
    return FacePrediction(
        status=record.status,
        reason=record.reason,
        answered_by=answered_by,
        rank=record.rank,
        box=None if record.face is None else record.face.box,
        landmarks=None if record.face is None else record.face.landmarks,
        score=None if record.face is None else record.face.score,
        **answer,
    )


def run_settings(meta: dict[str, Any], folder: Path) -> Settings:
    """The preprocessing settings of the manifest that a run was trained on (the first, where there were several).

    Raises:
        UserError: the run does not tell them.
    """
    manifests = meta.get("manifests") or [{}]
    settings = manifests[0].get("settings")
    if not settings:
        raise UserError(f"{folder}: its provenance.json has no preprocessing settings; pass `settings`, or train the run again")
    return validate(Settings, settings, folder / "provenance.json")

"""`Predictor`: photos in, one answer a face out.

A photo goes where training data went: `preprocessing.pipeline.process` with the settings of the run's own manifest, then
`decode_sample`, then the network. Many photos are read and searched for faces on threads while the network answers the faces of
those before, in batches across photos.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from caer.data.dataset import collate
from caer.data.rows import FACELESS
from caer.predict.answers import FacePrediction, names_of, one_of
from caer.predict.confidence import calibrate
from caer.predict.networks import TorchNetwork, open_network
from caer.predict.samples import sample_of
from caer.predict.sources import Photo, shown
from preprocessing.detectors.base import Detector
from preprocessing.errors import UserError
from preprocessing.images import ImageError, encode_jpeg
from preprocessing.memory import keep_freed_memory
from preprocessing.pipeline import build_detector, process
from preprocessing.settings import Settings
from preprocessing.types import FaceRecord

BATCH_SIZE = 32
"""Faces that the network sees at once."""
WAITING_PHOTOS = 128
"""So many photos wait for a batch at most; where few have faces, it goes to the network before it is full."""
PICTURE_QUALITY = 92


@dataclass
class Answered:
    """A photo with its answers; `picture` is the upright photo as JPEG where it was asked for and could be read."""

    photo: Photo
    faces: list[FacePrediction]
    picture: bytes | None = None


@dataclass
class _Prepared:
    """A photo whose faces are found and cut: `faces` lack what the network says, `samples` stand for those it will look at."""

    photo: Photo
    faces: list[FacePrediction]
    samples: list[dict[str, Any]]
    picture: bytes | None = None


class Predictor:
    """Answers photos with a trained run.

    Args:
        run: `runs/NAME/seedS`, a stage folder in it (default: the last finished stage), or an `.onnx` file that
            `python -m caer export` wrote.
        settings: how faces are found and chosen; the run's own by default, but with every face of a photo.
        detector: a detector built already, instead of the one that the settings name.

    Attributes:
        network: answers batches.
        settings, detector: as above.
        tasks: the run's tasks by name.
        temperatures: by task, what `confidence` is calibrated with; empty for a run without validation predictions.

    Raises:
        UserError: no finished run there, or its detector's weights cannot be had.
    """

    def __init__(self, run: str | Path, settings: Settings | None = None, detector: Detector | None = None) -> None:
        self.network = open_network(run)
        self.settings = settings or self.network.settings.model_copy(update={"select": "all"})
        self._own_detector = detector is None
        self.detector = detector or build_detector(self.settings)
        self.tasks, self.temperatures = self.network.tasks, self.network.temperatures

    @property
    def run(self) -> Any:
        """The `LoadedRun` behind it.

        Raises:
            UserError: the network comes from an ONNX file.
        """
        if not isinstance(self.network, TorchNetwork):
            raise UserError("a network from an ONNX file has no run folder; give runs/NAME/seedS")
        return self.network.run

    def predict(self, photo: str | Path | np.ndarray, key: str = "") -> list[FacePrediction]:
        """Answer one photo.

        Args:
            photo: a file, or [H, W, 3] uint8 RGB, upright.
            key: its path relative to the dataset's root; only look-up detectors (`boxes`) use it.

        Returns:
            One prediction per face, rank 0 first; a single one where there is no face or no picture.

        Raises:
            UserError: no such file, or an array that is no picture.
        """
        if isinstance(photo, np.ndarray):
            _check_pixels(photo)
            prepared = self._prepare(Photo("array", key, pixels=photo), self.detector)
        else:
            prepared = self._prepare(Photo(shown(photo), key, Path(photo)), self.detector)
        if prepared.faces[0].status == "missing":
            raise UserError(f"{photo}: {prepared.faces[0].reason}; expected a photo")
        return self._finish([prepared])[0].faces

    def predict_many(
        self, photos: Iterable[Photo], *, batch_size: int = BATCH_SIZE, threads: int = 0, pictures: bool = False
    ) -> Iterator[Answered]:
        """Answer many photos, in their order.

        Args:
            photos: taken as they are needed; memory does not grow with their number.
            batch_size: faces that the network sees at once. An answer does not depend on it by more than 1e-5.
            threads: that read photos and find faces; 0 for one a core. A detector given by the caller is used by one.
            pictures: also return each photo as JPEG.
        """
        keep_freed_memory()
        waiting: list[_Prepared] = []
        for prepared in self._prepare_all(photos, threads or os.cpu_count() or 1, pictures):
            waiting.append(prepared)
            if sum(len(each.samples) for each in waiting) >= batch_size or len(waiting) >= WAITING_PHOTOS:
                yield from self._finish(waiting, batch_size)
                waiting = []
        yield from self._finish(waiting, batch_size)

    def samples_of(self, photo: Photo) -> list[dict[str, Any]]:
        """What the network will look at in a photo: read, searched for faces and cut, as `collate` takes it."""
        return self._prepare(photo, self.detector).samples

    def _prepare_all(self, photos: Iterable[Photo], threads: int, pictures: bool) -> Iterator[_Prepared]:
        """Photos with their faces found, in order; at most two a thread are under way."""
        threads = threads if self._own_detector else 1
        detectors: SimpleQueue[Detector] = SimpleQueue()
        for _ in range(threads - 1):
            detectors.put(build_detector(self.settings))
        detectors.put(self.detector)

        def work(photo: Photo) -> _Prepared:
            detector = detectors.get()
            try:
                return self._prepare(photo, detector, pictures)
            finally:
                detectors.put(detector)

        under_way: deque[Future[_Prepared]] = deque()
        with _left_behind(ThreadPoolExecutor(threads, "caer-photos")) as pool:
            for photo in photos:
                under_way.append(pool.submit(work, photo))
                if len(under_way) > 2 * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _prepare(self, photo: Photo, detector: Detector, picture: bool = False) -> _Prepared:
        try:
            image = photo.read(self.settings.max_pixels)
        except ImageError as error:
            return _Prepared(photo, [FacePrediction(error.status, error.reason)], [])
        faces, samples = [], []
        for record in process(image, self.settings, detector, photo.key):
            face = _without_answer(record, self._answered_by(record))
            if face.answered_by != "none":
                try:
                    samples.append(sample_of(record, self.network))
                except UserError as error:  # landmarks that coincide, say: this face is lost, the others are not
                    face = replace(face, status="failed", reason=str(error), answered_by="none")
            faces.append(face)
        jpeg = encode_jpeg(image, PICTURE_QUALITY) if picture else None
        return _Prepared(replace(photo, pixels=None), faces, samples, jpeg)

    def _answered_by(self, record: FaceRecord) -> str:
        """`model`, `context` or `none`, by the rule of the evaluation."""
        if record.status == "ok":
            return "model"
        if record.status not in FACELESS or self.network.output == "face":
            return "none"
        return "context" if self.network.output == "fused" else "model"

    def _finish(self, prepared: list[_Prepared], batch_size: int = BATCH_SIZE) -> list[Answered]:
        """Let the network look at the samples of some photos, and put its answers where they belong."""
        samples = [sample for photo in prepared for sample in photo.samples]
        said: list[dict[str, Any]] = []
        for start in range(0, len(samples), batch_size):
            batch = collate(samples[start : start + batch_size])
            said += self._decode(self.network(batch), batch["has_face"].numpy())
        answers = iter(said)
        finished = []
        for photo in prepared:
            faces = [face if face.answered_by == "none" else replace(face, **next(answers)) for face in photo.faces]
            finished.append(Answered(photo.photo, faces, photo.picture))
        return finished

    def _decode(self, output: dict[str, np.ndarray], has_face: np.ndarray) -> list[dict[str, Any]]:
        """The network's arrays as fields of `FacePrediction`, row by row."""
        parts = ("probabilities", "label", "calibrated", "confidence", "branches")
        rows: list[dict[str, Any]] = [{part: {} for part in parts} for _ in has_face]
        for name, task in self.tasks.items():
            answers = output[f"probabilities_{name}"].astype(np.float64)
            calibrated = calibrate(answers, self.temperatures.get(name)) if one_of(task) else answers
            for i, (row, label) in enumerate(zip(rows, task.decode(answers), strict=True)):
                row["label"][name] = label
                if names_of(task):
                    row["probabilities"][name], row["calibrated"][name] = answers[i], calibrated[i]
                if one_of(task):
                    row["confidence"][name] = float(calibrated[i, names_of(task).index(label)])
                for branch in ("face", "context"):
                    own = output.get(f"{branch}_probabilities_{name}")
                    if own is not None and (branch == "context" or has_face[i]):
                        row["branches"].setdefault(branch, {})[name] = own[i].astype(np.float64)
                if f"gates_{name}" in output:
                    row.setdefault("gates", {})[name] = output[f"gates_{name}"][i].astype(np.float64)
                if "attention" in output:
                    row["attention"] = output["attention"][i]
        return rows


@contextmanager
def _left_behind(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what it has not begun when the block is left early."""
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_pixels(photo: np.ndarray) -> None:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise UserError(f"an array of {photo.dtype} {list(photo.shape)} is no photo; expected uint8 RGB [H, W, 3]")


def _without_answer(record: FaceRecord, answered_by: str) -> FacePrediction:
    return FacePrediction(
        status=record.status,
        reason=record.reason,
        answered_by=answered_by,
        rank=record.rank,
        width=record.width,
        height=record.height,
        box=None if record.face is None else record.face.box,
        landmarks=None if record.face is None else record.face.landmarks,
        score=None if record.face is None else record.face.score,
    )

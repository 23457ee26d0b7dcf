"""One sample from stored JPEGs to tensors: the only way pictures reach a model, in training, evaluation and prediction alike.

Enters: selected rows (`caer.data.rows`). Leaves: samples, and batches of uint8 RGB pictures with targets.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from caer.config import Config, Mask
from caer.data.memory import PictureMemory
from caer.data.sampler import Draw
from caer.data.targets import is_labelled, targets_of
from caer.data.transforms import Augment
from preprocessing.align import warp_face
from preprocessing.errors import UserError
from preprocessing.images import decode_jpeg
from preprocessing.mask import mask_faces

PICTURES = ("face", "context", "image")
Alter = Callable[[Literal["crop", "photo"], np.ndarray, np.ndarray | None], np.ndarray]
"""A change of a stored picture [H, W, 3] in which the face has a box (4,), made before anything is cut, masked or resized."""
RowAlter = Callable[[int, Literal["crop", "photo"], np.ndarray, np.ndarray | None], np.ndarray]
"""An `Alter` for each row: the row's number comes first."""
UNSEEN = 127
"""Grey level of a photo of which `data.mask.only` shows nothing."""


class SampleError(UserError):
    """A sample that cannot be read. Worker processes hand errors over as a whole traceback; this one keeps its single line."""

    def __init__(self, text: str) -> None:
        super().__init__(text.rsplit("SampleError: ", 1)[-1].strip())


def resize_square(image: np.ndarray, side: int) -> np.ndarray:
    """Squeeze a picture [H, W, 3] into [side, side, 3].

    Squeezed, not cropped or padded: what explains an emotion may stand at the border of the scene, and bars would look
    like the mask.
    """
    shrinks = image.shape[0] >= side and image.shape[1] >= side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def decode_sample(
    face_jpeg: bytes | None,
    image_jpeg: bytes | None,
    *,
    face_box: np.ndarray | None,
    face_landmarks: np.ndarray | None,
    image_box: np.ndarray | None,
    image_boxes: np.ndarray,
    config: Config,
    inputs: set[str],
    alter: Alter | None = None,
) -> dict[str, np.ndarray]:
    """Make the pictures that a model asks for.

    Args:
        face_jpeg: generous upright face crop; None where there is no face (`face` is then all zero).
        image_jpeg: the whole, unmasked photo.
        face_box: (4,) in the crop's pixels.
        face_landmarks: (5, 2) in the crop's pixels, or None.
        image_box: (4,) the face in the photo's pixels, or None.
        image_boxes: (N, 4) all faces in the photo's pixels.
        config: sizes, mask and the cut of the face.
        inputs: which of `face`, `context`, `image` to make.
        alter: changes the stored crop and photo before all else (`caer diagnose`).

    Returns:
        uint8 RGB arrays [Hf, Hf, 3] (`face`) and [Hc, Hc, 3] (`context` with the faces masked, `image` without).
    """
    pictures: dict[str, np.ndarray] = {}
    if "face" in inputs:
        crop = None if face_jpeg is None else decode_jpeg(face_jpeg)
        if crop is not None and alter is not None:
            crop = alter("crop", crop, face_box)
        pictures["face"] = _face(crop, face_box, face_landmarks, config)
    if inputs & {"context", "image"}:
        assert image_jpeg is not None, "a row without a photo cannot be predicted from its context"
        photo, side = decode_jpeg(image_jpeg), config.data.image_size.context
        if alter is not None:
            photo = alter("photo", photo, image_box)
        if "context" in inputs:
            boxes = masked_boxes(image_box, image_boxes, config)
            pictures["context"] = resize_square(_context(photo, boxes, config.data.mask), side)
        if "image" in inputs:
            pictures["image"] = resize_square(photo, side)
    return pictures


def masked_boxes(subject: np.ndarray | None, every: np.ndarray, config: Config) -> np.ndarray:
    """Boxes (N, 4) that `data.mask` hides, of the subject's (4,) or None, and those of all faces (N, 4)."""
    own = np.zeros((0, 4), np.float32) if subject is None else np.reshape(subject, (1, 4))
    return np.concatenate([own, np.reshape(every, (-1, 4))]) if config.data.mask.faces == "all" else own


def _context(photo: np.ndarray, boxes: np.ndarray, mask: Mask) -> np.ndarray:
    seen = np.full_like(photo, UNSEEN) if mask.only else photo
    return mask_faces(seen, boxes, mask.fill, mask.margin)


def _face(crop: np.ndarray | None, box: np.ndarray | None, landmarks: np.ndarray | None, config: Config) -> np.ndarray:
    side, face = config.data.image_size.face, config.model.face
    assert face is not None, "`face` is asked for by models with a face branch only"
    if crop is None:
        return np.zeros((side, side, 3), np.uint8)
    assert box is not None
    return warp_face(crop, box, landmarks, side, face.aligned, face.margin)


def picture_sides(config: Config, inputs: set[str]) -> dict[str, int]:
    """Pixels of a side of each picture that a model asks for."""
    size = config.data.image_size
    return {name: size.face if name == "face" else size.context for name in PICTURES if name in inputs}


class SampleDataset(Dataset[dict[str, Any]]):
    """Rows of one or several manifests as samples.

    Args:
        rows: as `caer.data.rows` selects them.
        config: the experiment.
        inputs: which pictures to make; others are not even read.
        augment: random changes, or None.
        alter: what is done to the stored pictures first, or None.
        keep: decode each sample once and keep its pictures in memory (see `PictureMemory`).

    An item is asked for by index, or by a `Draw`, whose epoch and repeat the augmentation needs. It holds `pictures` (uint8 RGB
    [3, H, W] by name), `targets` and `labelled` by task, `has_face`, `sample_id`, `source`.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        config: Config,
        inputs: set[str],
        augment: Augment | None = None,
        alter: RowAlter | None = None,
        keep: bool = False,
    ) -> None:
        self.config, self.inputs, self.augment, self.alter = config, set(inputs), augment, alter
        self.sample_id = rows["sample_id"].tolist()
        self.source = rows["source"].tolist()
        self.has_face = rows["has_face"].to_numpy(bool)
        self._face_file = _files(rows, "face_file")
        self._image_file = _files(rows, "image_file")
        self._face_box = _fixed(rows["face_box"], 4)
        self._face_landmarks = _fixed(rows["face_landmarks"], 10)
        self._image_box = _fixed(rows["image_box"], 4)
        self._image_boxes = [_array(value).reshape(-1, 4) for value in rows["image_boxes"]]
        names = [column.removeprefix("target_") for column in rows.columns if column.startswith("target_")]
        self.targets = {name: targets_of(rows, name) for name in names}
        self.labelled = {name: is_labelled(values) for name, values in self.targets.items()}
        self._memory = PictureMemory(len(rows), picture_sides(config, self.inputs)) if keep else None

    def __len__(self) -> int:
        return len(self.sample_id)

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        draw = item if isinstance(item, Draw) else Draw(0, int(item))
        i = draw.row
        pictures = self._pictures(i)
        if self.augment is not None:
            pictures = self.augment(pictures, *draw)
        return {
            "pictures": {name: torch.from_numpy(array).permute(2, 0, 1) for name, array in pictures.items()},
            "targets": {name: values[i] for name, values in self.targets.items()},
            "labelled": {name: values[i] for name, values in self.labelled.items()},
            "has_face": self.has_face[i],
            "sample_id": self.sample_id[i],
            "source": self.source[i],
        }

    def _pictures(self, i: int) -> dict[str, np.ndarray]:
        if self._memory is None:
            return self._decoded(i)
        pictures = self._memory.get(i)
        if pictures is None:
            pictures = self._decoded(i)
            self._memory.put(i, pictures)
        return pictures

    def _decoded(self, i: int) -> dict[str, np.ndarray]:
        face = self.has_face[i] and "face" in self.inputs
        scene = bool(self.inputs & {"context", "image"})
        face_jpeg = self._read(i, self._face_file[i], "face crop") if face else None
        image_jpeg = self._read(i, self._image_file[i], "photo") if scene else None
        landmarks, box = self._face_landmarks[i], self._image_box[i]
        try:
            return decode_sample(
                face_jpeg,
                image_jpeg,
                face_box=self._face_box[i],
                face_landmarks=None if np.isnan(landmarks).any() else landmarks.reshape(5, 2),
                image_box=None if np.isnan(box).any() else box,
                image_boxes=self._image_boxes[i],
                config=self.config,
                inputs=self.inputs,
                alter=None if self.alter is None else partial(self.alter, i),
            )
        except ValueError as error:  # a broken JPEG, or landmarks that cannot be aligned
            files = " or ".join(name for name in (self._face_file[i], self._image_file[i]) if name)
            raise SampleError(f"sample {self.sample_id[i]}: {files}: {error}; preprocess its photo again") from None

    def _read(self, i: int, path: str, kind: str) -> bytes:
        if not path:
            raise SampleError(f"sample {self.sample_id[i]}: its manifest row names no {kind}; preprocess its photo again")
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise SampleError(f"sample {self.sample_id[i]}: {path}: {error.strerror}; preprocess again to restore it") from None


def _files(rows: pd.DataFrame, column: str) -> list[str]:
    """Paths of a column's files; empty where a row has none."""
    pairs = zip(rows["manifest_folder"].tolist(), rows[column].tolist(), strict=True)
    return [os.path.join(folder, name) if name else "" for folder, name in pairs]


def _array(value: Any) -> np.ndarray:
    return np.zeros(0, np.float32) if value is None or value is pd.NA else np.asarray(value, np.float32).reshape(-1)


def _fixed(column: Sequence[Any] | pd.Series, width: int) -> np.ndarray:
    """[N, width] float32 of a list column; NaN rows where it is null."""
    table = np.full((len(column), width), np.nan, np.float32)
    for i, value in enumerate(column):
        array = _array(value)
        if array.size == width:
            table[i] = array
    return table


def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Samples -> batch: pictures [B, 3, H, W] uint8 (channels last in memory, as decoded), targets, labelled, ids, sources."""
    first = samples[0]
    batch: dict[str, Any] = {name: _stack([s["pictures"][name] for s in samples]) for name in first["pictures"]}
    for key in ("targets", "labelled"):
        batch[key] = {name: torch.from_numpy(np.array([s[key][name] for s in samples])) for name in first[key]}
    batch["has_face"] = torch.tensor([bool(s["has_face"]) for s in samples])
    batch["sample_id"] = [s["sample_id"] for s in samples]
    batch["source"] = [s["source"] for s in samples]
    return batch


def _stack(pictures: list[Tensor]) -> Tensor:
    return torch.stack([picture.permute(1, 2, 0) for picture in pictures]).permute(0, 3, 1, 2)

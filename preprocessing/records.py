"""One photo -> face records: find, select, crop. The manifest, the Predictor and the page all go through `process`.

Enters: an upright photo and the settings. Leaves: one record per selected face, or one that says why there is none.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from preprocessing.detectors.base import Detector
from preprocessing.images import encode_jpeg
from preprocessing.lookup import find_plugin, plugin_config
from preprocessing.select import select_faces
from preprocessing.settings import Settings
from preprocessing.types import Face, FaceRecord


def build_detector(settings: Settings) -> Detector:
    """The detector that the settings name.

    Raises:
        UserError: unknown name or options, or its weights cannot be had.
    """
    config = plugin_config("preprocessing.detectors", settings.detector, "detector")
    detector: Detector = find_plugin("preprocessing.detectors", config.type).build(config)
    return detector


def process(
    image: np.ndarray, settings: Settings, detector: Detector, key: str = "", wanted: np.ndarray | None = None
) -> list[FaceRecord]:
    """Find, select and crop the faces of one photo.

    Args:
        image: [H, W, 3] uint8 RGB, upright.
        settings: how.
        detector: from `build_detector(settings)`.
        key: the photo's path relative to the dataset's root; only look-up detectors use it.
        wanted: (4,) box of the face that a review chose instead.

    Returns:
        One record per selected face, rank 0 first; one without a face (`no_face`, `too_small`) where none qualifies.
    """
    height, width = image.shape[:2]
    faces = [face for face in detector.detect(image, key) if face.score >= settings.threshold]
    big = [face for face in faces if face.size >= settings.min_size]
    chosen = select_faces(big, settings.select, width, height, wanted)
    small, scale = _reduced(image, settings.image_short / min(height, width))
    shared = _Photo(image, encode_jpeg(small, settings.jpeg_quality), scale, faces, settings)
    if chosen:
        return [shared.record(rank, "ok", "", face) for rank, face in enumerate(chosen)]
    if faces:
        largest = select_faces(faces, "largest", width, height)[0]
        reason = f"the largest face is {largest.size:.1f} px, at least {settings.min_size:g} are asked for"
        return [shared.record(0, "too_small", reason, largest)]
    return [shared.record(0, "no_face", f"no face with a score of at least {settings.threshold:g}", None)]


class _Photo:
    """What the records of one photo share."""

    def __init__(self, image: np.ndarray, jpeg: bytes, scale: np.ndarray, faces: Sequence[Face], settings: Settings) -> None:
        self.image, self.jpeg, self.scale, self.settings = image, jpeg, scale, settings
        self.boxes = np.array([[*face.box, face.score] for face in faces], dtype=np.float32).reshape(-1, 5)

    def record(self, rank: int, status: str, reason: str, face: Face | None) -> FaceRecord:
        """The record of a face; only one with status `ok` gets a crop."""
        scale = np.tile(self.scale, 2)
        crop: dict[str, Any] = {"face_jpeg": None, "face_box": None, "face_landmarks": None}
        if face is not None and status == "ok":
            crop = _face_crop(self.image, face, self.settings)
        return FaceRecord(
            rank=rank,
            status=status,
            reason=reason,
            width=self.image.shape[1],
            height=self.image.shape[0],
            face=face,
            all_boxes=self.boxes,
            image_jpeg=self.jpeg,
            image_box=None if face is None else (face.box * scale).astype(np.float32),
            image_boxes=(self.boxes[:, :4] * scale).astype(np.float32),
            **crop,
        )


def _face_crop(image: np.ndarray, face: Face, settings: Settings) -> dict[str, Any]:
    """The generous upright crop: a square around the box, cut off where the photo ends."""
    height, width = image.shape[:2]
    half = settings.face_scale * float(max(face.box[2:] - face.box[:2])) / 2
    center_x, center_y = (face.box[:2] + face.box[2:]) / 2
    left, right = max(0, int(np.floor(center_x - half))), min(width, int(np.ceil(center_x + half)))
    top, bottom = max(0, int(np.floor(center_y - half))), min(height, int(np.ceil(center_y + half)))
    crop = image[top:bottom, left:right]
    crop, scale = _reduced(crop, settings.face_max / max(crop.shape[:2]))
    origin = np.array([left, top], dtype=np.float32)
    landmarks = None if face.landmarks is None else ((face.landmarks - origin) * scale).astype(np.float32)
    box = ((face.box - np.tile(origin, 2)) * np.tile(scale, 2)).astype(np.float32)
    return {"face_jpeg": encode_jpeg(crop, settings.jpeg_quality), "face_box": box, "face_landmarks": landmarks}


def _reduced(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The image reduced by a factor below 1, else as it is; and the (2,) scale in x and y that this made."""
    if factor >= 1:
        return image, np.ones(2)
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([size[0] / width, size[1] / height])

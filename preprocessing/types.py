"""The values that travel through preprocessing. All coordinates are pixels of the upright photo (EXIF orientation applied)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Label = str | float
"""A label as the source gives it: a class name, or a number."""


@dataclass(frozen=True)
class Face:
    """One detected face.

    Attributes:
        box: (4,) float32 `[x1, y1, x2, y2]`.
        landmarks: (5, 2) float32 or None; image-left eye, image-right eye, nose, image-left and image-right mouth corner.
        score: confidence in [0, 1].
    """

    box: np.ndarray
    landmarks: np.ndarray | None
    score: float

    @property
    def size(self) -> float:
        """Shorter side of the box in pixels."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class RawSample:
    """One photo of a source, before anything is known about its faces.

    Attributes:
        source: name of the dataset.
        image: POSIX path relative to the dataset's root, NFC.
        split: `train`, `val`, `test` or another name of the source; empty where it declares none.
        group: what must not straddle splits (clip, person, near-duplicate cluster); may be empty.
        labels: annotation by task; a missing one is absent.
    """

    source: str
    image: str
    split: str
    group: str = ""
    labels: Mapping[str, Label] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceRecord:
    """One face of one photo with everything that training and prediction need; or the photo's status where it has none.

    Attributes:
        rank: 0 for the chosen face, then in order of selection.
        status: `ok`, `no_face`, `too_small`, ...; `reason` says why in words.
        width, height: size of the upright photo.
        face: the face, None where there is none.
        all_boxes: (N, 5) float32, every detection `[x1, y1, x2, y2, score]` in photo pixels.
        face_jpeg: JPEG bytes of the generous upright crop, None where there is no face.
        face_box, face_landmarks: the face in that crop's pixels.
        image_jpeg: JPEG bytes of the whole, unmasked photo, reduced.
        image_box, image_boxes: (4,) and (N, 4), the face and all detections in the reduced photo's pixels.
    """

    rank: int
    status: str
    reason: str
    width: int
    height: int
    face: Face | None
    all_boxes: np.ndarray
    face_jpeg: bytes | None
    face_box: np.ndarray | None
    face_landmarks: np.ndarray | None
    image_jpeg: bytes | None
    image_box: np.ndarray | None
    image_boxes: np.ndarray

"""Which of the detected faces become samples, and in which order."""

from collections.abc import Callable, Sequence

import numpy as np

from preprocessing.detectors.base import iou
from preprocessing.types import Face


def select_faces(faces: Sequence[Face], mode: str, width: int, height: int, wanted: np.ndarray | None = None) -> list[Face]:
    """The chosen faces, rank 0 first.

    Args:
        faces: faces that count (score and size are already decided).
        mode: `largest`, `central`, `best` (score): one face; `all`: every face, largest first.
        width: of the photo.
        height: of the photo.
        wanted: (4,) box that a review chose; the face that overlaps it most goes first instead.

    Returns:
        One face, or with `all` every face; none where there are none. Ties go to the face further left, then further up.
    """
    keys: dict[str, Callable[[Face], float]] = {
        "largest": lambda face: -_area(face.box),
        "central": lambda face: float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - [width / 2, height / 2]))),
        "best": lambda face: -face.score,
    }
    key = keys["largest" if mode == "all" else mode]
    ordered = sorted(faces, key=lambda face: (key(face), float(face.box[0]), float(face.box[1])))
    if wanted is not None and ordered:
        # stable: without any overlap the order stays
        overlaps = iou(wanted, np.stack([face.box for face in ordered]))
        ordered = [ordered[i] for i in np.argsort(-overlaps, kind="stable")]
    return ordered if mode == "all" else ordered[:1]


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))

"""Face boxes from lists, looked up by the photo's path, clipped to the frame.

Enters: files of lines. With a header: a path column (path, image, file, ...), `x1 y1 x2 y2`, perhaps `score` and landmarks `lx1
ly1 ... ly5`. Without: `path,x1,y1,x2,y2` or `path,label,x1,y1,x2,y2` as the public lists of CAER-S have it. Several lines of a
photo are several faces. A first line that only counts the others, as DeepFashion's lists have it, means that spaces separate the
columns. Boxes may also stand apart from the paths, `x1 y1 x2 y2` line by line with a list of photos. Leaves: faces; where a
second detector is named, each with the landmarks of the detection that overlaps it most, if the IoU is at least 0.5.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, TextIO

import numpy as np
from pydantic import Field, field_validator, model_validator

from preprocessing.detectors.base import Detector, clip_boxes, iou
from preprocessing.errors import UserError
from preprocessing.lookup import find_plugin, plugin_config
from preprocessing.manifest import normalize_path
from preprocessing.settings import StrictModel
from preprocessing.types import Face

PATH_NAMES = ("path", "image", "file", "filename", "image_path", "file_name", "image_name")
BOX_NAMES = ("x1", "y1", "x2", "y2")
_UNDERSCORED = {"x_1": "x1", "y_1": "y1", "x_2": "x2", "y_2": "y2"}
LANDMARK_NAMES = tuple(f"l{axis}{i}" for i in range(1, 6) for axis in "xy")
MIN_IOU = 0.5


class Config(StrictModel):
    """Options of the detector `boxes`."""

    type: Literal["boxes"] = "boxes"
    files: list[Path] = Field(min_length=1)
    """Lists of boxes (one may stand alone); the photos' paths in them are relative to the dataset's root."""
    photos: list[Path] = Field(default_factory=list)
    """For lists of boxes that do not name their photos: to each a list of these, a path a line in the same order."""
    same_folders: dict[str, str] = Field(default_factory=lambda: {"Angry": "Anger"})
    """Folder names that mean another one, in the lists or in the dataset (those of CAER-S have both)."""
    landmarks_from: dict[str, Any] | None = None
    """`{type: NAME, ...}` of a detector that adds landmarks."""

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_more(cls, files: Any) -> Any:
        return [files] if isinstance(files, str | Path) else files

    @model_validator(mode="after")
    def _photos_of_each(self) -> Self:
        if self.photos and len(self.photos) != len(self.files):
            raise ValueError(f"`photos` needs a list for each of the {len(self.files)} `files`, or none")
        return self


class Boxes:
    """The detector; see the module."""

    def __init__(self, config: Config) -> None:
        self.same_folders = config.same_folders
        self.faces: dict[str, list[np.ndarray]] = defaultdict(list)
        parts = map(_beside, config.photos, config.files) if config.photos else map(_lines, config.files)
        for key, values in chain.from_iterable(parts):
            self.faces[self._key(key)].append(values)
        self.helper: Detector | None = None
        if config.landmarks_from is not None:
            options = plugin_config("preprocessing.detectors", config.landmarks_from, "detector.landmarks_from")
            self.helper = find_plugin("preprocessing.detectors", options.type).build(options)

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """The listed faces of the photo `key`, without those wholly outside the frame; see `Detector.detect`."""
        listed = np.array(self.faces.get(self._key(normalize_path(key)), []), dtype=np.float32).reshape(-1, 15)
        boxes = clip_boxes(listed[:, :4], image.shape[1], image.shape[0])
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        faces = [_face(box, values) for box, values in zip(boxes[inside], listed[inside], strict=True)]
        if self.helper is not None and faces:
            found = [face for face in self.helper.detect(image, key) if face.landmarks is not None]
            faces = [_with_landmarks(face, found) for face in faces]
        return sorted(faces, key=lambda face: -face.score)

    def _key(self, path: str) -> str:
        """A path with each folder under its one name."""
        *folders, file = path.split("/")
        return "/".join([*(self.same_folders.get(folder, folder) for folder in folders), file])


def build(config: Config) -> Boxes:
    """The detector of a config."""
    return Boxes(config)


def _face(box: np.ndarray, values: np.ndarray) -> Face:
    landmarks = values[5:].reshape(5, 2)
    return Face(box, None if np.isnan(landmarks).any() else landmarks, float(values[4]))


def _with_landmarks(face: Face, found: Sequence[Face]) -> Face:
    if face.landmarks is not None or not found:
        return face
    overlaps = iou(face.box, np.stack([f.box for f in found]))
    best = int(overlaps.argmax())
    return Face(face.box, found[best].landmarks if overlaps[best] >= MIN_IOU else None, face.score)


def _lines(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Path and (15,) box, score, landmarks (NaN where there are none) of each line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _cells(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a list of boxes ({error}); name it with detector.files") from None
    if not rows:
        raise UserError(f"{path}: the list of boxes is empty")
    columns = _header(rows[0], path)
    start = 2 if columns["header"] else 1
    for number, row in enumerate(rows[start - 1 :], start):
        yield _parse(row, columns, f"{path}: line {number}")


def _beside(photos: Path, boxes: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The same of boxes that stand in the order of a list of photos."""
    try:
        images, lines = (
            [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()] for path in (photos, boxes)
        )
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{boxes}: cannot be read with its photos {photos} ({error}); name them with detector.photos") from None
    if len(images) != len(lines):
        raise UserError(f"{boxes}: {len(lines)} boxes for the {len(images)} photos of {photos}; name its own list of photos")
    columns = {"header": False, "path": 0, "values": [1, 2, 3, 4] + [None] * 11}
    for number, (image, line) in enumerate(zip(images, lines, strict=True), 1):
        cells = line.split()
        yield _parse([image, *cells] if len(cells) == 4 else [image, line], columns, f"{boxes}: line {number}")


def _cells(file: TextIO) -> list[list[str]]:
    """The cells of each line that has any: separated by spaces where the first line is a mere number, else by commas."""
    counted = file.readline().strip().isdecimal()
    if not counted:
        file.seek(0)
    return [row for row in (map(str.split, file) if counted else csv.reader(file)) if row]


def _header(first: list[str], path: Path) -> dict[str, Any]:
    """Where the path and the 15 values stand, by the first line."""
    if _numbers(first[-4:]) is not None and len(first) in (5, 6):
        return {"header": False, "path": 0, "values": list(range(len(first) - 4, len(first))) + [None] * 11}
    names = [_UNDERSCORED.get(name.strip().lower(), name.strip().lower()) for name in first]
    key = next((names.index(n) for n in PATH_NAMES if n in names), None)
    absent = [n for n in BOX_NAMES if n not in names]
    if key is None or absent:
        what = f"no column {', '.join(absent)}" if absent else f"no path column ({', '.join(PATH_NAMES)})"
        raise UserError(f"{path}: {what}; it has {', '.join(first)}; without a header expected path[,label],x1,y1,x2,y2")
    wanted = (*BOX_NAMES, "score", *LANDMARK_NAMES)
    return {"header": True, "path": key, "values": [names.index(n) if n in names else None for n in wanted]}


def _parse(row: list[str], columns: dict[str, Any], where: str) -> tuple[str, np.ndarray]:
    cells = ["" if i is None or i >= len(row) else row[i].strip() for i in columns["values"]]
    box = _numbers(cells[:4])
    rest = _numbers([cell or "nan" for cell in cells[4:]])
    if box is None or rest is None or not all(abs(side) < 1e9 for side in box):
        raise UserError(f"{where}: expected numbers for the box, found {','.join(row)[:80]!r}")
    if columns["path"] >= len(row) or "\0" in row[columns["path"]]:
        raise UserError(f"{where}: expected the path of a photo, found {','.join(row)[:80]!r}")
    score = 1.0 if math.isnan(rest[0]) else rest[0]
    if not 0 <= score <= 1:
        raise UserError(f"{where}: expected a score between 0 and 1, found {rest[0]:g}")
    image = normalize_path(row[columns["path"]].strip().replace("\\", "/").removeprefix("./"))
    return image, np.array([*box, score, *rest[1:]], dtype=np.float32)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None

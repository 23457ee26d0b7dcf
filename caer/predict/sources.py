"""What the user names -> the pictures to answer: photos, folders, patterns, videos.

Enters: paths as given on a command line. Leaves: `Photo`s one by one, so that a long list or video never lies in memory, and a
count of files in folders that are no photos.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from preprocessing.datasets.base import find_photos
from preprocessing.errors import UserError
from preprocessing.images import ImageError, read_image

_CONTAINERS = ["mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "3gp", "ogv", "mts", "m2ts", "mjpeg"]
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _CONTAINERS)


@dataclass(frozen=True)
class Photo:
    """One picture to answer: a file, or a frame of a video.

    Attributes:
        path: how the answer names it; always encodable.
        key: its path relative to the folder it was found in; look-up detectors (`boxes`) use it.
        file: the file as the system knows it, None for pixels in memory.
        pixels: [H, W, 3] uint8 RGB, upright, where the picture is there already (frames).
        frame, time: number of the frame from 0 and its time in seconds, for frames of a video.
        error: why there is no picture, for a video that cannot be read or breaks off.
    """

    path: str
    key: str = ""
    file: Path | None = None
    pixels: np.ndarray | None = None
    frame: int | None = None
    time: float | None = None
    error: ImageError | None = None

    def read(self, max_pixels: int) -> np.ndarray:
        """[H, W, 3] uint8 RGB, upright.

        Raises:
            ImageError: there is no picture.
        """
        if self.error is not None:
            raise self.error
        if self.pixels is not None:
            return self.pixels
        assert self.file is not None
        return read_image(self.file, max_pixels)


@dataclass
class Sources:
    """Paths that were looked up.

    Attributes:
        files: photos and videos, each once, with their key.
        ignored: files in folders that are no photos, by suffix.
        every: of a video every so many-th frame is answered.
    """

    files: list[tuple[Path, str]]
    ignored: Counter[str] = field(default_factory=Counter)
    every: int = 1

    @property
    def total(self) -> int:
        """How many pictures there will be, as far as the videos announce their frames."""
        return sum(max(1, -(-frame_count(path) // self.every)) if is_video(path) else 1 for path, _ in self.files)

    def __iter__(self) -> Iterator[Photo]:
        for path, key in self.files:
            if is_video(path):
                yield from frames(path, self.every)
            else:
                yield Photo(shown(path), key, path)


def find_sources(paths: Sequence[str | Path], every: int = 1) -> Sources:
    """Look up what the user named.

    Args:
        paths: photos, videos, folders (searched for photos), or patterns with `*`, `?`, `[...]`, `**`.
        every: of a video every so many-th frame.

    Raises:
        UserError: a path or pattern that is nothing, or nothing to answer at all.
    """
    found = Sources([], every=every)
    for given in paths:
        _add(found, Path(given))
    unique: dict[str, tuple[Path, str]] = {}
    for path, key in found.files:
        unique.setdefault(_place(path), (path, key))
    found.files = list(unique.values())
    if not found.files:
        ignored = f"; {_counts(found.ignored)} are no photos" if found.ignored else ""
        raise UserError(f"{', '.join(map(str, paths))}: no photos found there{ignored}; videos have to be named one by one")
    return found


def _place(path: Path) -> str:
    """The same for the same file however its folder is reached: `**` follows links round a loop forty times."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _add(found: Sources, path: Path) -> None:
    if path.is_dir():
        photos, ignored = find_photos(path)
        found.files += [(path / name, name) for name in photos]
        found.ignored += ignored
    elif os.path.lexists(path):
        found.files.append((path, path.name))
    else:
        matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else []
        if not matches:
            raise UserError(f"{path}: no such file, and no pattern that fits one; expected photos, folders, patterns or videos")
        for match in matches:
            _add(found, Path(match))


def describe_ignored(ignored: Counter[str]) -> str:
    """`skipped 3 files that are no photos (2 .txt, 1 .mp4)`; empty where there are none."""
    total = ignored.total()
    return f"skipped {total} file{'s' * (total != 1)} that are no photos ({_counts(ignored)})" if total else ""


def _counts(ignored: Counter[str]) -> str:
    return ", ".join(f"{n} {suffix}" for suffix, n in ignored.most_common())


def is_video(path: Path) -> bool:
    """Whether the file's name says that it is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def shown(path: str | Path) -> str:
    """A path as text that can always be encoded: bytes that are no UTF-8 read `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def frames(path: Path, every: int) -> Iterator[Photo]:
    """Every so many-th frame of a video, the first included; a last `Photo` with an `error` where the video breaks off."""
    name, number, last = shown(path), 0, -1.0
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            yield Photo(name, path.name, error=_video_error(path, "not a video that can be read"))
            return
        announced, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
        while video.grab():
            if number % every == 0:
                done, picture = video.retrieve()
                if not done:
                    break
                last = _seconds(video, number, rate, last)
                yield Photo(name, path.name, pixels=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), frame=number, time=round(last, 3))
            number += 1
        # The announced number is an estimate in some formats; a tenth less is no estimate.
        if number < 0.9 * announced or not number:
            reason = f"the video breaks off after {number} of about {announced:.0f} frames"
            yield Photo(name, path.name, frame=number, error=_video_error(path, reason))
    finally:
        video.release()


def _seconds(video: cv2.VideoCapture, number: int, rate: float, last: float) -> float:
    """Time of the frame just grabbed; by its number where the file gives none that grows."""
    said = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
    if said > last and (said > 0 or number == 0):
        return said
    return number / rate if rate > 0 else float(number)


def _video_error(path: Path, reason: str) -> ImageError:
    try:
        if not path.is_file():
            return ImageError("missing", "no such file")
        with path.open("rb") as file:
            return ImageError("unreadable", reason) if file.read(1) else ImageError("empty", "the file has no bytes")
    except OSError as error:
        return ImageError("unreadable", error.strerror or str(error))


def frame_count(path: Path) -> int:
    """How many frames a video announces; 0 where it says nothing."""
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))) if video.isOpened() else 0
    finally:
        video.release()

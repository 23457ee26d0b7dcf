"""What a dataset is, and what datasets share: options, walking a folder, splits, looking a photo up."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from preprocessing.errors import UserError
from preprocessing.manifest import normalize_path
from preprocessing.settings import StrictModel
from preprocessing.split import hash_split, split_off, stratifying_task
from preprocessing.types import RawSample

SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""Other names of splits -> ours."""
RUN_FILE = "preprocess.json"
"""Marks a folder that preprocessing writes to; such a folder is not searched for photos."""
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_OTHER = tuple(
    f".{name}"
    for name in ["png", "apng", "gif", "bmp", "dib", "tif", "tiff", "webp", "avif", "heic", "heif", "jp2", "j2k", "ico", "tga"]
)
_PLAIN = (".pgm", ".ppm", ".pbm", ".pnm")
SUFFIXES = frozenset({*_JPEG, *_OTHER, *_PLAIN})
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


class Dataset(Protocol):
    """A source of photos."""

    notes: dict[str, Any]
    """What the summary should mention; filled by `samples`."""

    @property
    def config(self) -> "BaseConfig":
        """The options that it was built from."""
        ...

    @property
    def root(self) -> Path:
        """The folder that `RawSample.image` is relative to."""
        ...

    def samples(self) -> Iterator[RawSample]:
        """The samples, in an order that depends on the source only."""
        ...


class BaseConfig(StrictModel):
    """Options of every dataset."""

    type: str
    root: Path
    name: str = Field("", pattern=r"^[\w.-]*$")
    """What the manifest calls the source, and part of each sample's id; default: the dataset's type."""

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.name or self.type

    def suggested(self) -> dict[str, Any]:
        """Settings of preprocessing that suit this source; each counts unless the user gives another."""
        return {}


class SplitConfig(BaseConfig):
    """Options of datasets that may come without splits."""

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, val, test where the source declares no splits."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of train that becomes val where the source declares train but no val; 0 for none."""

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Self:
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError("fractions of train, val, test must lie in [0, 1] and sum to 1")
        return self

    def complete(self, samples: Sequence[RawSample], notes: dict[str, Any]) -> list[RawSample]:
        """Give every sample a split; says in `notes` what was added."""
        declared = {s.split for s in samples} - {""}
        if not declared:
            by = stratifying_task(samples)
            notes["splits"] = "train/val/test by hash, shares " + "/".join(f"{f:g}" for f in self.fractions) + _alike(by)
            return hash_split(samples, self.fractions, by=by, salt=self.source)
        if "train" in declared and "val" not in declared and self.val_fraction:
            train = [s for s in samples if s.split == "train"]
            by, wanted = stratifying_task(train), round(len(train) * self.val_fraction)
            notes["splits"] = f"val is {self.val_fraction:g} of train, by hash" + _alike(by)
            return split_off(samples, "train", "val", wanted, by=by, salt=f"{self.source} val")
        return list(samples)


def _alike(by: str | None) -> str:
    return f", alike in each value of {by}" if by else ", whatever the labels"


def split_name(given: str) -> str | None:
    """Our name of a split that is called so (`Train`, `validation`, `public_test`), None for what is called like none."""
    name = given.lower()
    name = SPLIT_NAMES.get(name, name)
    return name if name in ("train", "val", "test") or name.endswith("_test") else None


def against_published(found: Mapping[str, int], published: Mapping[str, int]) -> str:
    """Whether as many samples of each split are there as the set was published with."""
    there, whole = (", ".join(f"{split} {counts.get(split, 0):,}" for split in published) for counts in (found, published))
    return f"complete: {there}" if there == whole else f"not the published set: {there}; expected {whole}"


def existing_folder(root: Path) -> Path:
    """The folder, or a `UserError` where there is none."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --root is the folder that holds the dataset's photos")
    return root


def find_photos(root: Path) -> tuple[list[str], Counter[str]]:
    """Files that are photos by suffix or, with another suffix, by content.

    Hidden files, folders that preprocessing wrote, and what a loop of links leads back to are left out.

    Returns:
        POSIX paths relative to the root, sorted; and how many files were ignored, by suffix.
    """
    photos, ignored, seen = [], Counter[str](), set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or RUN_FILE in files:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and (path.suffix.lower() in SUFFIXES or _looks_like_photo(path)):
                photos.append(path.relative_to(root).as_posix())
            else:
                ignored["hidden" if name.startswith(".") else path.suffix.lower() or "no suffix"] += 1
    return sorted(photos), ignored


def _looks_like_photo(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def locate(root: Path, image: str) -> Path:
    """The file of a sample: its path as written, else the entry with that normal form (decomposed or not UTF-8 on disk)."""
    path = root / image
    if path.exists() or (image.isascii() and "?" not in image):
        return path
    current = root
    for part in Path(image).parts:
        step = current / part
        current = step if step.exists() else current / _entries(current).get(part, part)
    return current


@lru_cache(maxsize=32)
def _entries(folder: Path) -> dict[str, str]:
    """Normal form -> name on disk of a folder's entries."""
    try:
        return {normalize_path(name): name for name in os.listdir(folder)}
    except OSError:
        return {}

"""FER-2013 (Goodfellow et al., https://arxiv.org/abs/1307.0414): 35,887 grey faces of 48 x 48 pixels, 7 emotions.

Enters: folders `train|public_test|private_test/<emotion>/*`; or `train|test/<emotion>/*`, where the names of the test pictures
begin with `PublicTest_` or `PrivateTest_`; or Kaggle's table `emotion,pixels,Usage`, which is first unpacked to folders. Leaves:
one sample a picture with `emotion`; as in the literature the public test is `val` and the private one `test`. Files that are
equal byte for byte share a group, also where the published splits tear them apart: the splits stay as published, and intervals
and audits know.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from preprocessing.datasets._fer2013_table import SPLIT_FOLDERS, find_table, unpack
from preprocessing.datasets.base import BaseConfig, against_published, existing_folder, find_photos, locate
from preprocessing.errors import UserError, unknown_name
from preprocessing.files import sha256_file
from preprocessing.manifest import normalize_path
from preprocessing.types import RawSample

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SPLITS = {"train": "train", "public_test": "val", "private_test": "test"}
"""Published folder -> split."""
JOINT = "test"
PREFIXES = {"PublicTest_": "val", "PrivateTest_": "test"}
"""Beginning of a name -> split, in the copies that have one folder `test` for both."""
PUBLISHED = {"train": 28_709, "val": 3_589, "test": 3_589}
LAYOUT = (
    "train/, public_test/, private_test/ (or train/, test/) with one folder an emotion, or fer2013.csv with emotion,pixels,Usage"
)


class Config(BaseConfig):
    """Options of the dataset `fer2013`. `root` is the folder that holds the folders or the table, or the table itself."""

    type: Literal["fer2013"] = "fer2013"
    layout: Literal["auto", "folders", "csv"] = "auto"
    """Which of the two to read; `auto`: the one that is there."""
    unpacked: Path | None = None
    """Where the table's pictures are unpacked to, as PNG; default: `fer2013_unpacked` beside the table."""

    def suggested(self) -> dict[str, Any]:
        """The pictures are faces already, too small to search."""
        return {"detector": {"type": "whole"}}


class Fer2013:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: dict[str, Any] = {}
        self.table = _table(config)
        self.root: Path = config.root if self.table is None else config.unpacked or self.table.parent / "fer2013_unpacked"

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of their paths; `notes` says whether the set is complete and what repeats."""
        if self.table is not None:
            self.notes["unpacked"] = str(self.root)
            unpack(self.table, self.root)
        paths, _ = find_photos(self.root)
        folders = {PurePosixPath(path).parts[0] for path in paths if "/" in path}
        expected = ("train", JOINT) if folders & {JOINT, *SPLITS} == {"train", JOINT} else tuple(SPLITS)
        absent = [folder for folder in expected if folder not in folders]
        if absent:
            raise UserError(f"{self.root}: no pictures in {', '.join(absent)}; expected {LAYOUT}")
        samples = [self._sample(path) for path in map(normalize_path, paths) if PurePosixPath(path).parts[0] in expected]
        self.notes["counts"] = against_published(Counter(s.split for s in samples), PUBLISHED)
        if len(samples) < len(paths):
            self.notes["left out"] = f"{len(paths) - len(samples)} pictures outside of {', '.join(expected)}"
        yield from self._grouped(samples)

    def _sample(self, path: str) -> RawSample:
        folder, *emotions, _ = PurePosixPath(path).parts
        emotion = emotions[0].lower() if emotions else ""
        if emotion not in EMOTIONS:
            raise unknown_name(f"emotion folder in {self.root / path}:", emotion, EMOTIONS)
        return RawSample(self.config.source, path, self._split(folder, path), labels={"emotion": emotion})

    def _split(self, folder: str, path: str) -> str:
        if folder != JOINT:
            return SPLITS[folder]
        name = PurePosixPath(path).name
        split = next((split for prefix, split in PREFIXES.items() if name.startswith(prefix)), None)
        if split is None:
            raise UserError(
                f"{self.root / path}: which test it is of is not known; expected a name that begins with "
                f"{' or '.join(PREFIXES)}, or folders public_test/ and private_test/"
            )
        return split

    def _grouped(self, samples: Sequence[RawSample]) -> list[RawSample]:
        """The samples with their heap of equal files as group."""
        heaps: dict[str, list[RawSample]] = defaultdict(list)
        for sample in samples:
            heaps[_digest(self.root, sample.image)].append(sample)
        repeated = {digest: heap for digest, heap in heaps.items() if len(heap) > 1}
        self.notes["exact duplicates"] = _duplicates(repeated)
        groups = {s.image: f"duplicates of {heap[0].image}" for heap in repeated.values() for s in heap}
        return [replace(s, group=groups.get(s.image, "")) for s in samples]


def build(config: Config) -> Fer2013:
    """The dataset of a config."""
    return Fer2013(config)


def _table(config: Config) -> Path | None:
    """The table to unpack; None where the folders are to be read."""
    if config.root.is_file():
        return config.root
    root = existing_folder(config.root)
    table = find_table(root) if config.layout != "folders" else None
    folders = config.layout != "csv" and any((root / folder).is_dir() for folder in SPLIT_FOLDERS.values())
    if table is not None and folders:
        raise UserError(f"{root}: has {table.name} and folders of pictures; choose with --set dataset.layout=folders or csv")
    if table is None and not folders:
        raise UserError(f"{root}: expected {LAYOUT}")
    return table


def _digest(root: Path, image: str) -> str:
    """A hash of the file's bytes; of one that cannot be read its path, which equals no other."""
    try:
        return sha256_file(locate(root, image))
    except OSError:
        return image


def _duplicates(heaps: Mapping[str, Sequence[RawSample]]) -> str:
    spare = sum(len(heap) - 1 for heap in heaps.values())
    straddling = sum(len({s.split for s in heap}) > 1 for heap in heaps.values())
    contradictory = sum(len({s.labels["emotion"] for s in heap}) > 1 for heap in heaps.values())
    return (
        f"{spare} files repeat another, in {len(heaps)} groups; {straddling} groups straddle splits, "
        f"{contradictory} have two emotions"
    )

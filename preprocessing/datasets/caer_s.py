"""CAER-S (Lee et al., ICCV 2019, https://arxiv.org/abs/1908.05913): 70,000 frames of television shows, 7 emotions.

Enters: the set as published, `train|test/Class/NNNN.png`, 712 x 400. Leaves: one sample per frame of the chosen protocol, with
`emotion` and a group. Boxes come from a detector, or from lists through the detector `boxes`.

The published split is random over frames, so neighbouring frames of a shot lie in train and in test. The numbers in a folder
follow the order before the split: in the hand-checked lists near-identical boxes of train and test pile up at the same share of
their folders' numbers, 2% apart at most (docs/caer_s.md). So a hundredth of a class's numbers is a group (shots of about the same
place in the order; its edges may cut one), and the protocol `group_disjoint` takes train, val and test from stretches of the
order that lie 5% apart.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import Field

from preprocessing.datasets.base import BaseConfig, existing_folder
from preprocessing.errors import UserError
from preprocessing.protocols import Protocol, check_counts, protocol_hash, read_lists
from preprocessing.split import split_off
from preprocessing.types import RawSample

CLASSES = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
SPELLINGS = {"Angry": "Anger"}
"""Other names of classes, in folders or in lists."""
LAST = {"train": dict.fromkeys(CLASSES, 7001), "test": dict.fromkeys(CLASSES, 2999) | {"Surprise": 2998}}
"""Highest number in each published folder; every number from 1 is there."""
_FILE = re.compile(r"[0-9]+\.png")
GROUPS = 100
"""Groups per class."""
STRETCHES = {"train": (0.0, 0.58), "val": (0.63, 0.70), "test": (0.75, 1.0)}
"""Shares of the order that `group_disjoint` takes; what lies between belongs to no split."""

PROTOCOLS = {
    "published": Protocol({"train": 49_007, "test": 20_992}, lists=False, about="all published frames"),
    "hand_checked": Protocol({"train": 47_966, "test": 20_868}, lists=True, about="frames with hand-checked boxes"),
    "ndkhanh360": Protocol(
        {"train": 48_850, "val": 6_971, "test": 13_942}, lists=True, about="github.com/ndkhanh360/CAER, val and test from test/"
    ),
    "efficientface": Protocol({"train": 48_995, "test": 20_987}, lists=True, about="github.com/zengqunzhao/EfficientFace"),
    "group_disjoint": Protocol({"train": 40_600, "val": 4_900, "test": 17_500}, lists=False, about="stretches of the order"),
    "folders": Protocol(None, lists=False, about="the frames that are there; no named protocol"),
    "lists": Protocol(None, lists=True, about="the user's own lists of train and test; no named protocol"),
}


class Config(BaseConfig):
    """Options of the dataset `caer_s`. `root` is the folder that holds `train` and `test`."""

    type: Literal["caer_s"] = "caer_s"
    protocol: Literal["published", "hand_checked", "ndkhanh360", "efficientface", "group_disjoint", "folders", "lists"] = (
        "published"
    )
    """Which frames, in which split; numbers of different protocols do not compare."""
    lists: Path | None = None
    """Folder or ZIP with the lists of a protocol that is defined by lists; the first field of a line is the frame's path."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of train that becomes val, whole groups in hash order, where the protocol has no val; 0 for none."""


class Frame(NamedTuple):
    """A frame by its published place: folder (`train` or `test`), class, file name."""

    folder: str
    emotion: str
    file: str

    @property
    def path(self) -> str:
        """Its path in the published spelling."""
        return f"{self.folder}/{self.emotion}/{self.file}"

    @property
    def position(self) -> float:
        """Share of the class's order that comes before it, 0 to 1."""
        last = LAST[self.folder][self.emotion]
        return min(max((int(self.file.removesuffix(".png")) - 0.5) / last, 0.0), 1 - 1e-9)


class CaerS:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Path = existing_folder(config.root)
        self.notes: dict[str, Any] = {}
        self.folders = _class_folders(self.root)

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of their paths; `notes` says what the protocol took, left out and misses."""
        name = self.config.protocol
        protocol = PROTOCOLS[name]
        there = _frames(self.root, self.folders)
        if not there:
            raise UserError(f"no photos found in {self.root}: expected train/Class/NNNN.png and test/Class/NNNN.png")
        splits = _listed(self.config, protocol) if protocol.lists else _ruled(name, there)
        source = self.config.lists if self.config.lists is not None and protocol.lists else self.root
        if name == "group_disjoint":  # its stretches are shares of the complete folders
            check_counts("group_disjoint", PROTOCOLS["published"].expected, (f.folder for f in there), self.root)
        check_counts(name, protocol.expected, splits.values(), source)
        samples = [self._sample(frame, split) for frame, split in sorted(splits.items())]
        if "val" not in splits.values() and self.config.val_fraction:
            wanted = round(self.config.val_fraction * sum(s.split == "train" for s in samples))
            samples = split_off(samples, "train", "val", wanted, by="emotion", salt=f"{self.config.source} val")
        self._note(name, samples, sorted(splits), there)
        yield from samples

    def _sample(self, frame: Frame, split: str) -> RawSample:
        folder = self.folders.get((frame.folder, frame.emotion), frame.emotion)
        return RawSample(
            source=self.config.source,
            image=f"{frame.folder}/{folder}/{frame.file}",
            split=split,
            group=f"{frame.emotion} {int(frame.position * GROUPS):02d}",
            labels={"emotion": frame.emotion},
        )

    def _note(self, name: str, samples: list[RawSample], frames: list[Frame], there: set[Frame]) -> None:
        counts = Counter(s.split for s in samples)
        digest = protocol_hash((f.path, s.split) for f, s in zip(frames, samples, strict=True))
        self.notes["protocol"] = {"name": name, "about": PROTOCOLS[name].about, **dict(sorted(counts.items())), "sha256": digest}
        for what, some in (("left out", there.difference(frames)), ("listed but absent", set(frames) - there)):
            if some:
                self.notes[what] = dict(sorted(Counter(f.folder for f in some).items()))


def build(config: Config) -> CaerS:
    """The dataset of a config."""
    return CaerS(config)


def parse(path: str, folder: str = "") -> Frame | None:
    """The frame of a path `.../train/Class/NNNN.png`, or `Class/NNNN.png` in a given folder; None for any other path."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if len(parts) < 2:
        return None
    emotion = SPELLINGS.get(parts[-2], parts[-2])
    folder = parts[-3] if len(parts) > 2 and parts[-3] in LAST else folder
    if emotion not in CLASSES or folder not in LAST or not _FILE.fullmatch(parts[-1]):
        return None
    return Frame(folder, emotion, parts[-1])


def _class_folders(root: Path) -> dict[tuple[str, str], str]:
    """(folder, class) -> the class folder's name on disk."""
    found: dict[tuple[str, str], str] = {}
    for folder in LAST:
        for name in sorted(os.listdir(root / folder)) if (root / folder).is_dir() else []:
            emotion = SPELLINGS.get(name, name)
            if emotion not in CLASSES:
                continue
            if (folder, emotion) in found:
                raise UserError(f"{root / folder}: {found[folder, emotion]} and {name} are one class; keep one of these folders")
            found[folder, emotion] = name
    if not found:
        raise UserError(
            f"{root}: expected the folders train and test with the classes {', '.join(CLASSES)}; is --root one level off?"
        )
    return found


def _frames(root: Path, folders: dict[tuple[str, str], str]) -> set[Frame]:
    frames = (
        parse(f"{folder}/{emotion}/{file}")
        for (folder, emotion), name in folders.items()
        for file in os.listdir(root / folder / name)
    )
    return {frame for frame in frames if frame is not None}


def _ruled(name: str, there: set[Frame]) -> dict[Frame, str]:
    """The split of each frame by a rule over the published files."""
    if name != "group_disjoint":
        return {frame: frame.folder for frame in there}
    places = {frame: frame.position for frame in there}
    return {frame: split for frame, at in places.items() for split, (start, end) in STRETCHES.items() if start <= at < end}


def _listed(config: Config, protocol: Protocol) -> dict[Frame, str]:
    """The split of each listed frame; in lists of val and test a path without a folder means test/."""
    splits = tuple(protocol.expected or ("train", "test"))
    result: dict[Frame, str] = {}
    for split, lines in read_lists(config.protocol, config.lists, splits).items():
        for number, line in enumerate(lines, 1):
            frame = parse(line.replace(",", " ").split()[0], "train" if split == "train" else "test")
            if frame is None:
                raise UserError(
                    f"{config.lists}: {split} list, line {number}: expected split/Class/NNNN.png, found {line[:80]!r}; "
                    f"classes: {', '.join((*CLASSES, *SPELLINGS))}"
                )
            if frame in result:
                raise UserError(
                    f"{config.lists}: {frame.path} is listed twice, in {result[frame]} and {split}; list a frame once"
                )
            result[frame] = split
    return result

"""UTKFace (https://susanqq.github.io/UTKFace): some 23,700 faces from 0 to 116 years, with gender and race.

Enters: a folder with the photos at any depth, named `[age]_[gender]_[race]_[date&time].jpg` (aligned ones `....jpg.chip.jpg`).
Leaves: `age`, `age_group` (the main article's six), `gender`, `race`. A photo whose name does not fit keeps its row, without
labels, and the notes name it. The set has no splits: they are made by hash, an original and its aligned copy together.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from preprocessing.ages import OLDEST, six_groups
from preprocessing.datasets.base import SplitConfig, existing_folder, find_photos
from preprocessing.errors import UserError
from preprocessing.manifest import normalize_path
from preprocessing.types import Label, RawSample

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
"""In the order of the codes in a name; so are the genders."""
LAYOUT = "[age]_[gender 0|1]_[race 0-4]_[date&time].jpg"
_NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<time>\d{8,})\s*\.?(?:jpe?g|pg)(?:\.chip\.jpg)?",
    re.ASCII | re.IGNORECASE,
)
"""Some endings are published mistyped: `jpg` without its dot, `.pg`."""


class Config(SplitConfig):
    """Options of the dataset `utkface`."""

    type: Literal["utkface"] = "utkface"


class UtkFace:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Path = existing_folder(config.root)
        self.notes: dict[str, Any] = {}

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of their paths; `notes` names the photos without labels."""
        paths, _ = find_photos(self.root)
        samples = [
            RawSample(self.config.source, path, "", group=_stem(path), labels=labels_of(path))
            for path in map(normalize_path, paths)
        ]
        nameless = [s.image for s in samples if not s.labels]
        if len(nameless) == len(samples):
            given = f"{len(samples)} photos, first {samples[0].image}" if samples else "no photos"
            raise UserError(f"{self.root}: {given}; expected UTKFace's names, {LAYOUT}")
        if nameless:
            self.notes[f"without labels, because their names are not {LAYOUT}"] = nameless
        copies = Counter(s.group for s in samples)
        samples = [replace(s, group=s.group if copies[s.group] > 1 else "") for s in samples]
        yield from self.config.complete(samples, self.notes)


def build(config: Config) -> UtkFace:
    """The dataset of a config."""
    return UtkFace(config)


def labels_of(path: str) -> dict[str, Label]:
    """What a photo's name says; nothing where it does not fit."""
    match = _NAME.fullmatch(PurePosixPath(path).name)
    if match is None or int(match["age"]) > OLDEST:
        return {}
    age = float(match["age"])
    return {
        "age_group": six_groups(age),
        "age": age,
        "gender": GENDERS[int(match["gender"])],
        "race": RACES[int(match["race"])],
    }


def _stem(path: str) -> str:
    """A photo's name without its endings: what an original and its aligned copy share."""
    name = PurePosixPath(path).name
    match = _NAME.fullmatch(name)
    return "_".join(match.groups()) if match else name.removesuffix(".chip.jpg").removesuffix(".jpg")

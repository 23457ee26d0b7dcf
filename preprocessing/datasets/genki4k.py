"""GENKI-4K (http://mplab.ucsd.edu, The MPLab GENKI-4K Dataset): 4,000 web photos, smiling or not, with head pose.

Enters: the set's folder with `labels.txt` (line N = smile yaw pitch roll of photo N) and `files/fileNNNN.jpg`. Leaves: 3,000
train (of which a tenth is val) and 1,000 test photos, both classes in proportion, in hash order, near duplicates together. The
file is sorted by class: a cut by position would give a test split of one class.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from preprocessing.datasets.base import BaseConfig, existing_folder, find_photos
from preprocessing.errors import UserError
from preprocessing.fingerprint import clusters
from preprocessing.labels import number_of
from preprocessing.split import split_off
from preprocessing.types import Label, RawSample

SMILES = {"0": "not_smiling", "1": "smiling"}
"""Code of the table -> class."""
PUBLISHED = 4000
POSE = ("yaw", "pitch", "roll")


class Config(BaseConfig):
    """Options of the dataset `genki4k`."""

    type: Literal["genki4k"] = "genki4k"
    test: int = Field(1000, ge=1)
    """Photos in test; the others are train and val."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the training photos that becomes val."""


class Genki4k:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Path = existing_folder(config.root)
        self.notes: dict[str, Any] = {}
        self.table = self.root / "labels.txt"
        if not self.table.is_file() or not (self.root / "files").is_dir():
            raise UserError(f"{self.root}: expected labels.txt and files/ of GENKI-4K there")

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of the set, the pose in radians; `notes` says whether the set is complete and what repeats."""
        lines = self.table.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
        samples = [self._sample(number, line.split()) for number, line in enumerate(lines, 1)]
        self.notes["counts"] = self._counts(len(samples))
        if len(samples) <= self.config.test:
            raise UserError(f"{self.table}: {len(samples)} lines; more than the {self.config.test} test photos are needed")
        samples = self._grouped(samples)
        name = self.config.source
        samples = split_off(samples, "train", "test", self.config.test, by="smile", salt=f"{name} test")
        val = round((len(samples) - self.config.test) * self.config.val_fraction)
        yield from split_off(samples, "train", "val", val, by="smile", salt=f"{name} val")

    def _sample(self, number: int, fields: list[str]) -> RawSample:
        try:
            smile, *pose = fields
            labels: dict[str, Label] = {"smile": SMILES[smile], **dict(zip(POSE, map(number_of, pose), strict=True))}
        except (ValueError, KeyError):
            raise UserError(
                f"{self.table}: line {number}: expected `smile yaw pitch roll` with smile 0 or 1, found {' '.join(fields)[:60]!r}"
            ) from None
        return RawSample(self.config.source, f"files/file{number:04d}.jpg", "train", labels=labels)

    def _counts(self, lines: int) -> str:
        """Whether this is the published set.

        Raises:
            UserError: the table has fewer lines than there are photos. A photo that is not there gets a row that says so.
        """
        photos = len(find_photos(self.root / "files")[0])
        if photos > lines:
            raise UserError(
                f"{self.table}: {lines} lines for the {photos} photos of files/; expected a line for each, fetch the set again"
            )
        return f"complete: {lines:,}" if lines == PUBLISHED else f"not the published set: {lines:,}; expected {PUBLISHED:,}"

    def _grouped(self, samples: list[RawSample]) -> list[RawSample]:
        """The samples with their cluster of near duplicates as group."""
        first = clusters([self.root / s.image for s in samples])
        sizes = Counter(first.tolist())
        self.notes["near duplicates"] = f"{sum(n - 1 for n in sizes.values())} photos repeat another; they share its split"
        names = (f"duplicates of {samples[i].image}" if sizes[i] > 1 else "" for i in first.tolist())
        return [RawSample(s.source, s.image, s.split, group, s.labels) for s, group in zip(samples, names, strict=True)]


def build(config: Config) -> Genki4k:
    """The dataset of a config."""
    return Genki4k(config)

"""IMDB-WIKI (Rothe et al., https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki): half a million photos of celebrities.

Enters: `imdb.mat` or `wiki.mat` beside the photos of `full_path` (`imdb_crop/`, `wiki_crop/`, or the uncropped folders). Leaves:
`age` in years on the first of July of the photo's year, as the authors reckon, `age_group` (the main article's six) and `gender`;
a person is a group, and its name alone decides its split, so that both tables have it in the same one. Photos without a clear
single face by the set's own detector are left out, and the notes count them.
"""

import datetime
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.io
from pydantic import field_validator

from preprocessing.ages import six_groups
from preprocessing.datasets.base import SplitConfig, existing_folder
from preprocessing.errors import UserError
from preprocessing.manifest import normalize_path
from preprocessing.split import fixed_split
from preprocessing.types import Label, RawSample

TABLES = ("imdb", "wiki")
SALT = "imdb_wiki"
"""Of the hash of a name; not the source's name, which may differ between the tables."""
COLUMNS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
REMEDIES = {
    "path": "fetch the table again",
    "face": "lower dataset.min_face_score",
    "second": "raise dataset.max_second_face_score",
}
"""By reason why a photo is left out, what brings such photos back."""
GENDERS = {0.0: "female", 1.0: "male"}
DAYS = 365.2425
"""Of a year, on average."""
_PHOTO = re.compile(r"_(rm\d+)_")
"""IMDB's number of a photo, in the names of the crops of all who were tagged in it."""
MATLAB = 366
"""Matlab's day numbers run so far ahead of Python's."""


class Config(SplitConfig):
    """Options of the dataset `imdb_wiki`. `root` is the folder that holds `imdb.mat` or `wiki.mat`, or that file."""

    type: Literal["imdb_wiki"] = "imdb_wiki"
    min_face_score: float = 1.0
    """Photos whose face scores less are left out; the set gives -inf where it found none."""
    max_second_face_score: float = 0.0
    """Photos with a second face that scores more are left out: it is not known who is who."""
    ages: tuple[float, float] = (0.0, 100.0)
    """Ages outside come from wrong dates: no age label."""

    @field_validator("ages")
    @classmethod
    def _in_order(cls, ages: tuple[float, float]) -> tuple[float, float]:
        if not ages[0] < ages[1]:
            raise ValueError(f"from {ages[0]:g} to {ages[1]:g} there is no age; swap them")
        return ages


class ImdbWiki:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: dict[str, Any] = {}
        self.table = _find_table(config.root)
        self.root: Path = self.table.parent

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of the table; `notes` says what was left out, and how many ages are not credible."""
        columns = _columns(self.table)
        self.notes["table"] = self.table.name
        samples, fate = [], Counter[str]()
        for row in range(len(columns["full_path"])):
            cells = {name: column[row] for name, column in columns.items()}
            if reason := self._reason_to_leave_out(cells):
                fate[reason] += 1
            else:
                samples.append(self._sample(cells))
        words = self._words()
        if fate:
            self.notes["left out"] = {words[reason]: n for reason, n in sorted(fate.items())}
        if not samples:
            fates = ", ".join(f"{words[reason]}: {n}" for reason, n in fate.most_common()) or "it lists none"
            remedy = REMEDIES[fate.most_common(1)[0][0] if fate else "path"]
            raise UserError(f"{self.table}: none of its {sum(fate.values())} photos is left ({fates}); {remedy}")
        for task in ("age", "gender"):
            self.notes[f"without {task}"] = sum(task not in s.labels for s in samples)
        if shared := _shared_photos(samples):
            self.notes["photos of several persons, who may be in different splits"] = shared
        shares = "/".join(f"{f:g}" for f in self.config.fractions)
        self.notes["splits"] = f"train/val/test by the hash of the person's name, shares about {shares}, alike in both tables"
        yield from fixed_split(samples, self.config.fractions, SALT)

    def _reason_to_leave_out(self, cells: Mapping[str, Any]) -> str:
        if not cells["full_path"]:
            return "path"
        if not cells["face_score"] >= self.config.min_face_score:
            return "face"
        return "second" if cells["second_face_score"] > self.config.max_second_face_score else ""

    def _words(self) -> dict[str, str]:
        first, second = self.config.min_face_score, self.config.max_second_face_score
        return {"path": "no path", "face": f"face score below {first:g}", "second": f"second face above {second:g}"}

    def _sample(self, cells: Mapping[str, Any]) -> RawSample:
        labels: dict[str, Label] = {}
        age = age_of(cells["dob"], cells["photo_taken"])
        low, high = self.config.ages
        if low <= age <= high:
            labels |= {"age_group": six_groups(age), "age": age}
        if cells["gender"] in GENDERS:
            labels["gender"] = GENDERS[cells["gender"]]
        image = normalize_path(cells["full_path"])
        return RawSample(self.config.source, image, "", normalize_path(cells["name"]), labels)


def build(config: Config) -> ImdbWiki:
    """The dataset of a config."""
    return ImdbWiki(config)


def _shared_photos(samples: Sequence[RawSample]) -> int:
    persons: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if match := _PHOTO.search(sample.image):
            persons[match[1]].add(sample.group)
    return sum(len(names) > 1 for names in persons.values())


def age_of(born: float, year: float) -> float:
    """Years from a birth (Matlab day number) to the first of July of a year, to two digits; NaN where there is no such date."""
    if not (datetime.MINYEAR <= year <= datetime.MAXYEAR and math.isfinite(born)):
        return math.nan
    taken = datetime.date(int(year), 7, 1).toordinal() + MATLAB
    return round((taken - born) / DAYS, 2)


def _find_table(root: Path) -> Path:
    if root.is_file():
        return root
    existing_folder(root)
    found = [root / f"{name}.mat" for name in TABLES if (root / f"{name}.mat").is_file()]
    if len(found) != 1:
        raise UserError(
            f"{root}: expected imdb.mat or wiki.mat beside the photos' folders 00 to 99, found "
            f"{' and '.join(path.name for path in found) or 'neither'}; name the one to read as --root"
        )
    return found[0]


def _columns(path: Path) -> dict[str, Any]:
    """The columns by name: texts for paths and names, float64 for the others.

    Raises:
        UserError: the file is no Matlab file with this table, or its columns differ in length.
    """
    try:
        content = scipy.io.loadmat(path, variable_names=TABLES)
        table = next(content[name] for name in TABLES if name in content)[0, 0]
        columns = {name: _column(table[name]) for name in COLUMNS}
    except Exception as error:  # the reader raises anything on broken files
        raise UserError(
            f"{path}: cannot be read as a Matlab table imdb or wiki with {', '.join(COLUMNS)} ({type(error).__name__}: {error})"
        ) from None
    if len({len(column) for column in columns.values()}) != 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise UserError(f"{path}: its columns differ in length ({lengths}); fetch the file again")
    return columns


def _column(values: np.ndarray) -> Any:
    flat = values.ravel()
    if flat.dtype == object:  # a Matlab cell: an array with one text, or with none
        return [str(cell.item()) if getattr(cell, "size", 0) else "" for cell in flat]
    return flat.astype(np.float64)

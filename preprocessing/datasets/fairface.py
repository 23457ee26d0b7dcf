"""FairFace (https://github.com/joojs/fairface, CC BY 4.0): faces with age, gender and race, about equally many of seven races.

Enters: the set's folder with `train/`, `val/` and its tables: `fairface_label_{train,val}.csv` (age in nine groups, as
published) or `fairface-labels-{train,val}.csv` (age in years). Leaves: `age_group` (the main article's six groups, into which
the nine nest), `gender`, `race`, and `age_range`, `age_low`, `age_high` or `age`, as the table gives it.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from preprocessing.ages import OLDEST, RANGES, six_groups
from preprocessing.datasets.base import SplitConfig, against_published, existing_folder, find_photos
from preprocessing.errors import UserError
from preprocessing.labels import number_of
from preprocessing.manifest import normalize_path
from preprocessing.types import Label, RawSample

TABLES = {"groups": "fairface_label_{}.csv", "years": "fairface-labels-{}.csv"}
SPLITS = ("train", "val")
PUBLISHED = {"train": 86_744, "val": 10_954}
COLUMNS = ("file", "age", "gender", "race")
GENDERS = {"female": "female", "male": "male"}


class Config(SplitConfig):
    """Options of the dataset `fairface`."""

    type: Literal["fairface"] = "fairface"
    layout: Literal["auto", "groups", "years"] = "auto"
    """Which tables to read; `auto`: those that are there."""
    published_val: Literal["test", "val"] = "test"
    """What the published val split becomes. The literature's results are on it, so nothing may be chosen by it: it is `test`,
    and `val_fraction` of train becomes val."""


class FairFace:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Path = existing_folder(config.root)
        self.notes: dict[str, Any] = {}
        self.layout = _layout(config)

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of the tables, train before val; `notes` says whether the set is complete."""
        self.notes["tables"] = TABLES[self.layout].format("{train,val}")
        tables = {split: list(self._read(split)) for split in SPLITS}
        for split in (split for split, samples in tables.items() if not samples):
            path = self.root / TABLES[self.layout].format(split)
            raise UserError(f"{path}: a header and no line; expected a line for each photo of {split}/; fetch it again")
        self.notes["counts"] = against_published({split: len(samples) for split, samples in tables.items()}, PUBLISHED)
        samples = [sample for table in tables.values() for sample in table]
        if nameless := self._photos_without_line(samples):
            self.notes["photos that no table names"] = nameless
        yield from self.config.complete(samples, self.notes)

    def _read(self, split: str) -> Iterator[RawSample]:
        path = self.root / TABLES[self.layout].format(split)
        name = self.config.published_val if split == "val" else split
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.reader(file)
                header = next(table, [])
                absent = [column for column in COLUMNS if column not in header]
                if absent:
                    raise UserError(f"{path}: no column {', '.join(absent)}; expected {', '.join(COLUMNS)} as FairFace has them")
                for row in filter(None, table):
                    where = f"{path}: line {table.line_num}"
                    if len(row) != len(header):
                        raise UserError(f"{where}: {len(row)} cells; expected {len(header)}; is the file cut off?")
                    yield self._sample(dict(zip(header, row, strict=True)), name, where)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read as a CSV table ({error})") from None

    def _sample(self, row: dict[str, str], split: str, where: str) -> RawSample:
        cells = {column: row[column].strip() for column in COLUMNS}
        if not cells["file"]:
            raise UserError(f"{where}: the file name is empty")
        labels: dict[str, Label] = self._age(cells["age"], where)
        gender = cells["gender"].lower()
        if gender:
            if gender not in GENDERS:
                raise UserError(f"{where}: gender {cells['gender']!r}; expected {' or '.join(GENDERS)}")
            labels["gender"] = GENDERS[gender]
        if cells["race"]:
            labels["race"] = cells["race"]
        return RawSample(self.config.source, normalize_path(cells["file"]), split, labels=labels)

    def _age(self, cell: str, where: str) -> dict[str, Label]:
        """Labels of an age cell.

        A group gives `age_low` and `age_high`, its first and last year of life; the open one has no `age_high`.
        """
        if not cell:
            return {}
        if self.layout == "years":
            years = _years(cell, where)
            return {"age_group": six_groups(years), "age": years}
        if cell not in RANGES:
            raise UserError(
                f"{where}: age {cell!r}; expected one of {', '.join(RANGES)} (years stand in {TABLES['years'].format('*')})"
            )
        low, _, high = cell.removeprefix("more than ").partition("-")
        bounds: dict[str, Label] = {"age_low": float(low), **({"age_high": float(high)} if high else {})}
        return {"age_group": RANGES[cell], "age_range": cell, **bounds}

    def _photos_without_line(self, samples: Sequence[RawSample]) -> int:
        named = {sample.image for sample in samples}
        folders = [(self.root / split, split) for split in SPLITS if (self.root / split).is_dir()]
        found = (normalize_path(f"{split}/{path}") for folder, split in folders for path in find_photos(folder)[0])
        return sum(path not in named for path in found)


def _years(cell: str, where: str) -> float:
    try:
        years = number_of(cell)
    except ValueError:
        years = -1.0
    if not 0 <= years <= OLDEST:
        raise UserError(
            f"{where}: age {cell!r}; expected years from 0 to {OLDEST} (groups stand in {TABLES['groups'].format('*')})"
        )
    return years


def _layout(config: Config) -> str:
    """Which tables to read.

    Raises:
        UserError: a table is absent, or both kinds are there and the settings do not say which.
    """
    names = {layout: [pattern.format(split) for split in SPLITS] for layout, pattern in TABLES.items()}
    there = {layout: [name for name in files if (config.root / name).is_file()] for layout, files in names.items()}
    found = [layout for layout in names if there[layout]] if config.layout == "auto" else [config.layout]
    if len(found) > 1:
        raise UserError(f"{config.root}: has tables of age groups and of years; choose with --set dataset.layout=groups or years")
    wanted = names[found[0]] if found else [*names["groups"], "or", *names["years"]]
    absent = [name for name in wanted if not found or name not in there[found[0]]]
    if absent:
        raise UserError(f"{config.root}: no {' '.join(absent)}; expected FairFace's folder with train/, val/ and both tables")
    return found[0]


def build(config: Config) -> FairFace:
    """The dataset of a config."""
    return FairFace(config)

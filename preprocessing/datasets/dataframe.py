"""Any table with a path column and one column per task (CSV or Parquet).

Enters: a table. Leaves: one sample per line; empty cells are missing labels, and so are `NA` and the like among numbers; columns
of numbers stay numbers. Without a split column, or with nothing in it, the photos are split by hash.
"""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from preprocessing.datasets.base import SplitConfig, split_name
from preprocessing.errors import UserError
from preprocessing.labels import number_of
from preprocessing.manifest import normalize_path
from preprocessing.types import Label, RawSample

PATH_NAMES = ("path", "image", "file", "filename", "image_path", "file_name")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
MISSING = frozenset({"na", "n/a", "<na>", "null", "none", "?", "-"})
"""What stands for a number that is not known; among texts each is a text like others."""
NAMELESS = re.compile(r"Unnamed: \d+(\.\d+)?")
"""How pandas calls a column without a name: mostly the number of the line, which `to_csv` writes unless told otherwise."""


class Config(SplitConfig):
    """Options of the dataset `dataframe`. `root` is the folder that the paths are relative to, or the table itself."""

    type: Literal["dataframe"] = "dataframe"
    table: Path | None = None
    """CSV, TSV or Parquet file, relative to the root; default: the only one there."""
    path_column: str = ""
    """Default: the first of path, image, file, filename, image_path, file_name that is there."""
    split_column: str = ""
    """Default: `split` where it is there."""
    group_column: str = ""
    """Column of what must not straddle splits (clip, person); default: `group` where it is there."""
    tasks: list[str] = Field(default_factory=list)
    """Columns that are annotations; default: all others."""


class DataFrame:
    """The dataset; see the module."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: dict[str, Any] = {}
        self.table = _find_table(config)
        self.root: Path = config.root if config.root.is_dir() else config.root.parent
        self.frame = _read(self.table)
        self.path = self._column(config.path_column, PATH_NAMES, "path_column")
        self.split = self._column(config.split_column, ("split",), "split_column")
        self.group = self._column(config.group_column, ("group",), "group_column")
        if not self.path:
            raise UserError(
                f"{self.table}: no path column ({', '.join(PATH_NAMES)}); name it with dataset.path_column; {self._there()}"
            )
        absent = [task for task in config.tasks if task not in self.frame.columns]
        if absent:
            raise UserError(f"{self.table}: no column {', '.join(map(repr, absent))} (dataset.tasks); {self._there()}")
        others = [c for c in self.frame.columns if c not in (self.path, self.split, self.group)]
        self.tasks = config.tasks or [c for c in others if not NAMELESS.fullmatch(c)]
        if len(self.tasks) < len(others) and not config.tasks:
            self.notes["left out"] = "columns without a name (to take them, name them)"

    def _there(self) -> str:
        return f"the table has {', '.join(map(repr, self.frame.columns))}"

    def _column(self, given: str, defaults: tuple[str, ...], option: str) -> str:
        if given and given not in self.frame.columns:
            raise UserError(f"{self.table}: no column {given!r} (dataset.{option}); {self._there()}")
        return given or next((name for name in defaults if name in self.frame.columns), "")

    def samples(self) -> Iterator[RawSample]:
        """Samples in the order of the table."""
        self.notes["table"] = self.table.name
        self.notes["tasks"] = self.tasks
        columns = {task: self._labels(task) for task in self.tasks}
        splits = self._splits()
        groups = [_text(cell) for cell in self.frame[self.group]] if self.group else [""] * len(self.frame)
        samples = []
        for line, path in enumerate(self.frame[self.path]):
            labels = {task: values[line] for task, values in columns.items()}
            samples.append(
                RawSample(
                    source=self.config.source,
                    image=self._image(path, line),
                    split=splits[line],
                    group=groups[line],
                    labels={task: label for task, label in labels.items() if label is not None},
                )
            )
        if not samples:
            raise UserError(f"no photos found in {self.table}: the table has no lines")
        yield from self.config.complete(samples, self.notes)

    def _splits(self) -> list[str]:
        """The split of each line; empty in all of them where splits are to be made.

        Raises:
            UserError: only some lines have one; the others would be used by nothing.
        """
        splits = [_split(cell) for cell in self.frame[self.split]] if self.split else [""] * len(self.frame)
        empty = [line for line, split in enumerate(splits, 2) if not split]
        if 0 < len(empty) < len(splits):
            raise UserError(
                f"{self.table}: line {empty[0]}: the split ({self.split!r}) is empty, as in {len(empty)} of {len(splits)} lines; "
                "fill it or drop those lines, or empty it in all for splits by hash"
            )
        if own := sorted({split for split in splits if split and split_name(split) is None}):
            self.notes["splits of other names, which only `--split NAME` reads"] = own
        return splits

    def _labels(self, task: str) -> list[Label | None]:
        """Cells of a column as numbers if all that are filled are numbers, else as text; None where empty."""
        texts = [_text(cell) for cell in self.frame[task]]
        numbers = [_number(text) for text in texts]
        known = sum(number is not None for number in numbers)
        others = [i for i, text in enumerate(texts) if text and numbers[i] is None and text.lower() not in MISSING]
        if known and not others:
            return list(numbers)
        if known > len(others):
            self.notes[f"{task}: numbers, but taken for texts"] = f"line {others[0] + 2} has {texts[others[0]]!r}"
        return [text or None for text in texts]

    def _image(self, cell: Any, line: int) -> str:
        path = _text(cell)
        if not path:
            raise UserError(f"{self.table}: line {line + 2}: the path ({self.path!r}) is empty")
        if "\\" in path and "/" not in path:
            path = path.replace("\\", "/")
        if os.path.isabs(path):
            path = os.path.relpath(path, self.root)
        return normalize_path(os.path.normpath(path))


def build(config: Config) -> DataFrame:
    """The dataset of a config."""
    return DataFrame(config)


def _find_table(config: Config) -> Path:
    if config.root.is_file():
        return config.root
    if not config.root.is_dir():
        raise UserError(f"{config.root}: no such folder or table; --root is the photos' folder or a CSV or Parquet file")
    if config.table is not None:
        path = config.table if config.table.is_absolute() else config.root / config.table
        if not path.is_file():
            raise UserError(f"{path}: no such table (dataset.table, relative to --root)")
        return path
    tables = sorted(p for p in config.root.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)
    if len(tables) != 1:
        found = ", ".join(p.name for p in tables) or "none"
        raise UserError(f"{config.root}: expected one CSV or Parquet table, found {found}; name it with --set dataset.table=FILE")
    return tables[0]


def _read(path: Path) -> pd.DataFrame:
    """The table; cells of text files as strings, empty ones as None."""
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
            if any(name is not None for name in frame.index.names):
                frame = frame.reset_index()
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except pd.errors.ParserWarning:
        raise UserError(f"{path}: its lines have more cells than its first, the header; name each column there") from None
    except UnicodeError as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); save it as UTF-8") from None
    except (OSError, ValueError) as error:  # pandas' and Arrow's parser errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a table ({error})") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    return frame


def _text(cell: Any) -> str:
    text = "" if cell is None or cell is pd.NA else str(cell).strip()
    return "" if text.lower() == "nan" else text


def _split(cell: Any) -> str:
    name = _text(cell)
    return split_name(name) or name


def _number(text: str) -> float | None:
    try:
        return number_of(text) if text else None
    except ValueError:
        return None

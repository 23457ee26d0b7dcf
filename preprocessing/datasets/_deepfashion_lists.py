"""DeepFashion's list files: a line with the number of entries, a line with the columns' names, an entry a line.

Enters: such a file, perhaps of hundreds of megabytes, read line by line. Leaves: names with their type, or a photo's path with
its values.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.errors import UserError


def read_names(path: Path) -> list[tuple[str, int]]:
    """Name and type of each entry of `list_*_cloth.txt`; names may hold spaces."""
    entries = []
    for where, line in _entries(path):
        *name, kind = line.split()
        if not name or not kind.isdecimal():
            raise UserError(f"{where}: expected a name and the number of its type, found {line[:60]!r}")
        entries.append((" ".join(name), int(kind)))
    return entries


def read_list(path: Path, count: int, kind: Callable[[str], Any] = int) -> Iterator[tuple[str, str, list[Any]]]:
    """Place, photo and its `count` values of each entry."""
    for where, line in _entries(path):
        image, *cells = line.split()
        try:
            values = [kind(cell) for cell in cells]
        except ValueError:
            values = []
        if len(values) != count:
            raise UserError(f"{where}: expected a photo and {count} values, found {line[:60]!r}")
        yield where, image, values


def read_states(path: Path, count: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Place, photo and its `count` values [count] int16 of each entry: as `read_list`, ten times faster for long lines."""
    for where, line in _entries(path):
        image, _, cells = line.partition(" ")
        try:
            values = np.fromstring(cells, dtype=np.int16, sep=" ")
        except ValueError:  # not numbers to the end
            values = np.zeros(0, np.int16)
        if len(values) != count:
            raise UserError(f"{where}: expected a photo and {count} values, found {line[:60]!r}")
        yield where, image, values


def image_lists(path: Path) -> Iterator[str]:
    """The photos of a split's list, which has neither count nor header."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from (line.strip() for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of photos ({error})") from None


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each entry.

    Raises:
        UserError: the file is not such a list, or has not as many entries as it says.
    """
    try:
        with path.open(encoding="utf-8") as file:
            stated = file.readline().strip()
            if not stated.isdecimal():
                raise UserError(f"{path}: line 1: expected the number of entries, found {stated[:60]!r}")
            file.readline()
            found = 0
            for number, line in enumerate(file, 3):
                if line.strip():
                    found += 1
                    yield f"{path}: line {number}", line.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of DeepFashion ({error})") from None
    if found != int(stated):
        raise UserError(f"{path}: says {stated} entries and has {found}; fetch the file again, or mend its first line")

"""DeepFashion's list files: a line with the number of entries, a line with the columns' names, an entry a line.

Enters: such a file, perhaps of hundreds of megabytes, read line by line; or a list of photos and a file that has the values of
the n-th photo in its n-th line, both without count and names. Leaves: names with their type, or a photo's path with its values.
"""

from collections.abc import Iterator
from pathlib import Path

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


def read_words(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, photo and its word of each entry."""
    for where, line in _entries(path):
        cells = line.split()
        if len(cells) != 2:
            raise UserError(f"{where}: expected a photo and a word, found {line[:60]!r}")
        yield where, cells[0], cells[1]


def read_states(path: Path, count: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Place, photo and its `count` values [count] int64 of each entry."""
    for where, line in _entries(path):
        image, _, cells = line.partition(" ")
        yield where, image, _states(cells, count, f"{where}: expected a photo and {count} values, found {line[:60]!r}")


def read_beside(photos: Path, values: Path, count: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """The same of a list of photos and a file with the values of each."""
    images, lines = list(plain_lines(photos)), list(plain_lines(values))
    if len(images) != len(lines):
        raise UserError(f"{values}: {len(lines)} lines for the {len(images)} photos of {photos.name}; fetch both again")
    for number, (image, line) in enumerate(zip(images, lines, strict=True), 1):
        where = f"{values}: line {number}"
        yield where, image, _states(line, count, f"{where}: expected {count} values, found {line[:60]!r}")


def plain_lines(path: Path) -> Iterator[str]:
    """The lines that are not empty of a file without count and header."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (line.strip() for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of DeepFashion ({error})") from None


def _states(cells: str, count: int, otherwise: str) -> np.ndarray:
    """Whole numbers [count] int64; an error where there are not so many. Ten times faster than `int` on a thousand."""
    try:
        values = np.fromstring(cells, dtype=np.int64, sep=" ")
    except ValueError:  # not numbers to the end
        values = np.zeros(0, np.int64)
    if len(values) != count:
        raise UserError(otherwise)
    return values


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each entry.

    Raises:
        UserError: the file is not such a list, or has not as many entries as it says.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
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

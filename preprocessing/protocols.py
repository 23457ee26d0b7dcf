"""Protocols: named split rules with the row counts that they must have, and a hash by which two copies of one are told apart.

Enters: lists from the user's copy (a folder or a ZIP), or the rows that a rule selected. Leaves: the lists' lines; the hash. A
protocol whose lists are absent or whose counts differ is unavailable: it is never approximated.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes

_SUFFIXES = (".txt", ".csv", ".lst", ".list")
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|idation|ing|$)")


@dataclass(frozen=True)
class Protocol:
    """A named split rule.

    Attributes:
        expected: rows per split as its authors have it, before val is taken from train; None where any number will do.
        lists: whether it is defined by lists; else by a rule over the published files.
        about: where it comes from.
    """

    expected: Mapping[str, int] | None
    lists: bool
    about: str


def protocol_hash(rows: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over sorted (path, split) lines: the same photos in the same splits have the same hash."""
    return sha256_bytes("".join(f"{path}\t{split}\n" for path, split in sorted(rows)).encode())


def check_counts(name: str, expected: Mapping[str, int] | None, splits: Iterable[str], source: Path) -> dict[str, int]:
    """Rows per split.

    Raises:
        UserError: they are not those of the protocol.
    """
    found = dict(sorted(Counter(splits).items()))
    if expected is not None and found != dict(expected):
        raise UserError(
            f"protocol {name} is unavailable: expected {_counts(expected)}, found {_counts(found)} in {source}; "
            f"complete that copy, or choose another dataset.protocol"
        )
    return found


def _counts(counts: Mapping[str, int]) -> str:
    order = {"train": 0, "val": 1, "test": 2}
    return ", ".join(f"{split} {counts[split]:,}" for split in sorted(counts, key=lambda s: (order.get(s, 3), s))) or "no rows"


def read_lists(name: str, source: Path | None, splits: Iterable[str]) -> dict[str, list[str]]:
    """The non-empty lines of each split's list.

    Args:
        name: of the protocol, for errors.
        source: a folder or a ZIP that holds one list per split, its file name telling the split (`train.txt`, `caer_test.csv`).
        splits: those that must be there; no others may be.

    Raises:
        UserError: no source is given, or it does not hold exactly these lists.
    """
    if source is None:
        raise UserError(
            f"protocol {name} is unavailable without its lists: name the folder or ZIP that holds them with dataset.lists "
            f"({', '.join(splits)}; lines such as train/Happy/0001.png,3,102,40,201,139)"
        )
    found: dict[str, list[str]] = {}
    for split, file, text in _texts(source):
        if split in found:
            raise UserError(f"{source}: more than one list of the split {split}, the second is {file}; keep one of each")
        found[split] = [line.strip() for line in text.splitlines() if line.strip()]
    if set(found) != set(splits):
        raise UserError(
            f"protocol {name} is unavailable: expected lists of {', '.join(splits)}, "
            f"found {', '.join(sorted(found)) or 'none'} in {source}"
        )
    return found


def _texts(source: Path) -> list[tuple[str, str, str]]:
    """Split, file name and text of each list in a folder or a ZIP."""
    try:
        if source.is_dir():
            return [(split, p.name, _text(p.read_bytes())) for p in sorted(source.iterdir()) if (split := _split(p.name))]
        with zipfile.ZipFile(source) as archive:
            return [(split, name, _text(archive.read(name))) for name in sorted(archive.namelist()) if (split := _split(name))]
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise UserError(f"{source}: cannot be read as a folder or ZIP of lists ({error}); name it with dataset.lists") from None


def _split(file: str) -> str:
    """The split that a list's file name tells, empty for other files."""
    name = PurePosixPath(file)
    match = _SPLIT.search(name.stem.lower())
    return match[1] if match and name.suffix.lower() in _SUFFIXES and not name.name.startswith(".") else ""


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig")

"""The library's file: what it holds, how it is read, written, and put together from the parts of a call that was killed.

Enters and leaves: Parquet files. Parts lie in a hidden folder beside the library, `.NAME.parts`, until they are merged.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caer.library.metadata import SCHEMA_VERSION, checked_meta
from caer.predict.table import answer_fields
from caer.tasks import Task
from preprocessing.errors import UserError
from preprocessing.files import write_atomic

FILE_FIELDS = [
    pa.field("path", pa.string()),
    pa.field("size", pa.int64()),
    pa.field("mtime_ns", pa.int64()),
    pa.field("checked_ns", pa.int64()),
    pa.field("sha256", pa.string()),
]


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is still the one that was indexed: size in bytes, times in ns, SHA-256 of its content."""

    size: int
    mtime_ns: int
    checked_ns: int = 0
    sha256: str = ""


@dataclass
class Library:
    """The content of a library.

    Attributes:
        table: the rows.
        root: the indexed folder.
        identity: which network answered, with which settings.
        forgotten: `paths` (files or folders, relative to the root) and `hashes` of files that are kept out.
    """

    table: pa.Table
    root: str
    identity: dict[str, Any]
    forgotten: dict[str, list[str]] = field(default_factory=lambda: {"paths": [], "hashes": []})

    def stamps(self) -> dict[str, Stamp]:
        """The stamp of every indexed photo."""
        columns = [self.table[f.name].to_pylist() for f in FILE_FIELDS]
        return {path: Stamp(*rest) for path, *rest in zip(*columns, strict=True)}

    def without(self, paths: Collection[str]) -> pa.Table:
        """The rows of all photos but these."""
        return self.table.filter(pc.invert(pc.is_in(self.table["path"], pa.array(paths, pa.string()))))


def library_schema(tasks: Mapping[str, Task]) -> pa.Schema:
    """The columns of a library whose network has these tasks."""
    return pa.schema(FILE_FIELDS + answer_fields(tasks))


def read_library(path: Path) -> Library:
    """Read a library, or a part of one.

    Raises:
        UserError: absent, damaged, no library, or of an unknown version.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a library, as `python -m caer index` writes it") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as a library ({error}); index again to another --out") from None
    meta = checked_meta((table.schema.metadata or {}).get(b"caer"), path)
    return Library(table.replace_schema_metadata(None), meta["root"], meta["identity"], meta["forgotten"])


def write_library(path: Path, library: Library) -> None:
    """Write a library, or a part of one, atomically; rows in the order of path and rank."""
    meta = {
        "schema_version": SCHEMA_VERSION,
        "root": library.root,
        "identity": library.identity,
        "forgotten": library.forgotten,
    }
    table = library.table.sort_by([("path", "ascending"), ("rank", "ascending")])
    packed = json.dumps(meta, ensure_ascii=False, sort_keys=True)
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"caer": packed}), buffer, compression="zstd")
    write_atomic(path, buffer.getvalue().to_pybytes())


def parts_folder(path: Path) -> Path:
    """Where a library's parts lie until they are merged."""
    return path.with_name(f".{path.name}.parts")


def read_with_parts(path: Path) -> Library | None:
    """The library with what a killed call has left beside it, but parts that cannot be read; None where there is nothing yet."""
    found = [read_library(path)] if path.exists() else []
    for part in sorted(parts_folder(path).glob("*.parquet")):
        try:
            found.append(read_library(part))
        except UserError:
            continue
    if not found:
        return None
    newest = found[0]
    for part_of in found[1:]:
        if part_of.identity == newest.identity and part_of.root == newest.root:
            newest = merged(newest, part_of.table)
    return newest


def merged(library: Library, rows: pa.Table) -> Library:
    """A library with rows added; those of the same photos go."""
    paths = pc.unique(rows["path"]).to_pylist()
    table = pa.concat_tables([library.without(paths), rows.cast(library.table.schema)])
    return Library(table, library.root, library.identity, library.forgotten)


def drop_parts(path: Path) -> None:
    """Remove the parts of a library that holds them now, and what a killed call left half-written."""
    for leftover in [
        *parts_folder(path).glob("*.parquet"),
        *parts_folder(path).glob(".*.tmp"),
        *path.parent.glob(f".{path.name}.*.tmp"),
    ]:
        leftover.unlink(missing_ok=True)


def rows_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema)

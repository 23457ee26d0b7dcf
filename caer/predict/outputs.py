"""Where answers go: JSON lines on standard output or in a file, or a Parquet file. A file appears when it is whole."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from caer.predict.answers import to_json
from caer.predict.predictor import Answered
from caer.predict.table import PLACE, answer_fields, answer_row, with_metadata
from caer.tasks import Task
from preprocessing.errors import UserError

ROWS_A_GROUP = 5000


class Writer(Protocol):
    """Takes answers photo by photo."""

    def write(self, answered: Answered) -> None:
        """Add a photo's answers."""
        ...


@contextmanager
def open_writer(out: Path | None, tasks: Mapping[str, Task], origin: Mapping[str, Any]) -> Iterator[Writer]:
    """A writer for `--out`.

    Args:
        out: `.jsonl` or `.parquet`; None for standard output.
        tasks: the network's tasks.
        origin: where the answers come from; stored in the Parquet file's metadata.

    Raises:
        UserError: another suffix, or a place that cannot be written to.
    """
    if out is None:
        yield _JsonLines(sys.stdout, tasks)
        return
    check_out(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".parquet":
            with _Parquet(temporary, tasks, origin) as parquet:
                yield parquet
        else:
            with temporary.open("w", encoding="utf-8") as file:
                yield _JsonLines(file, tasks)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def check_out(out: Path) -> None:
    """Raise `UserError` unless answers can be written under that name."""
    if out.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"--out {out}: expected a name that ends in .jsonl or .parquet")
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; name a file that ends in .jsonl or .parquet")


class _JsonLines:
    def __init__(self, file: TextIO, tasks: Mapping[str, Task]) -> None:
        self.file, self.tasks = file, tasks

    def write(self, answered: Answered) -> None:
        for face in answered.faces:
            line = json.dumps(to_json(answered.photo, face, self.tasks), ensure_ascii=False, allow_nan=False)
            self.file.write(line + "\n")
        self.file.flush()


class _Parquet:
    def __init__(self, path: Path, tasks: Mapping[str, Task], origin: Mapping[str, Any]) -> None:
        self.tasks = tasks
        fields = [pa.field(name, kind) for name, kind in PLACE] + answer_fields(tasks)
        self.schema = with_metadata(pa.schema(fields), {"schema_version": 1, "origin": dict(origin)})
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> "_Parquet":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self._flush()
        finally:
            self.file.close()

    def write(self, answered: Answered) -> None:
        photo = answered.photo
        place = {"path": photo.path, "frame": photo.frame, "time": photo.time}
        self.rows += [place | answer_row(face, self.tasks) for face in answered.faces]
        if len(self.rows) >= ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self.rows:
            self.file.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows = []

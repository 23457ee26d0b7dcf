"""Questions to a library: a condition on its columns, answered by DuckDB.

Enters: a library and a condition such as `emotion = 'smile' and age = 'child'`. Leaves: rows. The condition may come from
anybody: `caer.library.conditions` lets nothing pass but an expression over the columns, and then it runs on a copy in memory, in
a database that may open no file and load no extension, with bounds on memory and time. Imports nothing heavy but DuckDB, so that
a question costs less than a second.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caer.library.conditions import check_condition, duck_errors, one_line
from preprocessing.errors import UserError

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
SECONDS = 30.0


class LibraryQuery:
    """An open library.

    Args:
        path: the library.

    Attributes:
        root: the indexed folder, which the rows' paths are relative to.
        columns: names of the columns.
        meta: the library's metadata.

    Raises:
        UserError: no library there, or DuckDB is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = _connect()
        self.meta = self._load()
        self.root = Path(self.meta["root"])
        found = self._connection.execute("SELECT column_name FROM (DESCRIBE library)").fetchall()
        self.columns = [name for (name,) in found]
        self._lock()

    def _load(self) -> dict[str, Any]:
        from caer.library.metadata import checked_meta

        if not self.path.is_file():
            raise UserError(f"{self.path}: no such file; expected a library, as `python -m caer index` writes it")
        duck, name = self._connection, str(self.path.resolve())
        try:
            found = duck.execute("SELECT value FROM parquet_kv_metadata(?) WHERE key = 'caer'", [_escaped(name)]).fetchall()
            meta = checked_meta(found[0][0] if found else None, self.path)
            duck.execute("CREATE TABLE library AS SELECT * FROM read_parquet(?)", [_escaped(name)])
        except duck_errors() as error:
            raise UserError(f"{self.path}: cannot be read as a library ({one_line(error)}); index again") from None
        return meta

    def _lock(self) -> None:
        """From here on the database reaches nothing outside, and nobody can change that."""
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def rows(self, where: str = "true", limit: int | None = None, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows that meet a condition, in the order of path and rank.

        Args:
            where: the condition.
            limit: at most so many.
            columns: only these; all where none are given.

        Raises:
            UserError: for a condition that may not be asked, or that asks for columns that are not there.
        """
        names = ", ".join(quoted(name) for name in columns) or "*"
        return self._run(f"SELECT {names} FROM library WHERE (\n{where}\n) ORDER BY path, rank", where, limit)

    def photos(self, where: str = "true", limit: int | None = None) -> list[str]:
        """Paths, relative to the root, of the photos with a row that meets a condition; each once, sorted."""
        found = self._run(f"SELECT DISTINCT path FROM library WHERE (\n{where}\n) ORDER BY path", where, limit)
        return [row["path"] for row in found]

    def _run(self, statement: str, where: str, limit: int | None) -> list[dict[str, Any]]:
        check_condition(self._connection, where)
        bounded = statement if limit is None else f"{statement} LIMIT {int(limit)}"
        with self._timed():
            try:
                result = self._connection.execute(bounded)
                names = [entry[0] for entry in result.description]
                return [dict(zip(names, values, strict=True)) for values in result.fetchall()]
            except duck_errors() as error:
                raise UserError(f"--where {where!r}: {one_line(error)}; columns: {', '.join(self.columns)}") from None

    @contextmanager
    def _timed(self) -> Iterator[None]:
        timer = threading.Timer(SECONDS, self._connection.interrupt)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _connect() -> "duckdb.DuckDBPyConnection":
    try:
        import duckdb
    except ImportError:
        raise UserError("`search` needs duckdb, which is optional: pip install -r requirements-app.txt") from None
    options: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        "memory_limit": MEMORY,
        "temp_directory": "",
        "threads": max(1, min(4, os.cpu_count() or 1)),
    }
    return duckdb.connect(":memory:", config=options)


def quoted(name: str) -> str:
    """A column's name as a condition may write it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(name: str) -> str:
    """A file's name that DuckDB does not take for a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)

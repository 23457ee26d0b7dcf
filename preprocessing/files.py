"""Files that are whole or absent: atomic writes, hashes, and one writer per folder."""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from preprocessing.errors import UserError


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill at any moment, sees either the old content or the new."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError:  # a full disk is not filled further by half a file
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically: sorted keys, two-space indent, Unicode kept."""
    write_atomic(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path, expected: str) -> Any:
    """Read JSON; `expected` says in an error what the file should have been.

    Raises:
        UserError: missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as {expected} ({error})") from None


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns: another stamp, another content. Zeros where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def file_within(folder: Path, name: object) -> Path | None:
    """A file that a foreign table names, links resolved, if it lies in the folder, whatever its name says; else None."""
    if not isinstance(name, str):
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, with a null byte, links in a circle
        return None


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of bytes in lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file in lower-case hex, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_held: set[TextIO] = set()


def _let_go() -> None:
    for file in _held:
        os.close(file.fileno())
    _held.clear()


# A lock lives as long as any copy of its descriptor: forked workers must not keep it beyond their parent's death.
os.register_at_fork(after_in_child=_let_go)


@contextmanager
def sole_writer(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Hold `folder/.lock`; the lock goes with the process, however it ends. With `wait`, wait for another holder.

    Raises:
        UserError: another process holds it; the message names the holder.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 (open as long as the lock)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(f"{folder}: {holder} is writing there; wait for it or choose another folder") from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)
            fcntl.flock(file, fcntl.LOCK_UN)

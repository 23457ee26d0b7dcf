"""`python -m caer index`: a folder of photos -> a library, kept up to date.

Enters: a run, a folder, the library's path. Leaves: the library with a row a face. Only new and changed photos are looked at:
a file is unchanged if its size and time of change are; on doubt (another time, or one so young that a later change might not
show) its content decides. Rows of deleted photos go. A killed call loses at most `PART_PHOTOS` photos of work.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caer.library.forget import forgets
from caer.library.store import (
    Library,
    Stamp,
    drop_parts,
    library_schema,
    merged,
    parts_folder,
    read_with_parts,
    rows_table,
    write_library,
)
from caer.predict.predictor import Predictor
from caer.predict.sources import Photo, shown
from caer.predict.table import answer_row
from preprocessing.datasets.base import find_photos
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, sole_writer
from preprocessing.progress import progress

PART_PHOTOS = 200
"""After so many photos, or `PART_SECONDS`, what was answered is written down."""
PART_SECONDS = 30.0
YOUNG_NS = 3_000_000_000
"""A file changed less than this before it was read may change again within the same tick of the file system's clock."""


@dataclass
class Update:
    """What a call did: counts of photos."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    dropped: int = 0
    forgotten: int = 0
    rows: int = 0
    ignored: Counter[str] | None = None


def update_library(run: str | Path, folder: Path, out: Path, predictor: Predictor | None = None) -> Update:
    """Bring a library up to date with its folder.

    Args:
        run: a run's folder, or an `.onnx` file.
        folder: searched for photos.
        out: the library; made where it is absent.
        predictor: of that run, where there is one already.

    Raises:
        UserError: no such folder or no photo in it, or a library of another folder or another network.
    """
    _check_places(folder, out)
    photos, ignored = find_photos(folder)
    if not photos:
        raise UserError(f"{folder}: no photos found there; is it the right folder, and is its disk connected?")
    predictor = predictor or Predictor(run)
    schema, identity = library_schema(predictor.tasks), _identity(predictor)
    with sole_writer(parts_folder(out)):
        found = read_with_parts(out)
        library = found or Library(rows_table([], schema), os.path.realpath(folder), identity)
        _check_same(library, folder, out, identity)
        library.root = os.path.realpath(folder)
        plan = _plan(library, folder, photos)
        plan.update.ignored = ignored
        new = _answer(plan, library, predictor, out)
        library = merged(_restamped(library, plan), rows_table(new, schema))
        plan.update.rows = library.table.num_rows
        write_library(out, library)
        drop_parts(out)
    return plan.update


def _check_places(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected the folder of photos to index")
    if out.suffix != ".parquet" or out.is_dir():
        raise UserError(f"--out {out}: expected the name of a file that ends in .parquet")


def _identity(predictor: Predictor) -> dict[str, Any]:
    """What the answers depend on: photos answered by another network would not compare."""
    return {
        "network": predictor.network.origin,
        "settings": predictor.settings.model_dump(mode="json"),
        "temperatures": predictor.temperatures,
    }


def _check_same(library: Library, folder: Path, out: Path, identity: dict[str, Any]) -> None:
    if library.identity != identity:
        made_by = library.identity.get("network", {})
        raise UserError(
            f"{out}: its photos were answered by {made_by.get('name')} seed {made_by.get('seed')} stage {made_by.get('stage')} "
            f"(or with other settings, or calibrated otherwise); choose another --out, or delete it to answer all photos again"
        )
    if library.root != os.path.realpath(folder) and Path(library.root).is_dir():
        raise UserError(f"{out}: is the library of {library.root}; choose another --out for {folder}")


@dataclass
class _Plan:
    """What is to be done with which photo."""

    folder: Path
    todo: list[tuple[str, str, Stamp]]
    """Name on disk, name in the library, stamp."""
    restamp: dict[str, Stamp]
    """Photos that have another time but the same content."""
    gone: list[str]
    update: Update


def _plan(library: Library, folder: Path, photos: Sequence[str]) -> _Plan:
    known = library.stamps()
    plan = _Plan(folder, [], {}, [], Update())
    present = set()
    for name in photos:
        path = shown(name)
        now = _stamp(folder / name)
        if now is None or forgets(library.forgotten, path, ""):
            plan.update.forgotten += now is not None
            continue
        present.add(path)
        before = known.get(path)
        if before is not None and _same(before, now, folder / name, path, plan):
            plan.update.unchanged += 1
            continue
        plan.todo.append((name, path, now))
        plan.update.added += before is None
        plan.update.changed += before is not None
    plan.gone = [path for path in known if path not in present]
    plan.update.dropped = len(plan.gone)
    return plan


def _same(before: Stamp, now: Stamp, file: Path, path: str, plan: _Plan) -> bool:
    """Whether a file is the one that was indexed; notes a new stamp where only its content could tell."""
    if before.size != now.size:
        return False
    if before.mtime_ns == now.mtime_ns and before.mtime_ns + YOUNG_NS < before.checked_ns:
        return True
    content = _hash(file)
    if content != before.sha256:
        return False
    plan.restamp[path] = replace(now, sha256=content)
    return True


def _stamp(file: Path) -> Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None  # deleted while we looked, or a link to nowhere
    return Stamp(status.st_size, status.st_mtime_ns, time.time_ns())


def _hash(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError:
        return ""  # unreadable: the answer says so


def _answer(plan: _Plan, library: Library, predictor: Predictor, out: Path) -> list[dict[str, Any]]:
    """Rows of the photos to look at; every now and then those since the last time are written as a part."""
    schema = library_schema(predictor.tasks)
    rows: list[dict[str, Any]] = []
    written, begun, last = 0, len(list(parts_folder(out).glob("*.parquet"))), time.monotonic()
    stamps: dict[str, Stamp] = {}
    photos = 0
    with progress(len(plan.todo), "photos") as bar:
        for answered in predictor.predict_many(_photos(plan, library, stamps)):
            place = _place(answered.photo.path, stamps.pop(answered.photo.path))
            rows += [place | answer_row(face, predictor.tasks) for face in answered.faces]
            photos += 1
            if photos % PART_PHOTOS == 0 or time.monotonic() - last > PART_SECONDS:
                part = replace(library, table=rows_table(rows[written:], schema))
                write_library(parts_folder(out) / f"{begun:06d}.parquet", part)
                begun, written, last = begun + 1, len(rows), time.monotonic()
            bar.advance(1)
    return rows


def _photos(plan: _Plan, library: Library, stamps: dict[str, Stamp]) -> Iterator[Photo]:
    """The photos to look at but copies of forgotten ones; notes the stamp of each."""
    for name, path, stamp in plan.todo:
        stamps[path] = replace(stamp, sha256=_hash(plan.folder / name))
        if forgets(library.forgotten, path, stamps[path].sha256):
            plan.update.forgotten += 1
            plan.update.added -= 1
            plan.gone.append(path)
            continue
        yield Photo(path, name, plan.folder / name)


def _place(path: str, stamp: Stamp) -> dict[str, Any]:
    return {"path": path, **vars(stamp)}


def _restamped(library: Library, plan: _Plan) -> Library:
    """The library without deleted photos, and with the new times of those whose content is the same."""
    kept = replace(library, table=library.without([*plan.gone, *plan.restamp]))
    if not plan.restamp:
        return kept
    rows = [
        row | _place(row["path"], plan.restamp[row["path"]]) for row in library.table.to_pylist() if row["path"] in plan.restamp
    ]
    return merged(kept, rows_table(rows, library.table.schema))

"""`python -m caer index ... --forget PATH`: take photos out of a library and keep them out.

A forgotten file stays out under its path and, should it turn up under another, by its content. Folders are forgotten with all
they hold, now and later.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from caer.library.store import Library, drop_parts, parts_folder, read_with_parts, write_library
from caer.predict.sources import shown
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, sole_writer


def forgets(forgotten: Mapping[str, Sequence[str]], path: str, sha256: str) -> bool:
    """Whether a photo is kept out, by its path or by its content."""
    return sha256 in forgotten["hashes"] or any(path == p or path.startswith(f"{p}/") for p in forgotten["paths"])


def forget(folder: Path, out: Path, paths: Sequence[Path]) -> int:
    """Take photos out of a library.

    Args:
        folder: the indexed folder.
        out: the library.
        paths: photos or folders: as `search` prints them, or relative to the folder.

    Returns:
        How many rows went.

    Raises:
        UserError: no library there, or a path that is neither in it nor in the folder; nothing is then forgotten.
    """
    with sole_writer(parts_folder(out)):
        library = read_with_parts(out)
        if library is None:
            raise UserError(f"{out}: no such library; there is nothing to forget")
        stamps = library.stamps()
        wanted = [_relative(path, folder, library) for path in paths]
        keep_out = {"paths": sorted({*library.forgotten["paths"], *wanted}), "hashes": library.forgotten["hashes"]}
        gone = [path for path in stamps if forgets({"paths": wanted, "hashes": []}, path, "")]
        for path, name in zip(paths, wanted, strict=True):
            if name not in gone and not any(p.startswith(f"{name}/") for p in gone) and not (folder / name).exists():
                raise UserError(
                    f"--forget {path}: is neither in {out} nor in {folder}; name a photo or folder as `search` prints it"
                )
        hashes = {stamps[path].sha256 for path in gone} | {_hash(folder / name) for name in wanted}
        keep_out["hashes"] = sorted({*library.forgotten["hashes"], *hashes} - {""})
        copies = [path for path, stamp in stamps.items() if stamp.sha256 in keep_out["hashes"]]
        left = library.without([*gone, *copies])
        write_library(out, replace(library, table=left, forgotten=keep_out))
        drop_parts(out)
    return library.table.num_rows - left.num_rows


def _relative(path: Path, folder: Path, library: Library) -> str:
    """A path as the library writes it."""
    for root in (os.path.abspath(folder), library.root):
        absolute = os.path.abspath(path)
        if os.path.isabs(path) or os.path.lexists(path):
            inside = os.path.relpath(absolute, root)
            if not inside.startswith(".."):
                return _not_all(shown(inside), path)
    return _not_all(shown(os.path.normpath(path)), path)


def _not_all(name: str, path: Path) -> str:
    if name == "." or name.startswith(".."):
        raise UserError(
            f"--forget {path}: expected a photo or folder inside the indexed folder; delete the library to forget all"
        )
    return name


def _hash(file: Path) -> str:
    try:
        return sha256_file(file) if file.is_file() else ""
    except OSError:
        return ""

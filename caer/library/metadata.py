"""What a library says about itself: read without anything heavy, by the index and by the search."""

import json
from pathlib import Path
from typing import Any

from preprocessing.errors import UserError

SCHEMA_VERSION = 1


def checked_meta(packed: bytes | str | None, path: Path) -> dict[str, Any]:
    """The metadata of a library.

    Raises:
        UserError: they are not those of a library, or of an unknown version.
    """
    try:
        meta = json.loads(packed or b"")
        version, _ = meta["schema_version"], (meta["root"], meta["identity"], meta["forgotten"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is no library; expected a file that `python -m caer index` wrote") from None
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version {version!r} is unknown; this code reads {SCHEMA_VERSION}")
    return meta

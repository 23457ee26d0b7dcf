"""The manifest: one row per sample in Parquet, with a JSON sidecar. What training, evaluation and review read.

Enters: rows as plain dicts. Leaves: `manifest.parquet` and `manifest.json`; back as a `Manifest`. File names are relative to
its folder.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.errors import UserError
from preprocessing.files import read_json, write_json

if TYPE_CHECKING:  # a worker process does without it
    import pandas as pd

SCHEMA_VERSION = 1
Row = dict[str, Any]

_BOX = pa.list_(pa.float32())
_COLUMNS = [
    *((name, pa.string()) for name in ("sample_id", "source", "image", "split", "group")),
    *((name, pa.int32()) for name in ("rank", "width", "height")),
    *((name, _BOX) for name in ("box", "landmarks")),
    ("score", pa.float32()),
    ("all_boxes", _BOX),
    ("n_faces", pa.int32()),
    *((name, pa.string()) for name in ("status", "reason", "face_file")),
    *((name, _BOX) for name in ("face_box", "face_landmarks")),
    ("image_file", pa.string()),
    *((name, _BOX) for name in ("image_box", "image_boxes")),
]


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory.

    Attributes:
        rows: one row per sample; columns as in `schema`.
        meta: the sidecar: schema version, row hash, dataset, settings, root, counts, versions.
        folder: what `face_file` and `image_file` are relative to.
    """

    rows: "pd.DataFrame"
    meta: dict[str, Any]
    folder: Path

    @property
    def tasks(self) -> list[str]:
        """Names of the annotated tasks."""
        return [c.removeprefix("label_") for c in self.rows.columns if c.startswith("label_")]


def schema(label_types: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema with one `label_<task>` column per task, `string` or `double`."""
    labels = [(f"label_{task}", getattr(pa, {"double": "float64"}.get(kind, kind))()) for task, kind in label_types.items()]
    return pa.schema([*_COLUMNS, *labels])


def normalize_path(path: str) -> str:
    """A path as the manifest writes it: POSIX separators, Unicode NFC, always encodable."""
    return unicodedata.normalize("NFC", path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def sample_id(source: str, image: str, rank: int) -> str:
    """SHA-256 of source, NFC POSIX path and face rank: the same on every machine and with every detector."""
    return hashlib.sha256(f"{source}\n{normalize_path(image)}\n{rank}".encode()).hexdigest()


class RowHash:
    """SHA-256 over rows in their order, taken in piece by piece."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, rows: Iterable[Row]) -> None:
        """Take in rows; of floats, float32 precision counts."""
        for row in rows:
            self._hash.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")

    def hexdigest(self) -> str:
        """The hash so far, lower-case hex."""
        return self._hash.hexdigest()


def row_hash(rows: "pd.DataFrame") -> str:
    """The hash of a whole manifest's rows, as its sidecar states it."""
    result = RowHash()
    result.update(_plain(row) for row in rows.to_dict("records"))
    return result.hexdigest()


def _plain(row: Mapping[Any, Any]) -> Row:
    """A row from pandas with arrays as lists and absent values as None."""
    return {str(k): _plain_value(v) for k, v in row.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def read_label_types(path: Path) -> dict[str, str]:
    """Task -> `string` or `double`, of a manifest or a part."""
    fields = [field for field in pq.read_schema(path) if field.name.startswith("label_")]
    return {field.name.removeprefix("label_"): str(field.type) for field in fields}


def write_part(path: Path, rows: list[Row], label_types: Mapping[str, str]) -> None:
    """Write some rows as one Parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema(label_types)), temporary)
    temporary.replace(path)


def read_part(path: Path) -> list[Row]:
    """The rows of `write_part`."""
    return pq.ParquetFile(path).read().to_pylist()


def write_manifest(
    folder: Path, parts: Iterable[list[Row]], label_types: Mapping[str, str], meta: dict[str, Any], stem: str = "manifest"
) -> dict[str, Any]:
    """Write `manifest.parquet`, then `manifest.json`, from pieces that need not fit into memory together.

    Args:
        folder: what the rows' files are relative to.
        parts: rows.
        label_types: task -> `string` or `double`.
        meta: the sidecar's content.
        stem: another name than `manifest`, for a second manifest of the same pictures.

    Returns:
        The sidecar: `meta` with `schema_version` and `row_hash`.
    """
    hashed = RowHash()
    temporary = folder / f".{stem}.parquet.tmp"
    with pq.ParquetWriter(temporary, schema(label_types)) as writer:
        waiting: list[Row] = []
        for rows in parts:
            table = pa.Table.from_pylist(rows, schema(label_types))
            hashed.update(table.to_pylist())
            waiting += rows
            if len(waiting) >= 4096:
                writer.write_table(pa.Table.from_pylist(waiting, schema(label_types)))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema(label_types)))
    meta = {**meta, "schema_version": SCHEMA_VERSION, "row_hash": hashed.hexdigest()}
    (folder / f"{stem}.json").unlink(missing_ok=True)  # never a sidecar beside rows that it does not describe
    temporary.replace(folder / f"{stem}.parquet")
    write_json(folder / f"{stem}.json", meta)
    return meta


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest and its sidecar.

    Args:
        path: `manifest.parquet`, or the folder that holds it.

    Raises:
        UserError: absent, unreadable, unfinished, or of an unknown schema version.
    """
    path = Path(path)
    path = path / "manifest.parquet" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a manifest, made by scripts/preprocess.sh")
    meta = read_json(path.with_suffix(".json"), "the manifest's sidecar")
    version = meta.get("schema_version") if isinstance(meta, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: manifest schema_version {version!r} is unknown; this code reads {SCHEMA_VERSION}; preprocess anew"
        )
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error}); preprocess anew") from None
    absent = [name for name, _ in _COLUMNS if name not in table.column_names]
    if absent:
        raise UserError(f"{path}: columns {', '.join(absent)} are absent; it is no manifest of this code")
    return Manifest(rows=table.to_pandas(), meta=meta, folder=path.parent)

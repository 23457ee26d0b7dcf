"""A manifest with the clusters of its pictures.

Enters: a manifest. Leaves: its rows with `copy`, `cluster` and `unit`, numbers that rows share whose photos are equal pixel for
pixel, near duplicates, or must share a split: near duplicates, one group, or both in turn. Reading the rows and reading the
photos are two steps: the second takes minutes where there are many.

Compared are the stored photos (`image_file`): whole, unmasked, reduced to a short side of at most 256 px. Originals that are
equal are stored equal, since preprocessing is deterministic.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preprocessing.errors import UserError
from preprocessing.fingerprint import Fingerprint, copies, near_duplicates, read_fingerprint
from preprocessing.manifest import Manifest, read_manifest, row_hash
from preprocessing.progress import progress

_TEXTS = ("sample_id", "source", "image", "split", "group", "status", "face_file", "image_file")

_PIECE = 256
"""Photos between two signs of progress."""


@dataclass(frozen=True)
class Pictures:
    """A manifest, and its rows with `copy`, `cluster` and `unit` (int64)."""

    manifest: Manifest
    rows: pd.DataFrame


def read_audited(path: str | Path) -> Manifest:
    """Read a manifest whose rows can be relied on; their numbers are 0, 1, 2, ...

    Raises:
        UserError: no manifest, or rows that are not those of its sidecar or lack a text.
    """
    manifest = read_manifest(path)
    rows = manifest.rows.reset_index(drop=True)
    _check_texts(rows, path)
    if row_hash(rows) != manifest.meta.get("row_hash"):
        raise UserError(f"{path}: its rows are not those that its sidecar describes (row_hash differs); preprocess anew")
    return replace(manifest, rows=rows)


def compare_pictures(manifest: Manifest, threads: int = 4) -> Pictures:
    """Read and compare the photos of a manifest that `read_audited` gave.

    Raises:
        UserError: photos that are absent or damaged.
    """
    rows = manifest.rows
    codes, files = pd.factorize(rows["image_file"].mask(rows["image_file"] == ""))
    prints = _fingerprints(manifest.folder, files, threads)
    alone = np.arange(len(files), len(files) + len(rows))  # rows without a picture
    photos = {"copy": copies(prints), "cluster": near_duplicates(prints)}
    rows = rows.assign(
        **{name: np.where(codes < 0, alone, number[codes]) for name, number in photos.items()}
        if len(files)
        else dict.fromkeys(photos, alone)
    )
    return Pictures(manifest, rows.assign(unit=_units(rows)))


def _check_texts(rows: pd.DataFrame, path: str | Path) -> None:
    """Refuse rows without a text where an empty one would say that there is none: they would neither leak nor be clean."""
    for column in _TEXTS:
        lacking = rows["sample_id"][rows[column].isna()]
        if len(lacking):
            raise UserError(
                f"{path}: {len(lacking)} of {len(rows)} rows have null as {column}, first sample {lacking.iloc[0]}; expected a "
                f"text, empty where there is none; write the manifest with '' there"
            )


def _fingerprints(folder: Path, files: Sequence[str], threads: int) -> list[Fingerprint]:
    prints: list[Fingerprint] = []
    absent = []
    with ThreadPoolExecutor(threads) as pool, progress(len(files), "photos") as shown:
        for start in range(0, len(files), _PIECE):
            piece = files[start : start + _PIECE]
            for file, found in zip(piece, pool.map(lambda file: read_fingerprint(folder / file), piece), strict=True):
                if found is None:
                    absent.append(file)
                else:
                    prints.append(found)
            shown.advance(len(piece))
    if absent:
        raise UserError(
            f"{folder}: {len(absent)} of {len(files)} photos that the manifest names are absent or damaged, first {absent[0]}; "
            f"run the same preprocessing again, which makes them anew"
        )
    return prints


def _units(rows: pd.DataFrame) -> np.ndarray:
    """Connected components of the rows under `same cluster` and `same group of the same source`."""
    n = len(rows)
    groups = (rows["source"] + "\0" + rows["group"]).mask(rows["group"] == "")
    group = pd.factorize(groups)[0]
    clusters, cluster = np.unique(rows["cluster"], return_inverse=True)
    grouped = np.flatnonzero(group >= 0)
    ends = np.concatenate([n + cluster, n + len(clusters) + group[grouped]])
    starts = np.concatenate([np.arange(n), grouped])
    size = n + len(clusters) + int(group.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(ends), dtype=bool), (starts, ends)), shape=(size, size))
    labels: np.ndarray = connected_components(graph, directed=False)[1]
    return labels[:n].astype(np.int64)

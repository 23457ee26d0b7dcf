"""Copies and near duplicates among photos: a hash of the pixels, perceptual hashes to find candidates, a thumbnail to judge them.

Enters: photo files. Leaves: for each the number of its cluster. Photos are copies where all their pixels are equal. They are near
duplicates where the 64-bit pHash of one differs from that of the other, or of its mirror image, in at most `DISTANCE` bits and
the details of their thumbnails correlate by at least `CORRELATION`; so are the duplicates of a duplicate. That covers resaving,
rescaling, brightness, mirroring and crops of a few percent; docs/audit.md has the measured shares.

The correlation leaves out what varies slowly: faces framed alike, or lit alike, agree in that and in little else.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preprocessing.hamming import close_pairs
from preprocessing.images import ImageError, read_image

DISTANCE = 10
CORRELATION = 0.9
SIDE = 16
_SMOOTHING = 2.0
"""Standard deviation, in thumbnail pixels, of the Gaussian whose result does not count as detail."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of one photo.

    Attributes:
        pixels: SHA-256 of size and pixels, hex.
        hash, mirrored: 64-bit pHash of the photo and of its mirror image.
        detail: (SIDE * SIDE,) float32 thumbnail without its slow changes, mean 0 and norm 1; None for a photo without contrast.
    """

    pixels: str
    hash: int
    mirrored: int
    detail: np.ndarray | None


def fingerprint(image: np.ndarray) -> Fingerprint:
    """The fingerprint of [H, W, 3] uint8 RGB pixels."""
    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_AREA)
    return Fingerprint(digest.hexdigest(), _phash(small), _phash(small[:, ::-1]), _detail(small))


def _phash(grey: np.ndarray) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(Image.fromarray(grey)).hash).tobytes(), "little")


def _detail(grey: np.ndarray) -> np.ndarray | None:
    values = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if values.std() <= 1:  # below one grey level there is nothing to compare
        return None
    values -= cv2.GaussianBlur(values, (0, 0), _SMOOTHING)
    values -= values.mean()
    norm = float(np.linalg.norm(values))
    return (values / norm).ravel() if norm else None


def read_fingerprint(path: str | Path) -> Fingerprint | None:
    """The fingerprint of a photo file; None where there is no picture."""
    try:
        return fingerprint(read_image(path))
    except ImageError:
        return None


def clusters(paths: Sequence[str | Path], threads: int = 4) -> np.ndarray:
    """Number the clusters of copies and near duplicates among photo files.

    Returns:
        (N,) int64: the index of the first photo of each photo's cluster; its own where it has no duplicate, or is unreadable.
    """
    with ThreadPoolExecutor(threads) as pool:
        prints = list(pool.map(read_fingerprint, paths))
    return near_duplicates(prints)


def copies(prints: Sequence[Fingerprint | None]) -> np.ndarray:
    """(N,) int64: the index of the first photo with the same pixels."""
    first: dict[str, int] = {}
    return np.array([i if p is None else first.setdefault(p.pixels, i) for i, p in enumerate(prints)], dtype=np.int64)


def near_duplicates(prints: Sequence[Fingerprint | None]) -> np.ndarray:
    """(N,) int64: the index of the first photo of each photo's cluster of copies and near duplicates."""
    first = copies(prints)
    usable = [i for i, p in enumerate(prints) if p is not None and p.detail is not None and first[i] == i]
    labels = np.arange(len(prints))
    if usable:
        labels[usable] = np.array(usable)[_joined([prints[i] for i in usable])]  # type: ignore[misc]
    return labels[first]


def _joined(prints: Sequence[Fingerprint]) -> np.ndarray:
    """(N,) the first member of each fingerprint's connected component."""
    hashes = np.array([p.hash for p in prints], dtype=np.uint64)
    mirrored = np.array([p.mirrored for p in prints], dtype=np.uint64)
    details = np.stack([p.detail for p in prints if p.detail is not None])
    flipped = details.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(details), -1)
    labels = np.arange(len(prints))
    for probes, thumbnails in ((hashes, details), (mirrored, flipped)):
        for left, right in close_pairs(hashes, probes, DISTANCE):
            apart = labels[left] != labels[right]  # what hangs together already need not be looked at
            i, j = left[apart], right[apart]
            alike = np.einsum("nd,nd->n", details[i], thumbnails[j]) >= CORRELATION
            labels = _merged(labels, i[alike], j[alike])
    return labels


def _merged(labels: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Labels after joining the components of things i and j; a label is the number of a component's first thing."""
    if not len(i):
        return labels
    n = len(labels)
    graph = coo_array((np.ones(len(i), dtype=bool), (labels[i], labels[j])), shape=(n, n))
    component = connected_components(graph, directed=False)[1]
    _, first = np.unique(component[labels], return_index=True)
    return first[np.searchsorted(np.unique(component[labels]), component[labels])]

"""Copies and near duplicates among photos: a hash of the pixels, perceptual hashes to find candidates, thumbnails to judge them.

Enters: photo files. Leaves: for each the number of its cluster. Photos are copies where all their pixels are equal. They are near
duplicates where the 64-bit pHash of one differs from that of the other, or of its mirror image, in at most `DISTANCE` bits and
their thumbnails, one moved onto the other, agree by at least `AGREEMENT` in every part; so are the duplicates of a duplicate.
That covers resaving, rescaling, brightness, mirroring and crops of a few percent; docs/audit.md has the measured shares.
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

from preprocessing.hamming import close_pairs
from preprocessing.images import ImageError, read_image
from preprocessing.registration import agreement

DISTANCE = 10
AGREEMENT = 0.8
SIDE = 48
"""Pixels of a thumbnail's side."""
_ROUGH, _ROUGH_SIDE, _SMOOTHING = 0.7, 16, 2.0
"""Candidates whose small thumbnails, without slow changes, correlate less than `_ROUGH` are not worth moving."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of one photo.

    Attributes:
        pixels: SHA-256 of size and pixels, hex.
        hash, mirrored: 64-bit pHash of the photo and of its mirror image.
        thumbnail: [SIDE, SIDE] uint8 grey.
    """

    pixels: str
    hash: int
    mirrored: int
    thumbnail: np.ndarray

    @property
    def flat(self) -> bool:
        """Whether it varies by no more than a grey level: there is nothing to compare."""
        return float(self.thumbnail.std()) <= 1


def fingerprint(image: np.ndarray) -> Fingerprint:
    """The fingerprint of [H, W, 3] uint8 RGB pixels."""
    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return Fingerprint(digest.hexdigest(), _phash(thumbnail), _phash(thumbnail[:, ::-1]), thumbnail)


def _phash(grey: np.ndarray) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(Image.fromarray(grey)).hash).tobytes(), "little")


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
    usable = [i for i, p in enumerate(prints) if p is not None and not p.flat and first[i] == i]
    labels = np.arange(len(prints))
    if usable:
        labels[usable] = np.array(usable)[_joined([prints[i] for i in usable])]  # type: ignore[misc]
    return labels[first]


def _joined(prints: Sequence[Fingerprint]) -> np.ndarray:
    """(N,) the first member of each fingerprint's connected component."""
    hashes = np.array([p.hash for p in prints], dtype=np.uint64)
    mirrored = np.array([p.mirrored for p in prints], dtype=np.uint64)
    thumbnails = np.stack([p.thumbnail for p in prints])
    labels = np.arange(len(prints))
    for probes, shown in ((hashes, thumbnails), (mirrored, thumbnails[:, :, ::-1])):
        rough = _rough(thumbnails), _rough(shown)
        for left, right in close_pairs(hashes, probes, DISTANCE):
            alike = np.einsum("nd,nd->n", rough[0][left], rough[1][right]) >= _ROUGH
            for i, j in zip(left[alike], right[alike], strict=True):
                if labels[i] != labels[j] and agreement(thumbnails[i], shown[j]) >= AGREEMENT:
                    labels[labels == max(labels[i], labels[j])] = min(labels[i], labels[j])
    return labels


def _rough(thumbnails: np.ndarray) -> np.ndarray:
    """[N, _ROUGH_SIDE ** 2] float32: small thumbnails without their slow changes, mean 0 and norm 1."""
    values = np.stack([_details(thumbnail).ravel() for thumbnail in thumbnails])
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _details(thumbnail: np.ndarray) -> np.ndarray:
    small = cv2.resize(np.ascontiguousarray(thumbnail), (_ROUGH_SIDE, _ROUGH_SIDE), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    return small - cv2.GaussianBlur(small, (0, 0), _SMOOTHING)

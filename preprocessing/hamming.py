"""64-bit hashes that differ in few bits, without comparing all pairs: multi-index hashing (Norouzi, Punjani, Fleet 2012,
https://arxiv.org/abs/1307.2982).

Enters: two arrays of hashes of the same things. Leaves: pairs of things. Hashes within `distance` bits of each other agree up to
`distance // 4` bits in at least one of their four 16-bit bands (pigeonhole principle), so only things in the same or neighbouring
buckets of a band are compared. Loops run over bands and bit masks; what lies in the buckets is compared by NumPy.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

BANDS, BITS = 4, 16
_BUCKETS = 1 << BITS
_AT_ONCE = 1 << 22
"""Comparisons held in memory at once."""

Pairs = tuple[np.ndarray, np.ndarray]


def close_pairs(hashes: np.ndarray, probes: np.ndarray, distance: int) -> Iterator[Pairs]:
    """Pairs i < j of which hash i and probe j differ in at most `distance` bits.

    Args:
        hashes: [N] uint64.
        probes: [N] uint64; `hashes` itself, or a second hash of the same things, such as that of their mirror images.
        distance: 0 to 64.

    Yields:
        Arrays i and j, piece by piece; every pair once, in no particular order.
    """
    hash_bands, probe_bands = _bands(hashes), _bands(probes)
    radius = distance // BANDS
    for band in range(BANDS):
        buckets = _Buckets(hash_bands[band])
        for mask in _masks(radius):
            for members, asking in buckets.look_up(probe_bands[band] ^ mask):
                near = (members < asking) & (np.bitwise_count(hashes[members] ^ probes[asking]) <= distance)
                i, j = members[near], asking[near]
                fresh = ~_met_before(hash_bands[:band, i] ^ probe_bands[:band, j], radius)
                yield i[fresh], j[fresh]


def _bands(hashes: np.ndarray) -> np.ndarray:
    """[BANDS, N] uint16."""
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint16).reshape(-1, BANDS).T.copy()


def _masks(radius: int) -> list[np.uint16]:
    """Every way of changing at most `radius` bits of a band."""
    flips = (bits for n in range(min(radius, BITS) + 1) for bits in combinations(range(BITS), n))
    return [np.uint16(sum(1 << bit for bit in bits)) for bits in flips]


def _met_before(differences: np.ndarray, radius: int) -> np.ndarray:
    """[P] bool: pairs that an earlier band, of differences [earlier bands, P], has found already."""
    found: np.ndarray = (np.bitwise_count(differences) <= radius).any(axis=0)
    return found


class _Buckets:
    """Numbers 0..N-1 sorted by their key [N] uint16."""

    def __init__(self, keys: np.ndarray) -> None:
        self.members = np.argsort(keys, kind="stable")
        self.sizes = np.bincount(keys, minlength=_BUCKETS)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def look_up(self, wanted: np.ndarray) -> Iterator[Pairs]:
        """Members i of bucket `wanted[j]`, with j; at most about `_AT_ONCE` pairs at a time."""
        asking = np.flatnonzero(self.sizes[wanted])
        ends = np.cumsum(self.sizes[wanted[asking]])
        start = 0
        while start < len(asking):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
            j = asking[start:stop]
            sizes = self.sizes[wanted[j]]
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            yield self.members[np.repeat(self.starts[wanted[j]], sizes) + within], np.repeat(j, sizes)
            start = stop

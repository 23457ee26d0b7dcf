"""Time of finding near duplicates among many photos: random hashes and thumbnails with planted clusters.

    python benchmarks/audit.py --photos 70000 --record

Enters: drawn hashes and thumbnails. Leaves: seconds for pairing and joining, and whether every planted cluster was found.
"""

import argparse
import time

import cv2
import numpy as np
from recording import record

from preprocessing.errors import run_command
from preprocessing.fingerprint import DISTANCE, SIDE, Fingerprint, near_duplicates
from preprocessing.hamming import close_pairs


def draw(photos: int, clusters: int, rng: np.random.Generator) -> tuple[list[Fingerprint], np.ndarray]:
    """Fingerprints of different photos, of which some clusters are of three, their hashes up to five bits from the first's.

    Returns:
        The fingerprints and [N] the first photo of each one's cluster.
    """
    hashes = rng.integers(0, 2**64, photos, dtype=np.uint64)
    rough = rng.integers(0, 256, (photos, 12, 12), dtype=np.uint8)
    first = np.arange(photos)
    members = rng.permutation(photos)[: 3 * clusters].reshape(clusters, 3)
    members.sort(axis=1)
    for one, *others in members:
        for other in others:
            bits = rng.choice(64, DISTANCE // 2, replace=False).astype(np.uint64)
            hashes[other] = hashes[one] ^ np.bitwise_or.reduce(np.uint64(1) << bits)
            rough[other], first[other] = rough[one], one
    mirrored = rng.integers(0, 2**64, photos, dtype=np.uint64)
    large = [cv2.resize(thumbnail, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for thumbnail in rough]
    return [Fingerprint(str(i), int(hashes[i]), int(mirrored[i]), large[i]) for i in range(photos)], first


def main() -> None:
    """Measure, print, and with --record write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=70_000)
    parser.add_argument("--clusters", type=int, default=1_500)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    prints, planted = draw(arguments.photos, arguments.clusters, np.random.default_rng(17))
    hashes = np.array([p.hash for p in prints], dtype=np.uint64)
    start = time.perf_counter()
    pairs = sum(len(i) for i, _ in close_pairs(hashes, hashes, DISTANCE))
    paired = time.perf_counter() - start
    start = time.perf_counter()
    found = near_duplicates(prints)
    joined = time.perf_counter() - start
    lines = [
        f"- {arguments.photos:,} random 64-bit hashes with {arguments.clusters:,} planted clusters of three: {pairs:,} pairs "
        f"within {DISTANCE} bits in {paired:.1f} s",
        f"- with mirror images, judging and joining: {joined:.1f} s; clusters as planted for "
        f"{int((found == planted).sum()):,} of {len(planted):,} photos",
    ]
    print("\n".join(lines))
    if arguments.record:
        record("audit", "Near duplicates", lines)


if __name__ == "__main__":
    run_command(main)

"""Do CAER-S's file numbers follow the order before the random split? Asked of the hand-checked box lists, without any photo.

    python benchmarks/caer_s_order.py [--lists FILE] [--record]

Frames of one shot have almost the same box. Enters: the lists. Leaves, per class: how often frames so many numbers apart have
one, against chance; and, for each tenth of test, at which distance in order (share of the train numbers minus share of the test
numbers) near-identical boxes of train and test pile up. `--record` replaces the table in docs/caer_s.md.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from recording import record

from preprocessing.datasets.caer_s import CLASSES, PROTOCOLS, parse
from preprocessing.errors import run_command
from preprocessing.protocols import read_lists

DOCS = Path(__file__).resolve().parent.parent / "docs" / "caer_s.md"
NEAR = 12.0
"""Pixels by which each edge may differ for two boxes to be of one shot, perhaps."""
SAME = 1.0
"""The same for near-identical boxes."""
BIN, REACH = 0.005, 0.1
CLEAR = 3.0
"""A pile counts where it is so many times the median bin."""


def main() -> None:
    """Parse, measure, print, perhaps record."""
    parser = argparse.ArgumentParser(description="Whether CAER-S's file numbers follow the order before the split.")
    data = os.environ.get("CAER_TEST_DATA")
    lists = Path(data, "caers_boxes.zip") if data else None
    parser.add_argument("--lists", type=Path, required=not data, default=lists, help="caers_boxes.zip; in $CAER_TEST_DATA")
    parser.add_argument("--record", action="store_true", help="replace the table in docs/caer_s.md")
    options = parser.parse_args()
    run_command(lambda: benchmark(options))


def benchmark(options: argparse.Namespace) -> None:
    """One row per class."""
    positions, boxes = read_boxes(options.lists)
    lines = [
        "| class | train frames 1 / 10 / 100 numbers apart with one box | any two | train against test: distance of the piles |",
        "| --- | --- | --- | --- |",
    ]
    furthest = []
    for emotion in CLASSES:
        train, test = ("train", emotion), ("test", emotion)
        near = " / ".join(f"{share_near(boxes[train], lag):.1%}" for lag in (1, 10, 100))
        piles = pile_distances(positions[train], boxes[train], positions[test], boxes[test])
        furthest += [abs(d) for d in piles]
        said = f"{min(piles):+.1%} to {max(piles):+.1%}, in {len(piles)} tenths of 10" if piles else "no clear pile"
        lines.append(f"| {emotion} | {near} | {share_near(boxes[train], 0):.1%} | {said} |")
    lines += ["", f"Furthest pile: {max(furthest):.1%} of the order."]
    print("\n".join(lines))
    if options.record:
        record("caer_s_order", "Measured on the hand-checked lists", lines, DOCS)


def read_boxes(lists: Path) -> tuple[dict[tuple[str, str], np.ndarray], dict[tuple[str, str], np.ndarray]]:
    """(folder, class) -> positions (N,) in order, and boxes (N, 4)."""
    found: dict[tuple[str, str], list[tuple[float, list[float]]]] = {}
    for lines in read_lists("hand_checked", lists, tuple(PROTOCOLS["hand_checked"].expected or ())).values():
        for line in lines:
            path, _, *box = line.split(",")
            frame = parse(path)
            assert frame is not None, line
            found.setdefault((frame.folder, frame.emotion), []).append((frame.position, [float(v) for v in box]))
    ordered = {key: sorted(values) for key, values in found.items()}
    return (
        {key: np.array([position for position, _ in values]) for key, values in ordered.items()},
        {key: np.array([box for _, box in values]) for key, values in ordered.items()},
    )


def share_near(boxes: np.ndarray, lag: int) -> float:
    """Share of pairs so many places apart whose boxes are near; with lag 0 of pairs drawn by chance."""
    if lag:
        first, second = boxes[:-lag], boxes[lag:]
    else:
        rng = np.random.default_rng(0)
        first, second = boxes[rng.permutation(len(boxes))], boxes[rng.permutation(len(boxes))]
    return float((np.abs(first - second).max(axis=1) <= NEAR).mean())


def pile_distances(train_at: np.ndarray, train: np.ndarray, test_at: np.ndarray, test: np.ndarray) -> list[float]:
    """For each tenth of test the distance at which near-identical boxes pile up, where they clearly do."""
    same = np.abs(test[:, None] - train[None]).max(axis=2) <= SAME
    distance = train_at[None] - test_at[:, None]
    edges = np.arange(-REACH - BIN / 2, REACH + BIN, BIN)
    piles = []
    for start in np.arange(0, 1, 0.1):
        here = same & ((test_at >= start) & (test_at < start + 0.1))[:, None]
        counts, _ = np.histogram(distance[here], bins=edges)
        if counts.max() >= CLEAR * max(float(np.median(counts)), 1.0):
            piles.append(float(edges[counts.argmax()] + BIN / 2))
    return piles


if __name__ == "__main__":
    main()

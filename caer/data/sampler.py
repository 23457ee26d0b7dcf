"""Which samples an epoch visits, in which order, cut into which batches: a function of (seed, stage, epoch) alone.

A batch is a list of `Draw`s. The epoch travels inside the draw, so persistent worker processes need not be told about it.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from caer.data.seeds import derive_seed

Cell = tuple[np.ndarray, int]
"""Indices that stand for one another, and how many draws an epoch takes from them."""


class Draw(NamedTuple):
    """One visit of a sample: the `repeat`-th (from 0) of a row in an epoch. It seeds the augmentation."""

    epoch: int
    row: int
    repeat: int = 0


def source_weights(sources: np.ndarray, weights: Sequence[float], sampling: str) -> list[float]:
    """How often an epoch draws each row of a source.

    Args:
        sources: [N] int, the source of each row.
        weights: as configured, by source.
        sampling: `proportional`: as often as its weight says. `balanced`: the N draws of an epoch are shared out by the weights
            alone, whatever the sources' sizes; a source without rows takes no part.
    """
    if sampling == "proportional":
        return list(weights)
    sizes = np.bincount(sources, minlength=len(weights))
    shares = np.where(sizes > 0, weights, 0.0)
    return (len(sources) * shares / shares.sum() / np.maximum(sizes, 1)).tolist()


def epoch_cells(sources: np.ndarray, weights: Sequence[float], classes: np.ndarray | None) -> list[Cell]:
    """How often an epoch draws from whom.

    A source of n rows and weight w is drawn n * w times. With classes, the draws are shared equally between the classes that
    occur, and within a class between the sources by n * w; rows without a class (-1) keep their own share.

    Args:
        sources: [N] int, the source of each row.
        weights: weight by source.
        classes: [N] int target of the task to balance, or None.
    """
    weight = np.asarray(weights, float)[sources]
    if classes is None:
        return [_cell(np.flatnonzero(sources == s), weight) for s in np.unique(sources)]
    known = np.unique(classes[classes >= 0])
    quota = weight[classes >= 0].sum() / max(len(known), 1)
    cells = []
    for value in np.unique(classes):
        rows = np.flatnonzero(classes == value)
        factor = quota / weight[rows].sum() if value >= 0 else 1.0
        cells += [_cell(rows[sources[rows] == s], weight * factor) for s in np.unique(sources[rows])]
    return cells


def _cell(indices: np.ndarray, weight: np.ndarray) -> Cell:
    return indices, max(1, round(float(weight[indices].sum())))


def _draw(cell: Cell, rng: np.random.Generator, epoch: int) -> list[Draw]:
    """`count` draws in whole rounds through the cell; the last, incomplete round is a random part of it."""
    indices, count = cell
    draws: list[Draw] = []
    for repeat in range(-(-count // len(indices))):
        part = rng.permutation(indices)[: count - len(draws)]
        draws += [Draw(epoch, int(i), repeat) for i in part]
    return draws


def split_evenly(count: int, batch_size: int) -> list[int]:
    """Batch sizes for `count` samples: none is left out, sizes differ by at most one, and none is 1 where that can be helped.

    A last batch of a few samples would give noisy BatchNorm statistics, and one of a single sample an error; dropping it would
    show some samples less often.
    """
    batches = -(-count // batch_size)
    if batch_size > 1 and count // max(batches, 1) < 2:
        batches = max(1, count // 2)
    small, more = divmod(count, batches) if batches else (0, 0)
    return [small + 1] * more + [small] * (batches - more)


class EpochBatches(Sampler[list[Draw]]):
    """Batches of an epoch. `set_epoch` chooses it; iterating changes nothing.

    Under torch.distributed each rank takes every world-size-th draw of the same order (padded from its start to equal lengths):
    give the Trainer `use_distributed_sampler=False`.
    """

    def __init__(self, cells: Sequence[Cell], batch_size: int, seed: int, stage: int) -> None:
        self.cells, self.batch_size, self.seed, self.stage = list(cells), batch_size, seed, stage
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def draws(self) -> list[Draw]:
        """The whole epoch's draws in order, of all ranks."""
        rng = np.random.default_rng(derive_seed(self.seed, self.stage, self.epoch, "order"))
        draws = [draw for cell in self.cells for draw in _draw(cell, rng, self.epoch)]
        return [draws[i] for i in rng.permutation(len(draws))]

    def __iter__(self) -> Iterator[list[Draw]]:
        # The whole list at once: a generator would read `epoch` at its first batch, when it may be another one already.
        rank, world = rank_and_world()
        draws = self.draws()
        draws = (draws + draws[: -len(draws) % world])[rank::world]
        ends = list(accumulate(split_evenly(len(draws), self.batch_size), initial=0))
        return iter([draws[start:end] for start, end in pairwise(ends)])

    def __len__(self) -> int:
        _, world = rank_and_world()
        return len(split_evenly(-(-sum(count for _, count in self.cells) // world), self.batch_size))


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes that train together; (0, 1) without torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1

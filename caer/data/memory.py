"""Pictures decoded once and kept in memory: after the first epoch no training waits for a JPEG decoder.

Enters and leaves: a sample's uint8 pictures before augmentation. The pages are shared by the processes that a loader forks, so
that a picture decoded by one of them serves all.
"""

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caer.processes import local_world_size
from preprocessing.errors import UserError

CGROUP = Path("/sys/fs/cgroup")


class PictureMemory:
    """Room for the pictures of a number of samples. The system gives a page only once something is written to it.

    Args:
        count: number of samples.
        sides: pixels of a side by name of picture (`face`, `context`, `image`).
    """

    def __init__(self, count: int, sides: Mapping[str, int]) -> None:
        self._made_of = (count, dict(sides))
        self._pictures = {name: _shared((count, side, side, 3)) for name, side in sides.items()}
        self._known = _shared((count,))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pages are handed on by fork only; a process that is started otherwise fills its own.
        return PictureMemory, self._made_of

    def get(self, i: int) -> dict[str, np.ndarray] | None:
        """Copies of a sample's pictures [side, side, 3], or None as long as nobody has decoded them."""
        return {name: pages[i].copy() for name, pages in self._pictures.items()} if self._known[i] else None

    def put(self, i: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Keep a sample's pictures. Two processes may do so at once: they write the same bytes."""
        for name, pages in self._pictures.items():
            pages[i] = pictures[name]
        self._known[i] = 1


def check_room(count: int, sides: Mapping[str, int]) -> None:
    """Before anything is trained or written: there must be room for so many samples, in each process of a training.

    Raises:
        UserError: they would take more than half of the memory; gives both sizes.
    """
    ranks = local_world_size()
    needed, there = ranks * count * sum(3 * side * side for side in sides.values()), memory_bytes()
    if needed > there / 2:
        each = f" in each of {ranks} processes" if ranks > 1 else ""
        raise UserError(
            f"data.in_memory needs {needed / 1e9:.2f} GB for {count} samples{each}, and may take half of the {there / 1e9:.2f} "
            f"GB there are; set it to false, or make data.image_size smaller"
        )


def memory_bytes() -> int:
    """Main memory that may be used: the machine's, or the container's share of it (cgroup v2 or v1)."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((CGROUP / name).read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return min(limits)


def _shared(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros (uint8) that forked processes share; anonymous pages, as /dev/shm is often small in a container."""
    size = max(int(np.prod(shape)), 1)
    return np.frombuffer(mmap.mmap(-1, size), np.uint8, int(np.prod(shape))).reshape(shape)

"""Chunks on all cores: a bounded queue, one network per worker, and a worker that dies costs only what it held.

The workers write what they make themselves; only counts come back, so memory stays flat. A worker leaves when the main process
is gone, and ends itself when a photo keeps it too long.
"""

import faulthandler
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from preprocessing.chunks import Chunk, Job, failed_row, process_chunk, process_sample
from preprocessing.detectors.base import Detector
from preprocessing.manifest import Row, write_part
from preprocessing.memory import keep_freed_memory
from preprocessing.types import RawSample

MAX_BREAKS = 2
"""A chunk that was under way at so many deaths of a worker goes on photo by photo, alone."""

PHOTO_SECONDS = 300.0
"""A photo that takes longer has hung its process; the largest that are read, with the slowest detector, take some seconds."""


@dataclass
class _Worker:
    job: Job
    detector: Detector


_worker: _Worker | None = None


def _start_worker(job: Job) -> None:
    global _worker  # noqa: PLW0603  what a worker process keeps between chunks
    import cv2

    from preprocessing.records import build_detector

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process; it lets the chunks under way finish
    cv2.setNumThreads(1)
    keep_freed_memory()
    _worker = _Worker(job, build_detector(job.settings))


def _leave_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _watch() -> Iterator[None]:
    """End this process, and say where it was, if what follows takes too long."""
    # by a thread of C: a decoder that hangs may hold the interpreter's lock
    faulthandler.dump_traceback_later(PHOTO_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _chunk(chunk: Chunk) -> int:
    assert _worker is not None
    return process_chunk(_worker.job, _worker.detector, chunk, _watch)


def _sample(chunk: Chunk, sample: RawSample) -> list[Row]:
    assert _worker is not None
    with _watch():
        return process_sample(_worker.job, _worker.detector, sample, chunk.boxes)


def run_chunks(job: Job, chunks: Iterable[Chunk], workers: int) -> Iterator[int]:
    """Process chunks in any order.

    Args:
        job: what they share.
        chunks: taken as they are needed.
        workers: processes; at most twice as many chunks wait.

    Yields:
        The number of samples of each finished chunk.

    Raises:
        UserError: as raised in a worker.
    """
    queue = iter(chunks)
    breaks: Counter[int] = Counter()
    taken: dict[int, Chunk] = {}  # from the queue, not finished
    while True:
        pool = _pool(job, workers)
        under_way: dict[Future[int], Chunk] = {}
        try:
            for chunk in itertools.chain(list(taken.values()), queue):
                taken[chunk.index] = chunk
                under_way[pool.submit(_chunk, chunk)] = chunk
                while len(under_way) >= 2 * workers:
                    yield from _finished(under_way, taken)
            while under_way:
                yield from _finished(under_way, taken)
            return
        except BrokenProcessPool:
            breaks.update(taken.keys())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for chunk in [c for c in taken.values() if breaks[c.index] >= MAX_BREAKS]:
            yield _alone(job, taken.pop(chunk.index))


def _pool(job: Job, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (job,))


def _finished(under_way: dict[Future[int], Chunk], taken: dict[int, Chunk]) -> Iterator[int]:
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        count = future.result()  # first: where the pool is broken, the chunk stays among those taken
        del taken[under_way.pop(future).index]
        yield count


def _alone(job: Job, chunk: Chunk) -> int:
    """A chunk photo by photo; one that ends its process (out of memory, a decoder crashed or hung) becomes a row that says so."""
    rows: list[Row] = []
    pool = _pool(job, 1)
    for sample in chunk.samples:
        try:
            rows += pool.submit(_sample, chunk, sample).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = _pool(job, 1)
            rows.append(failed_row(job, sample, "crashed", f"reading it ended the process, or took over {PHOTO_SECONDS:g} s"))
    pool.shutdown()
    write_part(chunk.part, rows, job.label_types)
    return len(chunk.samples)

"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Counts what is done."""

    def advance(self, n: int) -> None:
        """`n` more are done."""
        ...


@contextmanager
def progress(total: int, unit: str, done: int = 0, interval: float = 10.0) -> Iterator[Progress]:
    """Show progress on standard error while the block runs.

    Args:
        total: how many there are.
        unit: what is counted, in the plural.
        done: how many need no more work; they do not count for the rate.
        interval: seconds between lines where there is no terminal.
    """
    if not sys.stderr.isatty():
        yield _Lines(total, unit, done, interval)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = TextColumn(unit), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield _Bar(bars, bars.add_task(unit, total=total, completed=done, rate=""), done)


class _Lines:
    def __init__(self, total: int, unit: str, done: int, interval: float) -> None:
        self.total, self.unit, self.done, self.interval = total, unit, done, interval
        self.first = done
        self.start = self.last = time.monotonic()

    def advance(self, n: int) -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last < self.interval and self.done < self.total:
            return
        self.last = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        line = f"{self.done}/{self.total} {self.unit}, {rate:.1f}/s, {int(left // 60)}:{int(left % 60):02d} left"
        print(line, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, bars: "object", task: object, first: int) -> None:
        self.bars, self.task, self.start, self.done = bars, task, time.monotonic(), 0

    def advance(self, n: int) -> None:
        self.done += n
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        self.bars.update(self.task, advance=n, rate=f"{rate:.1f}/s")  # type: ignore[attr-defined]

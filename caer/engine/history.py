"""What each epoch leaves behind: a line on the screen, a row in `metrics.csv`, points in TensorBoard."""

import csv
import io
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

from tqdm import tqdm

from preprocessing.files import write_atomic

Row = dict[str, float]


def write_csv(path: Path, history: list[Row]) -> None:
    """All rows so far, written whole; `repr` of a float, so that nothing is rounded away."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in history for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(path, text.getvalue())


def read_csv(path: Path) -> list[Row]:
    """What `write_csv` wrote: a row an epoch, without the columns that have no value there. None where there is no file."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


class Progress:
    """Says how a stage is going: a bar within the epoch on a terminal, and a plain line after it everywhere.

    Args:
        stage: the stage's number.
        epochs: how many there are in all.
        metric: the monitored score, as in the config.
    """

    def __init__(self, stage: int, epochs: int, metric: str) -> None:
        self.stage, self.epochs, self.metric = stage, epochs, metric
        self.start()

    def start(self) -> None:
        """Set the clock that the time left is judged by."""
        self._started, self._done = time.monotonic(), 0

    def batches(self, loader: Iterable[Any], epoch: int) -> Iterator[Any]:
        """Pass batches on; on a terminal with a bar."""
        total = len(loader) if isinstance(loader, Sized) else None
        bar = tqdm(total=total, desc=f"stage {self.stage} epoch {epoch + 1}/{self.epochs}", leave=False, disable=None)
        with bar:
            for batch in loader:
                yield batch
                bar.update()

    def line(self, row: Row, best: bool) -> None:
        """Report a finished epoch; `best` marks a new best one."""
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self.epochs - int(row["epoch"]))
        score = f"{self.metric} {row['val/' + self.metric]:.4f}{' *' if best else '  '}"
        losses = f"loss {row['train/loss']:.4f}  val loss {row['val/loss']:.4f}"
        pace = f"{row['images_per_second']:.0f} img/s  left {clock(left)}"
        say(f"stage {self.stage} epoch {int(row['epoch'])}/{self.epochs}  {losses}  {score}  {pace}")


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, file=sys.stdout, flush=True)

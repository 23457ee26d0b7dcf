"""How long a question to a photo store takes, whole process: `python benchmarks/search.py [--rows 100000] [--record]`.

The library is made up: one face a row, two tasks, probabilities drawn at random.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from recording import record

from caer.library.store import Library, library_schema, rows_table, write_library
from caer.tasks import classification

TASKS = {
    "emotion": ["smile", "sad", "angry", "anxiety", "surprise"],
    "age": ["baby", "child", "ten-twenty", "thirty-forty", "fifty", "senior"],
}
QUESTIONS = {
    "two labels": "emotion = 'smile' and age = 'child'",
    "confidence and probability": "emotion_confidence > 0.6 and emotion_probabilities.sad > 0.1",
    "part of a path": "path ilike '%/0099%'",
    "no such row": "emotion = 'nothing'",
}
REPEATS = 7


def made_library(path: Path, count: int) -> None:
    """Write a library of `count` rows."""
    rng = np.random.default_rng(0)
    tasks = {name: classification.build(classification.Config(classes=names), name) for name, names in TASKS.items()}
    schema = library_schema(tasks)
    rows = [_row(rng, number) for number in range(count)]
    parts = [rows_table(rows[start : start + 20_000], schema) for start in range(0, count, 20_000)]
    write_library(path, Library(pa.concat_tables(parts), "/photos", {}))


def _row(rng: np.random.Generator, number: int) -> dict:
    x, y, side = rng.uniform(0, 800, 3)
    row = {
        "path": f"{number // 1000:04d}/{number:06d}.jpg",
        "size": int(rng.integers(10**5, 10**7)),
        "mtime_ns": int(rng.integers(10**18)),
        "checked_ns": 10**18,
        "sha256": rng.bytes(32).hex(),
        "status": "ok",
        "reason": "",
        "answered_by": "model",
        "rank": 0,
        "width": 1600,
        "height": 1200,
        "box": [x, y, x + side, y + side],
        "landmarks": rng.uniform(0, 800, 10).tolist(),
        "score": float(rng.uniform(0.9, 1)),
    }
    for name, classes in TASKS.items():
        shares = rng.dirichlet(np.ones(len(classes)) * 0.4)
        row |= {
            name: classes[int(shares.argmax())],
            f"{name}_confidence": float(shares.max()),
            f"{name}_probabilities": dict(zip(classes, shares.tolist(), strict=True)),
            f"{name}_gates": rng.uniform(0, 1, 2).tolist(),
        }
    return row


def ask(library: Path, where: str) -> tuple[float, float, int]:
    """Seconds of the whole command by the clock and on the processor, and the number of paths it printed."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "caer", "search", str(library), "--where", where], capture_output=True, text=True, check=True
    )
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, len(done.stdout.splitlines())


def main() -> None:
    """Make the library, ask every question several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--record", action="store_true", help="write the results into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.parquet"
        made_library(library, options.rows)
        megabytes = library.stat().st_size / 1e6
        lines = [f"A library of {options.rows:,} rows, {megabytes:.0f} MB; whole command, start of Python included.", ""]
        lines += ["| question | photos found | median s | fastest s | processor s |", "| --- | --- | --- | --- | --- |"]
        for name, where in QUESTIONS.items():
            asked = [ask(library, where) for _ in range(REPEATS)]
            seconds, busy = [a[0] for a in asked], statistics.median(a[1] for a in asked)
            lines.append(f"| {name} | {asked[0][2]:,} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {busy:.2f} |")
    busy_with = f"Other work on the machine meanwhile: a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    lines += ["", busy_with]
    print("\n".join(lines))
    if options.record:
        record("search", "Questions to a photo store", lines)


if __name__ == "__main__":
    main()

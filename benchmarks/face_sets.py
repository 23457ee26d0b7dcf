"""Preprocess face sets as users do, and write down what came of each photo.

    python benchmarks/face_sets.py fer2013=DIR fairface=DIR genki4k=DIR [--workers 1] [--record]

Enters: raw sets by the name of their dataset. Leaves: rows by split and status, seconds, and the dataset's own notes. `--record`
replaces the table in docs/datasets.md.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from recording import record

from preprocessing.errors import run_command
from preprocessing.lookup import find_plugin, plugin_config
from preprocessing.pipeline import preprocess
from preprocessing.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs" / "datasets.md"


def main() -> None:
    """Parse, measure, print, perhaps record."""
    parser = argparse.ArgumentParser(description="Rows, statuses and seconds of face sets.")
    parser.add_argument("sets", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="replace the table in docs/datasets.md")
    options = parser.parse_args()
    run_command(lambda: benchmark(options))


def benchmark(options: argparse.Namespace) -> None:
    """One row per set."""
    lines = [
        "| dataset | detector | rows: train / val / test | statuses | seconds | notes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [measure(*given.split("=", 1), options.workers) for given in options.sets]
    lines += ["", f"{options.workers} worker(s). Seconds include reading the files for duplicates and writing the manifest."]
    print("\n".join(lines))
    if options.record:
        record("face_sets", "Measured on the real sets", lines, DOCS)


def measure(name: str, root: str, workers: int) -> str:
    """Preprocess one set into a folder that is thrown away."""
    config = plugin_config("preprocessing.datasets", {"type": name, "root": root}, "dataset")
    settings = Settings(**config.suggested())
    with tempfile.TemporaryDirectory() as out:
        summary = preprocess(find_plugin("preprocessing.datasets", name).build(config), settings, Path(out), workers).summary
    notes = "; ".join(f"{key}: {note}" for key, note in summary["dataset"].items())
    detector, seconds = settings.detector["type"], summary["run"]["seconds"]
    return f"| `{name}` | `{detector}` | {_splits(summary)} | {_statuses(summary)} | {seconds:.0f} | {notes} |"


def _splits(summary: dict[str, Any]) -> str:
    return " / ".join(f"{summary['split'].get(split, 0):,}" for split in ("train", "val", "test"))


def _statuses(summary: dict[str, Any]) -> str:
    return ", ".join(f"{status} {n:,}" for status, n in sorted(summary["status"].items(), key=lambda item: -item[1]))


if __name__ == "__main__":
    main()

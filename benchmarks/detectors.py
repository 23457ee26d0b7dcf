"""Faces found and photos a second, by detector: the table of docs/detectors.md.

    python benchmarks/detectors.py [--data DIR] [--detectors NAME,...] [--genki N] [--workers 2] [--record]

Enters: `robustness.zip` and `genki4k.zip`. Each detector goes through `preprocess` as the command line does, with the settings'
defaults. `retinaface_r50` is measured where its weights are; else only its speed, with random weights. `--record` replaces the
table in docs/detectors.md.
"""

import argparse
import os
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from frames import draw_frames
from preprocess_parts import random_network
from recording import record

from preprocessing.datasets import dataframe
from preprocessing.detectors import retinaface_r50
from preprocessing.detectors.base import Detector
from preprocessing.errors import UserError, run_command
from preprocessing.images import read_image
from preprocessing.manifest import read_manifest
from preprocessing.pipeline import build_detector, preprocess
from preprocessing.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs" / "detectors.md"
FRAMES = 24
"""Drawn frames that the speed is measured on; the median counts."""


def main() -> None:
    """Parse, measure, print, perhaps record."""
    parser = argparse.ArgumentParser(description="Faces found and photos a second, by detector.")
    data = os.environ.get("CAER_TEST_DATA")
    parser.add_argument("--data", type=Path, required=not data, default=data, help="folder of the two zips; $CAER_TEST_DATA")
    parser.add_argument("--detectors", default="retinaface,mtcnn,retinaface_r50")
    parser.add_argument("--genki", type=int, default=4000, help="so many photos of GENKI-4K, spread over the set")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="replace the table in docs/detectors.md")
    options = parser.parse_args()
    run_command(lambda: benchmark(options))


def benchmark(options: argparse.Namespace) -> None:
    """One row per detector."""
    lines = [
        "| detector | robustness: photos with as many faces as listed | robustness: faces found | GENKI: photos with a face "
        "| 712 x 400 photos a second, one core |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photos = {name: unpack(options.data / f"{name}.zip", root) for name in ("robustness", "genki4k")}
        frames = [read_image(path) for path in draw_frames(root / "frames", FRAMES)]
        for name in options.detectors.split(","):
            lines.append("| " + " | ".join(row(name, photos, frames, options, root)) + " |")
            print(lines[-1], flush=True)
    print("\n".join(lines))
    if options.record:
        record("detectors", "Measured", lines, DOCS)


def row(name: str, photos: dict[str, Path], frames: Sequence[np.ndarray], options: argparse.Namespace, root: Path) -> list[str]:
    """Cells of a detector's row."""
    settings = Settings(detector={"type": name})
    if name == "retinaface_r50" and not retinaface_r50.Config().weights.is_file():
        return [f"`{name}`", *["weights not at hand"] * 3, f"{speed(random_r50(root), frames):.1f} (random weights)"]
    detector = build_detector(settings)
    counted, found = robustness(photos["robustness"], settings, root / f"{name}-robustness", options.workers)
    return [
        f"`{name}`",
        counted,
        found,
        genki(photos["genki4k"], settings, root / f"{name}-genki", options),
        f"{speed(detector, frames):.1f}",
    ]


def robustness(folder: Path, settings: Settings, out: Path, workers: int) -> tuple[str, str]:
    """Photos whose number of faces is the listed one, and faces found of those listed."""
    listed = pd.read_csv(folder / "manifest.csv").set_index("file")["n_faces"].dropna()
    table = out.with_suffix(".csv")
    pd.DataFrame({"path": listed.index}).to_csv(table, index=False)
    rows = run(dataframe.Config(root=folder / "files", table=table.resolve()), settings, out, workers).set_index("image")
    found = rows.loc[listed.index, "n_faces"]
    right = int((found == listed).sum())
    return (
        f"{right} of {len(listed)}",
        f"{int(np.minimum(found, listed).sum())} of {int(listed.sum())}, {extra(found, listed)} more",
    )


def extra(found: pd.Series, listed: pd.Series) -> int:
    """Faces beyond the listed number."""
    return int(np.maximum(found - listed, 0).sum())


def genki(folder: Path, settings: Settings, out: Path, options: argparse.Namespace) -> str:
    """Photos of GENKI-4K, each of one person, in which a face is found."""
    every = sorted((folder / "files").iterdir())
    some = every[:: max(1, len(every) // options.genki)][: options.genki]
    table = out.with_suffix(".csv")
    pd.DataFrame({"path": [path.name for path in some]}).to_csv(table, index=False)
    rows = run(dataframe.Config(root=folder / "files", table=table.resolve()), settings, out, options.workers)
    n = int((rows["status"] == "ok").sum())
    return f"{n} of {len(some)} ({n / len(some):.1%})"


def run(config: dataframe.Config, settings: Settings, out: Path, workers: int) -> pd.DataFrame:
    """The manifest's rows of some photos."""
    preprocess(dataframe.build(config), settings, out, workers)
    return read_manifest(out).rows


def speed(detector: Detector, frames: Sequence[np.ndarray]) -> float:
    """Photos a second by the median frame, one thread; the first frame, on which things are set up, is not counted."""
    cv2.setNumThreads(1)
    seconds = []
    for frame in frames:
        start = time.perf_counter()
        detector.detect(frame)
        seconds.append(time.perf_counter() - start)
    return 1 / float(np.median(seconds[1:]))


def random_r50(root: Path) -> Any:
    """`retinaface_r50` with random weights, which find nothing but take as long."""
    import torch

    path = root / "random.pth"
    torch.save(random_network().state_dict(), path)
    return retinaface_r50.build(retinaface_r50.Config(weights=path, device="cpu"))


def unpack(archive: Path, root: Path) -> Path:
    """The folder of an unpacked archive."""
    if not archive.is_file():
        raise UserError(f"{archive}: no such file; --data names the folder with robustness.zip and genki4k.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(root)
    return root / archive.stem


if __name__ == "__main__":
    main()

"""Photos that are like no other, and manifests of them: what audits and splits look at."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from made_manifest import manifest_row

from preprocessing.detectors.whole import Whole
from preprocessing.manifest import Row, write_manifest
from preprocessing.records import process
from preprocessing.settings import Settings


def photo(seed: int) -> np.ndarray:
    """[180, 240, 3]: soft shapes at several scales."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.random((n, n, 3)), (240, 180), interpolation=cv2.INTER_CUBIC) for n in (4, 9, 20)]
    return np.clip(255 * sum(layers) / 3, 0, 255).astype(np.uint8)


Line = tuple[str, np.ndarray, str, str, str]
"""Path, pixels, split, group, label of the task `emotion` (empty: none)."""


def photo_manifest(folder: Path, lines: Iterable[Line], **changes: object) -> Path:
    """Write a manifest of photos through the real `process`; `changes` go to every row."""
    settings = Settings(detector={"type": "whole"}, min_size=8)
    rows: list[Row] = []
    for key, pixels, split, group, label in lines:
        record = process(pixels, settings, Whole(), key)[0]
        labels = {"emotion": label or None, "age": 20.0}
        rows.append(manifest_row(folder, record, source="made", key=key, split=split, group=group, labels=labels) | changes)
    write_manifest(folder, [rows], {"age": "double", "emotion": "string"}, {"dataset": {"type": "made"}})
    return folder / "manifest.parquet"


def clean_lines(count: int, splits: Sequence[str] = ("train", "train", "train", "val", "test")) -> list[Line]:
    """Different photos, splits and two classes in turn."""
    return [(f"{i:03d}.jpg", photo(i), splits[i % len(splits)], "", ("smile", "sad")[i // 5 % 2]) for i in range(count)]

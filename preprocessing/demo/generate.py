"""A folder of drawn photos with labels and truth.

Enters: a preset, numbers of photos by split, a seed. Leaves, in OUT:
`photos/SPLIT/NNNNN.jpg`; `labels.csv` (path, split, group, emotion, age: like a user's own table); `truth.parquet` (a row a
photo with all that is known about it, see `truth_row`); `demo.json` (settings and `complete`, written last).
A photo depends on (preset, seed, split, its number) alone: not on how many there are, nor on the number of workers.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from preprocessing.demo.backdrop import draw_place
from preprocessing.demo.ceilings import expected
from preprocessing.demo.scene import Scene, draw_scene
from preprocessing.demo.world import PRESETS, Preset, World, draw_world, preset_named
from preprocessing.errors import UserError
from preprocessing.files import read_json, sole_writer, write_atomic, write_json

DRAWING_VERSION = 2
"""Raised with every change of what is drawn, so that an older folder is not taken for a current one."""
DEFAULT_SIZES = {"train": 1400, "val": 300, "test": 500}
GROUP_SIZE = 4
"""Photos of one place and camera."""
_SPLITS = ("train", "val", "test")
_JPEG_QUALITY = 92


def draw_demo(
    out: Path, preset: str = "demo_v1", n: int | dict[str, int] | None = None, seed: int = 17, workers: int = 0
) -> dict[str, Any]:
    """Draw a demo set, or leave the one that is there.

    Args:
        out: folder, made if need be.
        preset: `demo_v1` (balanced, clean) or `demo_v4` (10:1, label noise).
        n: photos by split, or in all (shared out like the default 1400/300/500).
        seed: of the world and the drawings.
        workers: processes; 0 takes the processors there are.

    Returns:
        The content of `demo.json`.

    Raises:
        UserError: unknown preset, senseless sizes, or a folder that holds something else.
    """
    sizes = _sizes(n)
    settings = {"preset": preset_named(preset).name, "sizes": sizes, "seed": seed, "drawing_version": DRAWING_VERSION}
    if seed < 0:
        raise UserError(f"seed {seed}: expected 0 or more")
    with sole_writer(out):
        if (done := _earlier(out, settings)) is not None:
            return done
        write_json(out / "demo.json", {"settings": settings, "complete": False})
        rows = list(_draw_all(out, preset, sizes, seed, workers or os.cpu_count() or 1))
        truth = pd.DataFrame(rows)
        write_atomic(out / "labels.csv", truth[["path", "split", "group", "emotion", "age"]].to_csv(index=False))
        write_atomic(out / "truth.parquet", truth.to_parquet(index=False))
        description = {"settings": settings, "complete": True, "ceilings": _ceilings(preset)}
        write_json(out / "demo.json", description)
    return description


def draw_one(preset: Preset, seed: int, split: str, number: int) -> tuple[World, Scene]:
    """Photo `number` of a split: its world and its drawing."""

    def random(purpose: int, count: int) -> np.random.Generator:
        key = [seed, list(PRESETS).index(preset.name), _SPLITS.index(split), purpose, count]
        return np.random.default_rng(np.random.SeedSequence(key))

    world = draw_world(preset, random(0, number))
    return world, draw_scene(world, random(1, number), draw_place(random(2, number // GROUP_SIZE)))


def truth_row(world: World, scene: Scene) -> dict[str, Any]:
    """What `truth.parquet` says of a photo besides path, split, group and preset; boxes and landmarks are flat, in pixels."""
    return {
        **vars(world),
        "reliable": scene.box is not None and not world.stage,
        "width": scene.image.shape[1],
        "height": scene.image.shape[0],
        "box": None if scene.box is None else scene.box.tolist(),
        "landmarks": None if scene.landmarks is None else scene.landmarks.ravel().tolist(),
        "cue_boxes": scene.cue_boxes.ravel().tolist(),
    }


def _draw_file(task: tuple[str, int], out: Path, preset: str, seed: int) -> dict[str, Any]:
    """Draw and write one photo; returns its row of truth."""
    split, number = task
    world, scene = draw_one(PRESETS[preset], seed, split, number)
    path = f"photos/{split}/{number:05d}.jpg"
    content = simplejpeg.encode_jpeg(
        np.ascontiguousarray(scene.image), quality=_JPEG_QUALITY, colorspace="RGB", colorsubsampling="444"
    )
    write_atomic(out / path, content)
    group = f"{split}-{number // GROUP_SIZE:05d}"
    return {"path": path, "split": split, "group": group, "preset": preset, **truth_row(world, scene)}


def _draw_all(out: Path, preset: str, sizes: dict[str, int], seed: int, workers: int) -> Iterator[dict[str, Any]]:
    """Rows of truth in order, drawn by `workers` processes."""
    tasks = [(split, number) for split, size in sizes.items() for number in range(size)]
    draw = partial(_draw_file, out=out, preset=preset, seed=seed)
    if workers == 1 or len(tasks) < 64:
        yield from map(draw, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(draw, tasks, chunksize=16)


def _sizes(n: int | dict[str, int] | None) -> dict[str, int]:
    """Photos by split, in the order train, val, test."""
    if n is None:
        return dict(DEFAULT_SIZES)
    if isinstance(n, int):
        whole = sum(DEFAULT_SIZES.values())
        n = {split: round(n * DEFAULT_SIZES[split] / whole) for split in ("val", "test")} | {"train": n}
        n["train"] -= n["val"] + n["test"]
    unknown = set(n) - set(_SPLITS)
    if unknown or min(n.values(), default=0) < 0 or sum(n.values()) < 1:
        raise UserError(f"demo sizes {n}: expected numbers of photos for {', '.join(_SPLITS)}, at least one in all")
    return {split: n[split] for split in _SPLITS if n.get(split)}


def _earlier(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The finished set in `out`; None where there is none or one with these settings was begun."""
    if not (out / "demo.json").exists():
        if (out / "photos").exists() or (out / "labels.csv").exists():
            raise UserError(f"{out}: holds photos that are no demo set; choose another folder")
        return None
    found = read_json(out / "demo.json", "the settings of a demo set")
    if found.get("settings") != settings:
        raise UserError(
            f"{out}: holds a demo set with other settings ({found.get('settings')}); delete it or choose another folder"
        )
    return found if found["complete"] else None


def _ceilings(preset: str) -> dict[str, dict[str, float]]:
    return {task: {view: round(value, 4) for view, value in expected(preset, task).items()} for task in ("emotion", "age")}

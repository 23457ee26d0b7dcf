"""Frames like those of CAER-S, for benchmarks: 712 x 400 PNG files of a photo with a face, a little different each."""

from pathlib import Path

import cv2
import numpy as np
from skimage.data import astronaut

WIDTH, HEIGHT = 712, 400


def draw_frames(folder: Path, n: int, seed: int = 0) -> list[Path]:
    """Write frames as `folder/train/Happy/NNNN.png`.

    scikit-image's public-domain portrait, moved, mirrored, brighter or darker, with camera noise, so that the files are as large
    and as slow to read as those of a real recording.

    Returns:
        Their paths.
    """
    rng = np.random.default_rng(seed)
    target = folder / "train" / "Happy"
    target.mkdir(parents=True, exist_ok=True)
    photo = cv2.resize(astronaut(), (760, 760), interpolation=cv2.INTER_CUBIC)
    paths = []
    for number in range(1, n + 1):
        x, y = rng.integers(0, 760 - WIDTH), rng.integers(0, 120)
        view = photo[y : y + HEIGHT, x : x + WIDTH].astype(np.float32) * rng.uniform(0.7, 1.1)
        frame = np.clip(view + rng.normal(0, 2.5, view.shape), 0, 255).astype(np.uint8)
        frame = frame[:, ::-1] if rng.random() < 0.5 else frame
        paths.append(target / f"{number:04d}.png")
        cv2.imwrite(str(paths[-1]), np.ascontiguousarray(frame[..., ::-1]))
    return paths


def tiny_photos(folder: Path, n: int, originals: int = 200) -> None:
    """`n` file names of `originals` 48 x 48 photos (hard links): many rows for little work."""
    rng = np.random.default_rng(0)
    for number in range(n):
        path = folder / f"{number % 7}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        first = folder / f"{number % originals % 7}" / f"{number % originals:06d}.png"
        if number < originals:
            cv2.imwrite(str(path), rng.integers(0, 256, (48, 48), dtype=np.uint8))
        else:
            path.hardlink_to(first)

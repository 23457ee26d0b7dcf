"""Drawn scenes with known truth: a face, its surroundings, and a stage that tells whether the face can be believed.

Light to import; `draw_demo` loads the drawing code when called.
"""

from pathlib import Path
from typing import Any


def draw_demo(
    out: str | Path, preset: str = "demo_v1", n: int | dict[str, int] | None = None, seed: int = 17, workers: int = 0
) -> dict[str, Any]:
    """Draw a demo set into a folder; see `preprocessing.demo.generate.draw_demo`."""
    from preprocessing.demo import generate

    return generate.draw_demo(Path(out), preset, n, seed, workers)

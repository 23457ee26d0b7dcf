"""`python -m caer benchmark`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, a stage folder in it, or an .onnx file that `export` wrote.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photos to measure with, as for `predict`.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many photos.")] = 200,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces that the network sees at once.")] = 32,
    threads: Annotated[int, typer.Option(min=0, help="Threads that read photos and find faces; 0 for one a core.")] = 0,
) -> None:
    """Measure how fast a run answers photos here: as a whole, finding faces alone, and the network alone."""
    from caer.predict.speed import measure

    print("\n".join(measure(run, paths, limit, batch_size, threads)))

"""`python -m caer predict`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, a stage folder in it, or an .onnx file that `export` wrote.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photos, folders (searched for photos), patterns, videos.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="F", help="F.jsonl or F.parquet; without it JSON lines on standard output.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write pictures with boxes, answers and bars.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a video every so many-th frame.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces that the network sees at once.")] = 32,
    threads: Annotated[int, typer.Option(min=0, help="Threads that read photos and find faces; 0 for one a core.")] = 0,
) -> None:
    """Answer photos, folders and videos with a trained run: one line a face, or one with a status where there is none."""
    from caer.predict.batch import predict_paths

    predict_paths(run, paths, out, annotate, every=every, batch_size=batch_size, threads=threads)

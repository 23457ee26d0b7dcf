"""`python -m caer index`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, a stage folder in it, or an .onnx file that `export` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that is searched for photos.")],
    out: Annotated[Path, typer.Option(metavar="F.parquet", help="The library; it is brought up to date where it exists.")],
    forget: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Take a photo or folder out and keep it out (may be repeated); nothing is indexed then."
        ),
    ] = None,
) -> None:
    """Index a folder of photos: every face with its answers, for `search`. Again: only new and changed photos are looked at."""
    from caer.library.forget import forget as forget_photos
    from caer.library.index import update_library
    from caer.predict.sources import describe_ignored

    if forget:
        print(f"{out}: forgot {forget_photos(folder, out, forget)} faces; they stay out of it")
        return
    done = update_library(run, folder, out)
    counts = f"{done.added} new, {done.changed} changed, {done.unchanged} unchanged, {done.dropped} deleted"
    kept_out = f", {done.forgotten} forgotten" if done.forgotten else ""
    print(f"{out}: {counts}{kept_out}; {done.rows} rows")
    if done.ignored:
        print(describe_ignored(done.ignored))

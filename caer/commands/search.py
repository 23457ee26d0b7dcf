"""`python -m caer search`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    library: Annotated[Path, typer.Argument(metavar="F.parquet", help="A library, as `index` writes it.")],
    where: Annotated[
        str, typer.Option(metavar="CONDITION", help="On its columns: \"emotion = 'smile' and age = 'child'\"; all without it.")
    ] = "true",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photos, or faces with --csv and --sheet.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="F.csv", help="Write all columns of the faces found there; `-` for standard output.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="F.html", help="Write a contact sheet of the faces found.")] = None,
    columns: Annotated[bool, typer.Option("--columns", help="Only show the columns that a condition may name.")] = False,
) -> None:
    """Find photos by who is in them: prints their paths, or writes CSV or a contact sheet."""
    from caer.library.query import LibraryQuery

    opened = LibraryQuery(library)
    if columns:
        print("\n".join(opened.columns))
    elif csv is None and sheet is None:
        print("".join(f"{opened.root / path}\n" for path in opened.photos(where, limit)), end="")
    else:
        from caer.library.results import write_results

        print("\n".join(write_results(opened.rows(where, limit), opened, where, csv, sheet)))

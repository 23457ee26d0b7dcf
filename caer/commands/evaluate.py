"""`python -m caer evaluate`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, a stage folder in it, or runs/NAME where it has one seed.")],
    split: Annotated[
        str, typer.Option(help="val, test, or another split but train. Each look at any but val is kept in the run's ledger.")
    ] = "val",
    by: Annotated[
        str, typer.Option(metavar="COL,...", help="Columns of the manifest (or annotations) whose values become subgroups.")
    ] = "",
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Show what an earlier call found, where weights, rows and columns are the same.")
    ] = False,
) -> None:
    """Score a run: RUN/eval/SPLIT gets metrics.json, predictions.parquet, report.html and pictures."""
    from caer.evaluation.console import summary_lines
    from caer.evaluation.evaluate import evaluate_run

    columns = [name.strip() for name in by.split(",") if name.strip()]
    evaluation = evaluate_run(run, split, columns, reuse=reuse)
    print("\n".join(summary_lines(evaluation)))

"""`python -m caer diagnose`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, a stage folder in it, or runs/NAME where it has one seed.")],
    split: Annotated[
        str, typer.Option(help="val, test, or another split. Any but val is a look that the run's ledger keeps.")
    ] = "val",
    rows: Annotated[int, typer.Option(min=0, help="At most so many rows, chosen by the hash of their ids; 0 for all.")] = 2000,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Also train the context branch again with other masks, and on the mask alone.")
    ] = False,
    margins: Annotated[
        str, typer.Option(metavar="M,...", help="Mask margins to train with, as shares of the face's box.")
    ] = "0,0.25,0.5",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each; as many as the run's own stage has by default.")
    ] = None,
) -> None:
    """Does a run use the context, is its gate any good, where does it look? RUN/diagnose gets report.html and diagnose.json."""
    from caer.diagnosis.console import summary_lines
    from caer.diagnosis.diagnose import diagnose_run
    from caer.diagnosis.retrain import Retraining, read_margins

    retraining = Retraining(read_margins(margins), epochs) if retrain else None
    print("\n".join(summary_lines(diagnose_run(run, split, rows, retraining))))

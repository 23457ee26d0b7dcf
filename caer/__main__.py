"""`python -m caer COMMAND`. Imports of the library happen inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from preprocessing.errors import UserError, run_command

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Judge and use trained runs. Exit code 0 done, 2 bad input (one line says what is expected).",
)


@app.callback()
def _commands() -> None:
    """Keeps `evaluate` a subcommand while it is the only one."""


@app.command()
def evaluate(
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


def main() -> None:
    """Run the command line; wrong input ends in one line and exit code 2."""
    run_command(_run)


def _run() -> int:
    try:
        result = app(args=sys.argv[1:] or ["--help"], prog_name="python -m caer", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except Exception as error:
        # Wrong options and missing arguments, which typer would otherwise draw as a box over several lines.
        if hasattr(error, "format_message"):
            raise UserError(f"{error.format_message()} (see python -m caer --help)") from None
        raise
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()

"""`python -m caer COMMAND`. The commands are the files of `caer/commands/`."""

import importlib
import sys

import typer

from preprocessing.errors import UserError, run_command
from preprocessing.lookup import plugin_names

INTERRUPTED = 130
"""What typer returns, without a word, instead of passing Ctrl-C on."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Judge, compare and use trained runs. Exit code 0 done, 1 findings, 2 bad input (one line says what is expected).",
)


@app.callback()
def _commands() -> None:
    """Keeps a single command a subcommand."""


for _name in plugin_names("caer.commands"):
    app.command(_name.replace("_", "-"))(importlib.import_module(f"caer.commands.{_name}").run)


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
    if result == INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()

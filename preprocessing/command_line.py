"""How a typer application is run here: wrong options, like all wrong input, end in one line and exit code 2."""

import sys
from typing import NoReturn

import typer

from preprocessing.errors import UserError, run_command

INTERRUPTED = 130
"""What typer returns, without a word, instead of passing Ctrl-C on."""


def run_app(app: typer.Typer, program: str) -> NoReturn:
    """Run the process's command line and leave the process as `run_command` does; without arguments, show the help.

    Args:
        app: whose commands may return an exit code.
        program: as the user calls it, for the texts.
    """
    run_command(lambda: _run(app, program))


def _run(app: typer.Typer, program: str) -> int:
    try:
        result = app(args=sys.argv[1:] or ["--help"], prog_name=program, standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except Exception as error:
        # Wrong options and missing arguments, which typer would otherwise draw over several lines.
        if hasattr(error, "format_message"):
            raise UserError(f"{error.format_message()} (see {program} --help)") from None
        raise
    if result == INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0

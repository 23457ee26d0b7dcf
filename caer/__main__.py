"""`python -m caer COMMAND`. The commands are the files of `caer/commands/`."""

import importlib

import typer

from preprocessing.command_line import run_app
from preprocessing.lookup import plugin_names

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
    run_app(app, "python -m caer")


if __name__ == "__main__":
    main()

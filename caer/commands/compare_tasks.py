"""`python -m caer compare-tasks`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path, typer.Argument(help="A config of a multitask model, such as configs/multitask/dataframe_xception.yaml.")
    ],
    split: Annotated[str, typer.Option(help="val, test, or another split but train.")] = "val",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the config.")
    ] = None,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where reports lie.")] = Path("reports"),
) -> None:
    """Train a config as one network and as one network a task; report scores and time of both."""
    from caer.config import load_config

    settings = load_config(config, overrides or [])

    from caer.comparison.networks import compare_networks
    from caer.comparison.networks_report import notes, table, write_comparison

    comparison = compare_networks(settings, split)
    path = write_comparison(comparison, settings, reports / settings.name)
    print("\n".join([*table(comparison), *notes(comparison), f"report: {path}"]))

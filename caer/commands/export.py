"""`python -m caer export`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[Path, typer.Argument(help="runs/NAME/seedS, or a stage folder in it.")],
    kind: Annotated[str, typer.Option("--format", metavar="onnx|safetensors", help="Of the file to write.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write to; without it `export/FORMAT/` in the stage.")
    ] = None,
) -> None:
    """Write a run's whole network as one file with a model card; refused unless it answers as the run does."""
    import json

    from caer.export.export import export_run

    file = export_run(run, kind, out)
    card = json.loads((file.parent / "card.json").read_text(encoding="utf-8"))
    parity = card["parity"]
    print(f"{file}: {card['file']['bytes'] / 1e6:.1f} MB; differs from the run by {parity['largest_difference']:.1e} at most")
    print(f"{file.parent / 'card.md'}")

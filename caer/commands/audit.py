"""`python -m caer audit`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    manifest: Annotated[Path, typer.Argument(help="manifest.parquet, or the folder that holds it.")],
    out: Annotated[Path | None, typer.Option(help="Where to write audit.json; default: beside the manifest.")] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(metavar="PREDICTIONS", help="predictions.parquet of rows the model was not trained on; may be repeated."),
    ] = None,
    resplit: Annotated[
        bool, typer.Option("--resplit", help="Also write MANIFEST_resplit.parquet, whose splits tear no cluster and no group.")
    ] = False,
    task: Annotated[str, typer.Option(help="Task whose class shares --resplit keeps; default: the first with class names.")] = "",
    page: Annotated[bool, typer.Option("--page", help="Also write audit.html with the photos concerned.")] = False,
) -> int:
    """Look for leaks between splits, contradicting and suspected labels. Exit code 1 where anything straddles splits."""
    from caer.audit.console import summary_lines
    from caer.audit.run import audit_manifest

    audit = audit_manifest(manifest, out, labels or (), resplit, task, page)
    print("\n".join(summary_lines(audit)))
    return 1 if audit.findings["leaks"] else 0

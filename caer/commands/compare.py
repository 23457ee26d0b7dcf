"""`python -m caer compare`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    files: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Prediction files (CSV or Parquet); NAME=FILE,FILE,... groups one file a seed."),
    ],
    protocol: Annotated[Path, typer.Option(help="What they are judged by: a manifest, an experiment's YAML, or a run's folder.")],
    split: Annotated[str, typer.Option(help="The judged split.")] = "test",
    task: Annotated[str, typer.Option(help="The judged task, where the protocol has several.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports/compare"),
) -> None:
    """Referee anybody's predictions: checks, paired intervals, p-values, one page. docs/compare.md has the file format."""
    from caer.comparison.protocol import read_protocol
    from caer.comparison.referee import parse_entries, referee, summary_lines
    from caer.report.comparison.page import write_study

    study = referee(parse_entries(files), read_protocol(protocol), split, task or None)
    findings = write_study(study, out)
    print("\n".join([*summary_lines(study, findings), f"report: {out / 'report.html'}"]))

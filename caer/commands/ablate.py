"""`python -m caer ablate`."""

import os
from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[Path, typer.Argument(help="An ablation's YAML file, such as configs/ablation_demo.yaml.")],
    seeds: Annotated[str, typer.Option(metavar="S,...", help="These seeds instead of the config's.")] = "",
    only: Annotated[
        str, typer.Option(metavar="VARIANT,...", help="Train and judge these variants only; the report shows all that are there.")
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the ablation, or a setting of every experiment."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be trained, and which stages are shared; write nothing.")
    ] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Write the report of what is there; train nothing.")] = False,
) -> int:
    """Train variants x seeds, judge each on the same rows, write the report. Started again, it goes on where it was.

    Exit code 1 where a variant failed; the others are there all the same.
    """
    from caer.ablation.config import load_ablation

    changed = list(overrides or [])
    if seeds:
        changed.append(f"seeds=[{seeds}]")
    ablation = load_ablation(config, changed)

    from caer.ablation.console import plan_lines, summary_lines
    from caer.ablation.execute import execute
    from caer.ablation.plan import plan, select
    from caer.ablation.report import write_ablation_report
    from caer.ablation.results import load_results

    runs, variants = plan(ablation), [name.strip() for name in only.split(",") if name.strip()]
    chosen = select(runs, variants)
    if dry_run:
        print("\n".join(plan_lines(chosen, ablation.split)))
        return 0
    failures = {} if report_only else execute(ablation, runs, variants)
    results = load_results(ablation)
    print("\n".join(summary_lines(results)))
    if report_only or any(results.results.values()):
        write_ablation_report(results, ablation.report_folder)
        print(f"report: {os.path.relpath(ablation.report_folder / 'report.html')}")
    return 1 if failures else 0

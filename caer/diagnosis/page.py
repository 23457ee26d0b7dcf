"""The page of a diagnosis: `report.html` and its plots beside it.

Enters: the content of `diagnose.json`, the probe and the truths for the pictures. Leaves: files in the diagnosis' folder. The
page shows photos of the data set: it belongs into the run's folder, not into a repository.
"""

from pathlib import Path
from typing import Any

from caer.diagnosis import plots, sections
from caer.diagnosis.probe import Probe
from caer.diagnosis.reliance import Truth
from caer.diagnosis.shots import change_strip, picks, sweep_strip
from caer.diagnosis.words import CHANGES, SWEEPS
from caer.report import html
from caer.report.provenance import provenance_section
from preprocessing.files import write_atomic

Json = dict[str, Any]


def write_page(folder: Path, facts: Json, probe: Probe, truths: dict[str, Truth]) -> Path:
    """Draw the plots, write them and `report.html`, and return the page's path."""
    content = [header(facts)]
    for name, task in facts["tasks"].items():
        drawn, truth = draw(task), truths[name]
        shown = picks(probe.rows, truth)
        strips = [change_strip(probe, truth, row) for row in shown]
        along = {sweep: sweep_strip(probe, truth, shown[0], sweep) for sweep in task["sweeps"]}
        content += task_sections(name, facts, drawn, strips, along)
        for kind, picture in drawn.items():
            write_atomic(folder / f"{kind}_{name}.png", picture)
    content += [sections.attention_section(facts["attention"]), provenance_section(facts)]
    path = folder / "report.html"
    write_atomic(path, html.page(title(facts), *content))
    return path


def title(facts: Json) -> str:
    """What the page is about, in one line."""
    run = facts["run"]
    return f"Diagnosis of {run['name']}, seed {run['seed']}, stage {run['stage']} on {facts['split']}"


def header(facts: Json) -> str:
    """Title, what was diagnosed, and the key figures."""
    run, rows = facts["run"], facts["rows"]
    lead = (
        f"{rows['n']:,} of {rows['usable']:,} rows of split {html.text(facts['split'])} that have a face and a photo. What the "
        f"model is shown is changed on purpose, and its answers are compared with those to the intact pictures of the same rows. "
        f"Brackets are 95% intervals, for which groups (else photos) are resampled as a whole."
    )
    parts = [
        html.paragraph(f"Diagnosis of the {html.text(run['output'])} output", "eyebrow"),
        f"<h1>{html.text(run['name'])}, seed {run['seed']}, stage {run['stage']}</h1>",
        html.paragraph(lead, "lead"),
        html.paragraph(_look(facts), "note"),
    ]
    for name, task in facts["tasks"].items():
        parts += [f"<h3>{html.text(name)}</h3>" if len(facts["tasks"]) > 1 else "", sections.tiles(task, facts["attention"])]
    return "".join(parts)


def _look(facts: Json) -> str:
    look = facts["looks"]
    if look is None:
        return "These are validation rows: the best epoch was chosen on them, so the accuracies are optimistic."
    return f"Look number {look['earlier_looks'] + 1} at <b>{html.text(facts['split'])}</b> with this run; each is in its ledger."


def draw(task: Json) -> dict[str, bytes]:
    """The plots of one task by kind."""
    drawn = {}
    if task["reliance"]:
        drawn["reliance"] = plots.costs([(CHANGES[name], entry["cost"]) for name, entry in task["reliance"].items()])
    for name, steps in task["sweeps"].items():
        drawn[name] = plots.sweep(steps, SWEEPS[name][1])
    if task["gate"] is not None:
        drawn["risk_coverage"] = plots.risk_coverage(task["gate"]["risk_coverage"])
    return drawn


def task_sections(name: str, facts: Json, drawn: dict[str, bytes], strips: list[str], along: dict[str, str]) -> list[str]:
    """One task's sections in their order."""
    task = facts["tasks"][name]
    heading = [html.section(f"Task {name}")] if len(facts["tasks"]) > 1 else []
    return [
        *heading,
        sections.reliance_section(task, drawn, strips),
        sections.gate_section(task, drawn),
        sections.sweeps_section(task, drawn, along),
        sections.retrained_section(facts["retrained"], name),
    ]

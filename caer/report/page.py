"""The page of one evaluation: `report.html`, `samples.html` and the pictures beside them.

Enters: the content of `metrics.json`, the predictions, the loaded run. Leaves: files in the evaluation's folder; the page holds
its pictures and needs nothing else.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from caer.engine.checkpoint import LoadedRun
from caer.engine.history import read_csv
from caer.evaluation.judged import JudgedRows, NumberRows, TagRows, judged_rows
from caer.evaluation.predictions import Predictions, TaskRows
from caer.report import galleries, html, plots
from caer.report.curves import curves, curves_section
from caer.report.numbers import number_sections, number_tiles, scatter
from caer.report.provenance import provenance_section
from caer.report.samples import pick_by_source, samples_page
from caer.report.scored_rows import subgroups_section
from caer.report.sections import (
    SCORE_HEADS,
    branches_section,
    calibration_section,
    classes_section,
    gates_section,
    score_cells,
    scores_section,
)
from caer.report.sheets import attention_section, contact_sheet, mistakes_section
from caer.report.tags import tag_sections, tag_tiles
from preprocessing.files import write_atomic

Json = dict[str, Any]
SAMPLES = "samples.html"


def write_report(folder: Path, metrics: Json, predictions: Predictions, loaded: LoadedRun, judged: pd.DataFrame) -> Path:
    """Draw the pictures, write them and `report.html` into the evaluation's folder.

    Args:
        folder: `RUN/eval/SPLIT`.
        metrics: content of `metrics.json`.
        predictions: the judged rows' predictions.
        loaded: the run, for the galleries.
        judged: the judged rows of the manifest.

    Returns:
        The page's path.
    """
    content = [header(metrics)]
    for name, scores in metrics["tasks"].items():
        sections, drawn = _task_content(name, scores, judged_rows(predictions, name), len(metrics["tasks"]) > 1, loaded, judged)
        content += sections
        for kind, picture in drawn.items():
            write_atomic(folder / f"{kind}_{name}.png", picture)
    content += [_training(folder, metrics, loaded), provenance_section(metrics)]
    _write_samples(folder / SAMPLES, title(metrics), predictions, loaded, judged)
    path = folder / "report.html"  # last: where it is, the others are
    write_atomic(path, html.page(title(metrics), *content))
    return path


def _training(folder: Path, metrics: Json, loaded: LoadedRun) -> str:
    """The stage's learning curves, also as pictures beside the page."""
    history, best = read_csv(loaded.folder / "metrics.csv"), metrics["run"]["trained"]["best_epoch"] or None
    drawn = {name: curves(history, name, best) for name in metrics["tasks"]} if history else {}
    for name, picture in drawn.items():
        write_atomic(folder / f"curves_{name}.png", picture)
    return curves_section(drawn, len(history), best)


def _write_samples(path: Path, about: str, predictions: Predictions, loaded: LoadedRun, judged: pd.DataFrame) -> None:
    picks = pick_by_source(predictions)
    ids = predictions.rows["sample_id"].iloc[picks].tolist()
    write_atomic(path, samples_page(about, predictions, picks, galleries.shots(loaded, judged, ids)))


def _task_content(
    name: str, scores: Json, task: JudgedRows, several: bool, loaded: LoadedRun, judged: pd.DataFrame
) -> tuple[list[str], dict[str, bytes]]:
    """A task's sections, and its pictures by kind."""
    if isinstance(task, NumberRows):
        drawn = {"scatter": scatter(task)}
        return number_sections(name, scores, drawn["scatter"], several), drawn
    if isinstance(task, TagRows):
        return tag_sections(name, scores, several), {}
    return _class_content(name, scores, task, several, loaded, judged)


def _class_content(
    name: str, scores: Json, task: TaskRows, several: bool, loaded: LoadedRun, judged: pd.DataFrame
) -> tuple[list[str], dict[str, bytes]]:
    drawn = draw(scores)
    attention = galleries.show(loaded, judged, task, galleries.pick_by_class(task))
    mistakes = galleries.show(loaded, judged, task, galleries.pick_mistakes(task))
    sections = task_sections(name, scores, drawn, several)
    sections += [attention_section(attention), mistakes_section(mistakes, task)]
    if any(sample.peak is not None for sample in attention):
        drawn["attention"] = contact_sheet([s for s in attention if s.peak is not None])
    if mistakes:
        drawn["mistakes"] = contact_sheet(mistakes)
    return sections, drawn


def title(metrics: Json) -> str:
    """What the page is about, in one line."""
    run = metrics["run"]
    return f"{run['name']}, seed {run['seed']}, stage {run['stage']} on {metrics['split']}"


def header(metrics: Json) -> str:
    """Title, what was judged, and the key figures."""
    run, rows = metrics["run"], metrics["rows"]
    answered = rows["answered_by"]
    lead = f"{rows['all']:,} labelled rows of split {html.text(metrics['split'])}, {rows['detected']:,} with a detected face. "
    if answered.get("context"):
        lead += f"{answered['context']:,} without a usable face are answered from the context alone. "
    if answered.get("prior"):
        lead += f"{answered['prior']:,} that this model cannot look at are answered with the class shares of its training rows "
        lead += "(of numbers, their median). "
    if rows["rejected_in_review"]:
        lead += f"{rows['rejected_in_review']:,} rows rejected in review are left out. "
    if metrics.get("unlabelled"):
        lead += f"No row is labelled for {html.text(', '.join(metrics['unlabelled']))}: nothing is known of that here. "
    if metrics.get("untrained"):
        lead += f"No training row was labelled for {html.text(', '.join(metrics['untrained']))}: that is not answered. "
    lead += "Scores without a unit are percentages; brackets are 95% intervals (groups, else photos, resampled as a whole)."
    parts = [
        html.paragraph(f"Evaluation of the {html.text(run['output'])} output", "eyebrow"),
        f"<h1>{html.text(run['name'])}, seed {run['seed']}, stage {run['stage']}</h1>",
        html.paragraph(lead, "lead"),
        _looks(metrics),
        html.paragraph(f'<a href="{SAMPLES}">Sample predictions</a> are a page of their own beside this one.', "fine"),
    ]
    for name, task in metrics["tasks"].items():
        parts += [f"<h3>{html.text(name)}</h3>" if len(metrics["tasks"]) > 1 else "", _tiles(task)]
    return "".join(parts)


def _looks(metrics: Json) -> str:
    look = metrics["looks"]
    if look is None:
        return html.paragraph(
            "These are validation rows: the best epoch was chosen on them, so their scores are optimistic.", "note"
        )
    earlier, split = look["earlier_looks"], html.text(metrics["split"])
    before = {0: "The first look", 1: "The second look"}.get(earlier, f"Look number {earlier + 1}")
    return html.paragraph(
        f"{before} at <b>{split}</b> with this run; each is in its ledger. Nothing was selected on these rows by this program: "
        f"epochs and temperature come from val.",
        "note",
    )


def _tiles(task: Json) -> str:
    if task.get("kind") == "number":
        return number_tiles(task)
    return tag_tiles(task) if task.get("kind") == "tags" else _class_tiles(task)


def _class_tiles(task: Json) -> str:
    scores, calibration = task["rows"]["all"], task["calibration"]
    entries = []
    for name, key in (("Accuracy", "accuracy"), ("Macro-F1", "macro_f1"), ("Balanced accuracy", "balanced_accuracy")):
        low, high = scores[key]["low"], scores[key]["high"]
        below = f"[{html.percent(low)}, {html.percent(high)}]" if low is not None else "no interval"
        entries.append((name, _percentage(scores[key]["value"]), below))
    after, before = calibration["after"], calibration["before"]
    below = f"{html.percent(before['ece'])} before temperature" if after else "no val rows for a temperature"
    entries.append(("Calibration error", _percentage((after or before)["ece"]), below))
    return html.tiles(entries)


def _percentage(value: float | None) -> str:
    return f'{html.percent(value)}<span class="unit">%</span>'


def draw(task: Json) -> dict[str, bytes]:
    """The plots of one task's scores by kind."""
    drawn = {"confusion": plots.confusion(task["classes"], task["confusion"])}
    drawn["reliability"] = plots.reliability(task["calibration"]["before"], task["calibration"]["after"])
    if task["branches"]:
        side = task["branches"]["all"]
        known = task.get("ceilings", {}).get("expected", {})
        ceilings = [known.get(view) for view in ("face", "context", "both_with_cue")]
        entries = [(branch, side[branch], branch) for branch in ("face", "context", "fused")]
        drawn["branches"] = plots.accuracies(entries, ceilings)
    if task["gates"]:
        drawn["gates"] = plots.gates(task["gates"]["by_class"])
    return drawn


def task_sections(name: str, task: Json, drawn: dict[str, bytes], several: bool) -> list[str]:
    """One task's sections in their order."""
    heading = [html.section(f"Task {name}")] if several else []
    return [
        *heading,
        scores_section(task),
        branches_section(task, drawn),
        classes_section(task, drawn),
        calibration_section(task, drawn),
        gates_section(task, drawn),
        subgroups_section(task, SCORE_HEADS, score_cells),
    ]

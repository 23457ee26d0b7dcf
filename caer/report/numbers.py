"""A predicted number on the evaluation's page: scores, predicted against true, subgroups.

Enters: a number's entry of `metrics.json` and its `NumberRows`. Leaves: HTML, PNG bytes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from caer.evaluation import numbers
from caer.evaluation.judged import NumberRows
from caer.evaluation.number_summary import in_unit, main_score
from caer.report import html
from caer.report.plots import new_figure, png
from caer.report.scored_rows import scores_table, subgroups_section
from caer.report.style import COLOURS

Json = dict[str, Any]
FEW = 5
"""Rows that a median needs at least."""
SCORES = {
    "mae": "MAE",
    "mae_to_midpoint": "MAE to the bin's midpoint",
    "distance": "Distance to the interval",
    "bias": "Mean error",
}


def number_sections(name: str, task: Json, picture: bytes, several: bool) -> list[str]:
    """Scores, the plot and subgroups of one task."""
    heading = [html.section(f"Task {name}")] if several else []
    columns = _columns(task)
    groups = subgroups_section(task, columns.values(), partial(_cells, columns))
    return [*heading, _scores(task, columns, picture), groups]


def number_tiles(task: Json) -> str:
    """The key figures."""
    unit, scores = task["unit"], task["rows"]["all"]
    key, estimate = main_score(scores)
    entries = [(SCORES[key], _value(estimate, unit), _ends(estimate))]
    entries.append(("Answering the median of train", _value(task["by_prior"][key], unit), SCORES[key]))
    if scores["inside"]["value"] is not None:
        entries.append(
            (
                "Inside the interval",
                f'{html.percent(scores["inside"]["value"])}<span class="unit">%</span>',
                "of the rows with one",
            )
        )
    return html.tiles(entries)


def _value(estimate: Json, unit: str) -> str:
    return f'{html.number(estimate["value"], 1)}<span class="unit"> {html.text(unit)}</span>'


def _ends(estimate: Json) -> str:
    return "no interval" if estimate["low"] is None else f"[{estimate['low']:.1f}, {estimate['high']:.1f}]"


def _scores(task: Json, columns: Mapping[str, str], picture: bytes) -> str:
    alt = f"Predicted against annotated {task['unit'] or 'number'}; on the dashed line both are equal."
    caption = (
        f"A pale dot is a row, the line through it its interval, if it has one; on the dashed line the answer is right. Dark: "
        f"median and middle half of the answers to an interval or, of known numbers, to a tenth of them, from {FEW} rows on."
    )
    table = scores_table(task, columns.values(), partial(_cells, columns))
    return html.section("Scores", table, html.figure(picture, alt, caption))


def _columns(task: Json) -> dict[str, str]:
    """The scores that these annotations define, with their headings."""
    scores, unit = task["rows"]["all"], f" ({html.text(task['unit'])})" if task["unit"] else ""
    intervals = scores["inside"]["value"] is not None
    return {
        key: name + unit for key, name in SCORES.items() if scores[key]["value"] is not None and (key != "distance" or intervals)
    } | ({"inside": "Inside (%)"} if intervals else {})


def _cells(columns: Mapping[str, str], scores: Json) -> list[str]:
    return [_cell(key, scores) for key in columns]


def _cell(key: str, scores: Json) -> str:
    """An estimate, and of how many of the rows it is where some numbers are known and others lie in intervals."""
    text = html.estimate_cell(scores[key], bar=False) if key == "inside" else in_unit(scores[key], "", signed=key == "bias")
    known, every = scores.get("known", 0), scores["n"]
    rows = {"mae": known, "mae_to_midpoint": every - known, "inside": every - known}.get(key, every)
    return f"{text} (of {rows:,})" if 0 < known < every and rows < every else text


def scatter(task: NumberRows, most: int = 4000) -> bytes:
    """Answers against annotations: dots, and the spans of intervals; an even selection where there are more than `most` rows."""
    shown = np.unique(np.linspace(0, len(task.answers) - 1, min(most, len(task.answers))).astype(int))
    targets, answers = task.targets[shown], task.answers[shown]
    figure, (axes,) = new_figure(4.4)
    low, high = task.range
    axes.plot([low, high], [low, high], color=COLOURS["ideal"], linewidth=1, linestyle=(0, (4, 3)))
    spans = ~numbers.known(targets)
    strength = float(np.clip(60 / max(len(shown), 1), 0.04, 0.6))
    beyond = (answers < low) | (answers > high)
    crossed = targets.mean(axis=1)[beyond], answers[beyond].clip(low, high)
    axes.scatter(*crossed, s=18, color=COLOURS["ink"], marker="x", clip_on=False, linewidths=1)
    axes.hlines(answers[spans], targets[spans, 0], targets[spans, 1], color=COLOURS["fused"], alpha=strength, linewidth=1)
    axes.scatter(targets.mean(axis=1), answers, 8, color=COLOURS["fused"], alpha=min(1, 4 * strength), linewidths=0)
    for place, (lower, median, upper) in middles(task):
        axes.plot([place, place], [lower, upper], color=COLOURS["ink"], linewidth=3, alpha=0.75, solid_capstyle="butt")
        axes.plot([place], [median], "o", color=COLOURS["ink"], markersize=6, markeredgecolor="white")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    unit = f" ({task.unit})" if task.unit else ""
    axes.set_xlabel(("annotated, intervals at their midpoint" if spans.any() else "annotated") + unit)
    count = int(((task.answers < low) | (task.answers > high)).sum())
    crosses = f"; crosses: {count:,} outside of the range" if count else ""
    axes.set_ylabel(f"predicted{unit}{crosses}")
    return png(figure)


def middles(task: NumberRows) -> list[tuple[float, np.ndarray]]:
    """Where an interval, or a tenth of the known numbers, lies (its mean), and the quartiles [3] of the answers to it."""
    exact = numbers.known(task.targets)
    truth = task.targets.mean(axis=1)
    bounds = np.unique(np.quantile(truth[exact], np.arange(1, 10) / 10)) if exact.any() else np.zeros(0)
    tenths = np.searchsorted(bounds, truth, side="right")
    bins = np.where(exact[:, None], np.stack([tenths, np.full(len(truth), -1.0)], axis=1), task.targets)
    _, codes = np.unique(np.column_stack([exact, bins]), axis=0, return_inverse=True)
    heaps = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    return [(float(truth[heap].mean()), np.quantile(task.answers[heap], [0.25, 0.5, 0.75])) for heap in heaps if len(heap) >= FEW]

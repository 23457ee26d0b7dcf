"""Predicted tags on the evaluation's page.

Enters: the entry of a task of kind `tags` in `metrics.json`. Leaves: HTML.
"""

from typing import Any

from caer.report import html
from caer.report.scored_rows import scores_table, subgroups_section

Json = dict[str, Any]
SCORES = {"map": "mAP", "micro_f1": "Micro-F1", "exact": "Right in every tag"}


def tag_sections(name: str, task: Json, several: bool) -> list[str]:
    """Scores, tags and subgroups of one task."""
    heading = [html.section(f"Task {name}")] if several else []
    scores = html.section("Scores", scores_table(task, SCORES.values(), _cells))
    return [*heading, scores, _per_tag(task), subgroups_section(task, SCORES.values(), _cells)]


def tag_tiles(task: Json) -> str:
    """The key figures."""
    scores = task["rows"]["all"]
    cells = [
        (name, f'{html.percent(scores[key]["value"])}<span class="unit">%</span>', _ends(scores[key]))
        for key, name in SCORES.items()
    ]
    return html.tiles(cells)


def _ends(estimate: Json) -> str:
    return "no interval" if estimate["low"] is None else f"[{html.percent(estimate['low'])}, {html.percent(estimate['high'])}]"


def _cells(scores: Json) -> list[str]:
    return [html.estimate_cell(scores[key]) for key in SCORES]


def _per_tag(task: Json) -> str:
    rows = [
        [html.text(row["class"]), f"{row['support']:,}", f"{row['predicted']:,}", html.percent(row["average_precision"])]
        for row in task["per_tag"]
    ]
    return html.section("Tags", html.table(["Tag", "Rows", "Predicted", "Average precision (%)"], rows))

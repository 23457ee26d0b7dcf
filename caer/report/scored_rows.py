"""Tables that every kind of task has: scores of all rows, and of subgroups.

Enters: a task's entry of `metrics.json`, the headings of its scores and their cells. Leaves: HTML.
"""

from collections.abc import Callable, Iterable
from typing import Any

from caer.report import html

Json = dict[str, Any]
Cells = Callable[[Json], list[str]]
"""Scores of some rows -> a cell for each heading."""

ROWS = {"all": "All rows", "detected": "With a detected face"}


def scores_table(task: Json, heads: Iterable[str], cells: Cells) -> str:
    """Scores of all rows and of those with a detected face."""
    rows = [_row(name, task["rows"][key], cells) for key, name in ROWS.items()]
    return html.table(["Rows", "n", "Groups", *heads], rows, strong=[0])


def subgroups_section(task: Json, heads: Iterable[str], cells: Cells) -> str:
    """Scores by each `--by` column of which the task's rows have values."""
    tables = [
        html.table(
            ["", "n", "Groups", *heads],
            [_row(html.text(row["value"]), row, cells) for row in groups],
            f"By <b>{html.text(column)}</b>",
        )
        for column, groups in task["subgroups"].items()
        if groups
    ]
    return html.section("Subgroups", *tables) if tables else ""


def _row(name: str, scores: Json, cells: Cells) -> list[str]:
    return [name, f"{scores['n']:,}", f"{scores['groups']:,}", *cells(scores)]

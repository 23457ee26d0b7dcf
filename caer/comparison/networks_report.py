"""A `Comparison` of one network with n as a Markdown page, JSON and lines on the screen."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from caer.comparison.networks import Comparison, TaskResult
from caer.config import Config
from caer.engine.provenance import code_and_machine, machine_text
from caer.evaluation.console import shown
from caer.evaluation.number_summary import in_unit
from preprocessing.files import write_atomic, write_json

NAMES = {"accuracy": "accuracy", "distance": "distance", "exact": "right in every tag"}


def write_comparison(comparison: Comparison, config: Config, folder: Path) -> Path:
    """Write `compare_tasks.md` and `compare_tasks.json`; returns the page's path."""
    facts = code_and_machine()
    write_json(folder / "compare_tasks.json", to_json(comparison) | {"name": config.name, "seed": config.seed, **facts})
    optimistic = (
        " (each network's best epoch was chosen on it, so all scores are optimistic)" if comparison.split == "val" else ""
    )
    head = [f"# {config.name}: one network for {len(comparison.tasks)} tasks, or one for each", ""]
    tail = [
        "",
        *[line for note in notes(comparison) for line in (note, "")],
        f"Split {comparison.split}{optimistic}, seed {config.seed}, the same epochs and schedule for every network; each of the "
        f"{len(comparison.tasks)} sees the rows that are labelled for its task. Brackets are 95% intervals (groups, else photos, "
        "resampled as a whole; differences are paired). One seed: how a retrained network would differ is not in them.",
        "",
        f"Commit {facts['commit']}; {machine_text(facts['machine'])}.",
        "",
    ]
    path = folder / "compare_tasks.md"
    write_atomic(path, "\n".join([*head, *table(comparison), *tail]))
    return path


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values, with the ratios of times."""
    others = sum(task.seconds for task in comparison.tasks)
    one, several = comparison.inference
    return {
        "schema_version": 1,
        **asdict(comparison),
        "training_ratio": others / comparison.training if comparison.training else None,
        "inference_ratio": several / one,
    }


def table(comparison: Comparison) -> list[str]:
    """The Markdown table: a line a task, then training and inference."""
    lines = ["| | rows | one network | one for each task | difference |", "| --- | --- | --- | --- | --- |"]
    lines += [_task_line(task) for task in comparison.tasks]
    others = sum(task.seconds for task in comparison.tasks)
    lines.append(f"| training, s | | {comparison.training:.0f} | {others:.0f} | {_times(others, comparison.training)} |")
    one, several = comparison.inference
    lines.append(f"| inference, ms a face | | {one:.2f} | {several:.2f} | {_times(several, one)} |")
    return lines


def notes(comparison: Comparison) -> list[str]:
    """What a reader of the table has to know: tasks that are left out."""
    return [f"Left out: {name} ({reason})." for name, reason in comparison.left_out.items()]


def _task_line(task: TaskResult) -> str:
    cells = [_value(task, estimate.to_json()) for estimate in (task.together, task.alone)]
    gap = _value(task, task.difference.to_json(), signed=True)
    return f"| {task.task}: {NAMES[task.score]} | {task.rows:,} | {cells[0]} | {cells[1]} | {gap} |"


def _value(task: TaskResult, estimate: dict[str, Any], signed: bool = False) -> str:
    return in_unit(estimate, task.unit, signed) if task.score == "distance" else shown(estimate, signed)


def _times(slower: float, faster: float) -> str:
    return f"{slower / faster:.1f} times" if faster else "undefined"

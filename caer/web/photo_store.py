"""A library of photos as the page asks it: choices become one condition, which `caer.library` checks and bounds as any other.

Enters: the library's file, choices. Leaves: rows of one page of results, and how many there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from caer.library.query import LibraryQuery, quoted
from caer.library.results import headline
from preprocessing.files import file_within

_SHOWN = ("path", "rank", "status", "answered_by", "box", "score")


@dataclass(frozen=True)
class Choices:
    """What to look for; an empty choice leaves everything.

    Attributes:
        answers: by task, the answers to keep.
        confidence: lowest calibrated confidence of the tasks in `answers`.
        faces: `any`, `yes` for rows with a face, `no` for photos without.
        condition: any other condition, in the words of `python -m caer search --where`.
    """

    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    confidence: float = 0.0
    faces: str = "any"
    condition: str = ""


class PhotoStore:
    """An open library; several browsers may ask at once.

    Args:
        path: its file.

    Raises:
        UserError: it cannot be read, or DuckDB is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._query = LibraryQuery(path)
        self._lock = Lock()
        self.root = self._query.root
        self.tasks = [name for name in self._query.columns if f"{name}_gates" in self._query.columns]
        self.answers = {name: self._distinct(name) for name in self.tasks}

    def _distinct(self, column: str) -> list[str]:
        """The answers of a task that are words."""
        found = {row[column] for row in self._query.rows(columns=[column])}
        return sorted(value for value in found if isinstance(value, str))

    def where(self, choices: Choices) -> str:
        """The condition that choices make."""
        parts = []
        for task, answers in choices.answers.items():
            if answers:
                parts.append(f"{quoted(task)} IN ({', '.join(map(_word, answers))})")
                if choices.confidence > 0 and f"{task}_confidence" in self._query.columns:
                    parts.append(f"{quoted(f'{task}_confidence')} >= {float(choices.confidence)}")
        if choices.faces != "any":
            parts.append("box IS NOT NULL" if choices.faces == "yes" else "box IS NULL")
        if choices.condition.strip():
            parts.append(f"(\n{choices.condition}\n)")
        return " AND ".join(parts) or "true"

    def count(self, where: str) -> int:
        """How many rows meet a condition.

        Raises:
            UserError: it may not be asked.
        """
        with self._lock:
            return len(self._query.rows(where, columns=["rank"]))

    def page(self, where: str, number: int, size: int) -> list[dict[str, Any]]:
        """The rows of one page of results, in the order of path and rank.

        Raises:
            UserError: the condition may not be asked.
        """
        answers = [name for task in self.tasks for name in (task, f"{task}_confidence") if name in self._query.columns]
        with self._lock:
            return self._query.rows(where, (number + 1) * size, [*_SHOWN, *answers])[number * size :]

    def file(self, row: Mapping[str, Any]) -> Path | None:
        """The photo of a row, if it lies in the indexed folder, whatever the row says."""
        return file_within(self.root, row["path"])

    def headline(self, row: Mapping[str, Any]) -> str:
        """What was answered, in a few words."""
        return headline(row, self.tasks)


def _word(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

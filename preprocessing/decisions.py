"""Review decisions: `OUT/decisions.jsonl`, append-only, by sample id; applied again at each run.

A line is `{"sample_id": ID, "action": ACTION, ...}`: `reject` (the row gets the status `rejected`), `accept` (takes a rejection
back), `relabel` with `task` and `label` (null: no label), `face` with `box` (the detected face that overlaps it most becomes
the sample's; null: as selected), `undo` with the `key` of the line that it takes back. Later lines win.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from preprocessing.errors import UserError
from preprocessing.labels import number_of, text_of
from preprocessing.settings import StrictModel

FILE = "decisions.jsonl"


class Decision(StrictModel):
    """One line of the file."""

    sample_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    action: Literal["accept", "reject", "relabel", "face", "undo"]
    task: str = ""
    label: str | float | None = None
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    reason: str = ""
    time: str = ""
    key: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    """The writer's own name for the line: one that was sent twice counts once, and `undo` can name it."""

    @model_validator(mode="after")
    def _undo_names_a_line(self) -> "Decision":
        if self.action == "undo" and not self.key:
            raise ValueError("'undo' needs the key of the line that it takes back")
        return self


@dataclass
class Decisions:
    """What holds after all lines.

    Attributes:
        rejected: sample id -> reason.
        labels: sample id -> task -> label, None for no label.
        boxes: sample id -> (x1, y1, x2, y2) in pixels of the photo.
        history: sample id -> its decisions that were not taken back, in order; never empty.
    """

    rejected: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str | float | None]] = field(default_factory=dict)
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    history: dict[str, list[Decision]] = field(default_factory=dict)

    def copy(self) -> "Decisions":
        """The same decisions, to be added to."""
        labels = {sample_id: dict(by_task) for sample_id, by_task in self.labels.items()}
        return Decisions(dict(self.rejected), labels, dict(self.boxes), dict(self.history))

    def add(self, decision: Decision) -> None:
        """Take in one more line."""
        made = self.history.get(decision.sample_id, [])
        if decision.action == "undo":
            self._replay(decision.sample_id, [other for other in made if other.key != decision.key])
        elif not decision.key or all(other.key != decision.key for other in made):
            self.history[decision.sample_id] = [*made, decision]
            self._apply(decision)

    def _replay(self, sample_id: str, made: list[Decision]) -> None:
        for part in (self.rejected, self.labels, self.boxes, self.history):
            part.pop(sample_id, None)
        if made:
            self.history[sample_id] = made
        for decision in made:
            self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        if decision.action == "reject":
            self.rejected[decision.sample_id] = decision.reason or "rejected in the review"
        elif decision.action == "accept":
            self.rejected.pop(decision.sample_id, None)
        elif decision.action == "relabel":
            self.labels.setdefault(decision.sample_id, {})[decision.task] = decision.label
        elif decision.box is None:
            self.boxes.pop(decision.sample_id, None)
        else:
            self.boxes[decision.sample_id] = decision.box

    def samples(self) -> set[str]:
        """Ids of the samples that anything was decided about."""
        return {*self.rejected, *self.labels, *self.boxes}


def append_decision(out: Path, decision: Decision) -> tuple[int, int]:
    """Add a line to the file of an output folder, on disk before this returns; several processes may.

    Returns:
        Where the line begins and ends in the file, in bytes.
    """
    line = json.dumps(decision.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"
    with open(out / FILE, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the line that another writes is no line cut short
        begin = _end_of_last_line(out / FILE)
        file.truncate(begin)  # what a kill cut short must not swallow this line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
    return begin, begin + len(line.encode())


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def read_decisions(out: Path) -> Decisions:
    """The decisions of an output folder; none where it has no such file.

    Raises:
        UserError: a line is not a decision. A last line that a kill cut short is no line.
    """
    decisions = Decisions()
    path = out / FILE
    if not path.is_file():
        return decisions
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(complete.splitlines(), 1):
        if not line.strip():
            continue
        try:
            decisions.add(Decision.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = ".".join(map(str, problem["loc"]))
            raise UserError(f"{path}: line {number}: {key or 'line'}: {problem['msg']}; mend or delete the line") from None
    return decisions


def apply_decisions(rows: Iterable[dict[str, Any]], decisions: Decisions, label_types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Copies of manifest rows with rejections and labels applied; chosen faces are applied when the photo is processed.

    Raises:
        UserError: a label for a task that the dataset does not have, or of the wrong kind.
    """
    changed = []
    for original in rows:
        row = dict(original)
        identity = row["sample_id"]
        for task, label in decisions.labels.get(identity, {}).items():
            row[f"label_{task}"] = fitting_label(task, label, label_types)
        if identity in decisions.rejected:
            row["status"], row["reason"] = "rejected", decisions.rejected[identity]
        changed.append(row)
    return changed


def fitting_label(task: str, label: str | float | None, label_types: Mapping[str, str]) -> str | float | None:
    """A label as the task's column holds it.

    Args:
        task: its name.
        label: from a decision; None for no label.
        label_types: task -> `string` or `double`.

    Raises:
        UserError: the dataset has no such task, or its labels are of the other kind.
    """
    if task not in label_types:
        raise UserError(f"{FILE}: relabel names task {task!r}; the dataset has {', '.join(sorted(label_types)) or 'none'}")
    if label is None:
        return None
    if label_types[task] == "string":
        return label if isinstance(label, str) else text_of(label)
    try:
        return number_of(label)
    except ValueError:
        raise UserError(f"{FILE}: relabel gives task {task!r} {label!r}; its labels are numbers") from None

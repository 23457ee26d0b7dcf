"""The page's pen: a decision from the browser is checked, put on disk, and then holds.

Enters: a manifest, and decisions as JSON values. Leaves: lines of `OUT/decisions.jsonl`, and what holds after them.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import numpy as np
from pandas.api.types import is_numeric_dtype

from preprocessing.decisions import FILE, Decision, Decisions, append_decision, fitting_label, read_decisions
from preprocessing.errors import UserError
from preprocessing.manifest import Manifest
from preprocessing.settings import validate


def label_types(manifest: Manifest) -> dict[str, str]:
    """Task -> `string` or `double`, as the manifest's columns are."""
    rows = manifest.rows
    return {task: "double" if is_numeric_dtype(rows[f"label_{task}"]) else "string" for task in manifest.tasks}


def can_choose_face(manifest: Manifest) -> bool:
    """Whether a sample may be given another face of its photo: not where every face is a sample of its own."""
    return manifest.meta.get("settings", {}).get("select") != "all"


def eligible_boxes(row: Mapping[str, Any], min_size: float) -> np.ndarray:
    """The detections of a sample's photo that preprocessing would take as its face: (N, 4) in pixels of the photo."""
    found = row["all_boxes"]
    boxes = np.asarray([] if found is None else found, dtype=np.float32).reshape(-1, 5)[:, :4]
    return boxes[np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= min_size]


class Journal:
    """The review decisions of one output folder. Several browsers may write at once, also through other processes.

    Args:
        manifest: whose samples may be decided about.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.types = label_types(manifest)
        self.min_size = float(manifest.meta.get("settings", {}).get("min_size", 0))
        self._place = {identity: i for i, identity in enumerate(manifest.rows["sample_id"])}
        self._lock = Lock()
        self._stamp: tuple[int, int] | None = None
        self._decisions = Decisions()

    def decisions(self) -> Decisions:
        """What holds now.

        Raises:
            UserError: the file is damaged.
        """
        with self._lock:
            return self._fresh()

    def _fresh(self) -> Decisions:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._decisions = read_decisions(self.manifest.folder)
            self._stamp = stamp
        return self._decisions

    def _stamp_now(self) -> tuple[int, int]:
        try:
            status = (self.manifest.folder / FILE).stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def decide(self, content: Mapping[str, Any]) -> Decisions:
        """Write a decision; it is on disk when this returns. One whose key is known already is not written again.

        Args:
            content: fields of `preprocessing.decisions.Decision`; the time is set here.

        Raises:
            UserError: it fits neither the manifest nor the format.
            OSError: the file cannot be written.
        """
        decision = self._checked(content)
        with self._lock:
            held = self._fresh()
            made = held.history.get(decision.sample_id, [])
            known = bool(decision.key) and any(other.key == decision.key for other in made)
            if known == (decision.action == "undo"):  # a new line, or the end of a line that holds
                self._write(decision)
            return self._fresh()

    def _write(self, decision: Decision) -> None:
        """Append a line; what it changes is known without reading the file again, unless another process wrote to it."""
        begin, end = append_decision(self.manifest.folder, decision)
        stamp = self._stamp_now()
        if self._stamp is not None and begin == self._stamp[0] and end == stamp[0]:
            self._decisions = self._decisions.copy()  # another browser's page may be reading the old one
            self._decisions.add(decision)
            self._stamp = stamp

    def _checked(self, content: Mapping[str, Any]) -> Decision:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        decision = validate(Decision, {**content, "time": now}, "decision")
        if decision.sample_id not in self._place:
            raise UserError(f"sample {decision.sample_id[:12]} is not in {self.manifest.folder}; load the page again")
        if decision.action == "relabel":
            label = fitting_label(decision.task, decision.label, self.types)
            if isinstance(label, float) and not math.isfinite(label):
                raise UserError(f"label {label} is no number that can be trained on; give a finite one")
            return decision.model_copy(update={"label": label})
        if decision.action == "face":
            self._check_face(decision)
        return decision

    def _check_face(self, decision: Decision) -> None:
        if not can_choose_face(self.manifest):
            raise UserError("every face of a photo is a sample of its own here (select: all); reject the other faces instead")
        row = self.manifest.rows.iloc[self._place[decision.sample_id]]
        boxes = eligible_boxes(row, self.min_size)
        if decision.box is not None and not any(np.allclose(box, decision.box, atol=0.5) for box in boxes):
            raise UserError(
                f"box {[round(x) for x in decision.box]} is none of the photo's {len(boxes)} faces; choose one of them"
            )

"""A manifest as the review sees it: what each sample is now, which samples a filter leaves, what the browser needs of one.

Enters: a manifest, the decisions so far, suspected labels (`suspects.csv` beside the manifest, where an audit wrote it).
Leaves: positions of rows, and plain values for the browser. Nothing here reads a picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from caer.web.journal import can_choose_face, eligible_boxes, label_types
from preprocessing.decisions import Decisions
from preprocessing.errors import UserError
from preprocessing.manifest import Manifest

PAGE_SIZE = 48
"""Samples on a page of the contact sheet."""
SUSPECTS = "suspects.csv"
_SUSPECT_COLUMNS = ["sample_id", "task", "given", "suggested", "score"]


@dataclass(frozen=True)
class Filters:
    """What the review is to show; an empty choice leaves everything.

    Attributes:
        statuses, splits, sources: values to keep.
        task: whose labels `labels` and `suspected` mean.
        labels: labels to keep, as text; empty text stands for samples without a label.
        score: detector scores to keep, both ends included; samples without a face stay only at (0, 1).
        several_faces: only photos with more than one face.
        suspected: only samples whose label an audit suspects.
        reviewed: only samples that were, or were not, decided about.
    """

    statuses: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    task: str = ""
    labels: tuple[str, ...] = ()
    score: tuple[float, float] = (0.0, 1.0)
    several_faces: bool = False
    suspected: bool = False
    reviewed: Literal["any", "yes", "no"] = "any"


class Samples:
    """The rows of a manifest, ready to be filtered and shown.

    Args:
        manifest: with its folder.

    Raises:
        UserError: `suspects.csv` is there and cannot be read.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.rows = manifest.rows
        self.types = label_types(manifest)
        self.suspects = read_suspects(manifest.folder)
        self.min_size = float(manifest.meta.get("settings", {}).get("min_size", 0))
        self.choosable = can_choose_face(manifest)

    def values(self, column: str) -> list[str]:
        """The values of `status`, `split` or `source`, most frequent first."""
        return [str(value) for value in self.rows[column].fillna("").value_counts().index]

    def labels(self, task: str) -> list[str]:
        """The labels of a task as text, sorted."""
        return sorted({show_label(value) for value in self.rows[f"label_{task}"]} - {""})

    def statuses(self, decisions: Decisions) -> pd.Series:
        """The status of each row after the decisions, though preprocessing has not applied them yet."""
        status = self.rows["status"].copy()
        rejected = self.rows["sample_id"].isin(list(decisions.rejected))
        for i in np.flatnonzero((status == "rejected") & ~rejected):
            status.iloc[i] = _status_before(self.rows.iloc[i])
        status[rejected] = "rejected"
        return status

    def label(self, task: str, decisions: Decisions) -> pd.Series:
        """A task's labels as text after the decisions; empty where there is none."""
        decided = {i: labels[task] for i, labels in decisions.labels.items() if task in labels}
        own = self.rows[f"label_{task}"].map(show_label)
        return own.where(~self.rows["sample_id"].isin(list(decided)), self.rows["sample_id"].map(decided).map(show_label))

    def choose(self, filters: Filters, decisions: Decisions) -> list[int]:
        """Positions of the rows that the filters leave, in the manifest's order; suspected labels by suspicion."""
        rows = self.rows
        keep = np.ones(len(rows), dtype=bool)
        for values, column in (
            (filters.statuses, self.statuses(decisions)),
            (filters.splits, rows["split"].fillna("")),
            (filters.sources, rows["source"]),
        ):
            keep &= column.isin(values).to_numpy() if values else True
        if filters.labels:
            keep &= self.label(filters.task, decisions).isin(filters.labels).to_numpy()
        if filters.score != (0.0, 1.0):
            keep &= rows["score"].between(*filters.score).fillna(False).to_numpy(bool)
        if filters.several_faces:
            keep &= rows["n_faces"].to_numpy() > 1
        if filters.reviewed != "any":
            keep &= rows["sample_id"].isin(list(decisions.history)).to_numpy() == (filters.reviewed == "yes")
        if filters.suspected:
            return self._suspected(keep, filters.task)
        return [int(i) for i in np.flatnonzero(keep)]

    def _suspected(self, keep: np.ndarray, task: str) -> list[int]:
        places = pd.Series(range(len(self.rows)), index=self.rows["sample_id"])
        found = self.suspects[self.suspects["task"] == task].sort_values("score", kind="stable")
        wanted = places.reindex(found["sample_id"].drop_duplicates()).dropna().astype(int)
        return [int(i) for i in wanted if keep[i]]

    def standing(self, sample_id: str, row: Mapping[str, Any], decisions: Decisions) -> dict[str, Any]:
        """What a decision can change about a sample, as the browser shows it."""
        status = row["status"]
        if sample_id in decisions.rejected:
            status = "rejected"
        elif status == "rejected":
            status = _status_before(row)
        decided = decisions.labels.get(sample_id, {})
        labels = {task: show_label(decided.get(task, row[f"label_{task}"])) for task in self.types}
        chosen = decisions.boxes.get(sample_id)
        box = chosen if chosen is not None else row["box"]
        made = decisions.history.get(sample_id, [])
        return {
            "status": status,
            "labels": labels,
            "box": None if box is None else _shares(np.asarray(box)[None], row)[0],
            "chosen": chosen is not None,
            "reviewed": bool(made),
            "decided": [decision.action for decision in made],
        }

    def item(self, position: int, decisions: Decisions) -> dict[str, Any]:
        """A sample as the browser shows it: plain values, boxes as shares of the photo's width and height."""
        row = self.rows.iloc[position].to_dict()
        identity = row["sample_id"]
        faces = eligible_boxes(row, self.min_size)
        return {
            "id": identity,
            "image": row["image"],
            "source": row["source"],
            "split": row["split"] or "",
            "reason": row["reason"] or "",
            "score": None if pd.isna(row["score"]) else round(float(row["score"]), 3),
            "faces": int(row["n_faces"]),
            "boxes": [{"box": box.tolist(), "at": at} for box, at in zip(faces, _shares(faces, row), strict=True)],
            "has_face": bool(row["face_file"]),
            "has_photo": bool(row["image_file"]),
            "suspects": self._suggestions(identity),
            **self.standing(identity, row, decisions),
        }

    def _suggestions(self, sample_id: str) -> dict[str, str]:
        found = self.suspects[self.suspects["sample_id"] == sample_id]
        return {task: show_label(label) for task, label in zip(found["task"], found["suggested"], strict=True)}


def read_suspects(folder: Path) -> pd.DataFrame:
    """The suspected labels of an audit; an empty table where there are none.

    Raises:
        UserError: the file lacks columns or is no CSV.
    """
    path = folder / SUSPECTS
    if not path.is_file():
        return pd.DataFrame(columns=_SUSPECT_COLUMNS)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_SUSPECT_COLUMNS[:-1], "str"), keep_default_na=False)
        table["score"] = pd.to_numeric(table["score"])
        return table[_SUSPECT_COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no list of suspected labels ({error}); run the audit again, or delete it") from None


def show_label(value: Any) -> str:
    """A label as text: `sad`, `31`, empty for none."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    return value if isinstance(value, str) else f"{value:g}"


def _status_before(row: Mapping[str, Any]) -> str:
    """The status that a rejected row gets back: the manifest keeps only what was found."""
    if row["face_file"]:
        return "ok"
    if not row["image_file"]:
        return "unreadable"
    return "no_face" if row["box"] is None else "too_small"


def _shares(boxes: np.ndarray, row: Mapping[str, Any]) -> list[list[float]]:
    size = np.array([row["width"], row["height"]] * 2, dtype=np.float64).clip(1)
    values: list[list[float]] = np.round(boxes / size, 5).tolist()
    return values


def pages(count: int, size: int) -> int:
    """How many pages so many entries take; one where there is nothing."""
    return max(1, -(-count // size))

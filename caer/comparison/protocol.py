"""What prediction files are refereed by: the rows of a split, their true classes and groups.

Enters: a manifest, or an experiment's config (a run's `config.yaml` too). Leaves: a `Protocol`. A manifest's tasks are its label
columns of words, their classes in alphabetical order; a config says itself which tasks and classes there are. Rows that a
reviewer rejected are left out, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from caer.data.rows import row_hash
from caer.evaluation.predictions import ONE_OF, group_names
from preprocessing.errors import UserError, unknown_name
from preprocessing.manifest import read_manifest

REJECTED = "rejected"
NEEDED = ("sample_id", "source", "image", "split", "group", "status")


@dataclass(frozen=True)
class Protocol:
    """The truth that predictions are judged by.

    Attributes:
        place: the file that it comes from.
        rows: of all splits, columns `NEEDED` and per task `target_TASK` (int, -1 missing).
        tasks: classes by task.
    """

    place: Path
    rows: pd.DataFrame
    tasks: Mapping[str, list[str]]

    def split(self, name: str, task: str) -> pd.DataFrame:
        """The rows of a split that are labelled for a task, in the order of `sample_id`.

        Raises:
            UserError: there is no such task, or no such row.
        """
        if task not in self.tasks:
            raise unknown_name(f"task of {self.place}", task, self.tasks)
        rows = self.rows[(self.rows["split"] == name) & (self.rows[f"target_{task}"] >= 0)]
        if not len(rows):
            counts = ", ".join(f"{split} ({count:,})" for split, count in self.rows["split"].value_counts().items())
            raise UserError(f"{self.place}: no row of split {name!r} is labelled for {task}; expected a split of {counts}")
        return rows.sort_values("sample_id").reset_index(drop=True)

    def hash(self, rows: pd.DataFrame, task: str) -> str:
        """Row hash of the judged rows with their targets."""
        return row_hash(rows, [task])


def codes(rows: pd.DataFrame) -> np.ndarray:
    """[N] what is resampled together: a row's group, else its photo."""
    return np.unique(group_names(rows), return_inverse=True)[1]


def read_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Args:
        path: `manifest.parquet` or its folder; an experiment's YAML; a run's folder with its `config.yaml`.

    Raises:
        UserError: it is none of these, or names no task whose answer is one of several classes.
    """
    config = path / "config.yaml" if (path / "config.yaml").is_file() else path
    protocol = _of_config(config) if config.suffix in (".yaml", ".yml") else _of_manifest(path)
    if not protocol.tasks:
        raise UserError(f"{path}: no task whose answer is one of several classes; expected a label column of words")
    return protocol


def _of_manifest(path: Path) -> Protocol:
    manifest = read_manifest(path)
    rows = manifest.rows[manifest.rows["status"] != REJECTED].reset_index(drop=True)
    table, tasks = rows[list(NEEDED)].copy(), {}
    for task in manifest.tasks:
        labels = rows[f"label_{task}"]
        if labels.dtype.kind == "f":
            continue
        words = labels.fillna("").astype(str)
        tasks[task] = sorted(set(words) - {""})
        table[f"target_{task}"] = words.map({name: k for k, name in enumerate(tasks[task])}).fillna(-1).astype(int)
    return Protocol(path, table, tasks)


def _of_config(path: Path) -> Protocol:
    from caer.config import load_config
    from caer.data.rows import Rows
    from caer.tasks import build_tasks

    config = load_config(path)
    built = build_tasks(config)
    rows = Rows(config, built).table
    rows = rows[rows["status"] != REJECTED].reset_index(drop=True)
    tasks = {name: list(task.config.classes) for name, task in built.items() if task.kind in ONE_OF}
    return Protocol(path, rows[[*NEEDED, *(f"target_{name}" for name in tasks)]], tasks)

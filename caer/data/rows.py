"""From manifests to the rows that a stage trains on, or an evaluation scores.

Enters: `config.data.sources` and the built tasks. Leaves: one table whose rows carry their manifest's columns and
`manifest_folder`, `manifest` (the file), `source_index` (which of `config.data.sources`), `has_face`, and per task `target_TASK`;
a number also has `low_TASK` and `high_TASK`, the interval that holds it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from caer.config import Config
from caer.data.targets import is_labelled, target_columns, targets_of
from caer.tasks.base import Task
from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes
from preprocessing.manifest import Manifest, read_manifest

FACELESS = ("no_face", "too_small")
"""Statuses of photos that were read but give no usable face."""


class Rows:
    """All labelled rows of an experiment's manifests.

    Attributes:
        table: the rows, in the order of the sources and their manifests.
        manifests: as read, in the order of `config.data.sources`.

    Args:
        config: the experiment.
        tasks: built tasks by name.

    Raises:
        UserError: a manifest is absent or of another schema, a label column is missing, a label is not declared, a sample
            stands twice.
    """

    def __init__(self, config: Config, tasks: Mapping[str, Task]) -> None:
        self.config, self.tasks = config, dict(tasks)
        self.manifests = [read_manifest(source.manifest) for source in config.data.sources]
        _check_columns(self.manifests, config, self.tasks)
        parts = [self._encode(i, manifest) for i, manifest in enumerate(self.manifests)]
        table = pd.concat(parts, ignore_index=True)
        labelled = np.zeros(len(table), bool)
        for name in self.tasks:
            labelled |= is_labelled(table[f"target_{name}"].to_numpy())
        if not labelled.any():
            raise UserError(
                f"{_paths(config)}: no row is labelled for {', '.join(self.tasks)}; label the data or name other columns"
            )
        self.table = table[labelled].reset_index(drop=True)
        _check_unique(self.table)

    def _encode(self, index: int, manifest: Manifest) -> pd.DataFrame:
        path = self.config.data.sources[index].manifest
        rows = manifest.rows.reset_index(drop=True)
        columns: dict[str, Any] = {
            "manifest_folder": str(manifest.folder),
            "manifest": str(path),
            "source_index": index,
            "has_face": rows["status"].eq("ok") & rows["face_file"].ne(""),
        }
        by_photo = rows.set_axis(rows["image"])  # for errors to name it
        for task in self.tasks.values():
            columns |= task.encode_rows(by_photo, str(path))
        return rows.assign(**columns)

    def split(self, name: str) -> pd.DataFrame:
        """Every labelled row of a split, whatever its status: what an evaluation's denominator is made of.

        Raises:
            UserError: there is none; the message lists the splits there are.
        """
        rows = self.table[self.table["split"] == name]
        if rows.empty:
            counts = self.table["split"].replace("", "(none)").value_counts()
            have = ", ".join(f"{split} ({n})" for split, n in sorted(counts.items()))
            raise UserError(
                f"{_paths(self.config)}: no labelled rows of split {name!r}; there are {have}; give the dataset a {name!r} split"
            )
        return rows.reset_index(drop=True)

    def training(self, output: str, part: str) -> pd.DataFrame:
        """Rows that a stage trains on.

        Args:
            output: `face`, `context` or `fused`: whose logits carry the loss.
            part: `train`, `holdout` (never seen by stages with `train`), as the stage's `data` says.

        Raises:
            UserError: no rows are left, or those that are cannot train a task.
        """
        rows = self.split("train")
        if self.config.uses_holdout:
            held = holdout_mask(rows, self.config.data.holdout_fraction)
            rows = rows[held if part == "holdout" else ~held]
        return self._usable(rows, output, f"train ({part})")

    def validation(self, output: str) -> pd.DataFrame:
        """Rows of split `val` that a stage's monitor is computed on."""
        return self._usable(self.split("val"), output, "val")

    def _usable(self, rows: pd.DataFrame, output: str, what: str) -> pd.DataFrame:
        use = rows["has_face"].to_numpy(bool)
        if output != "face" and self.config.data.no_face == "context_only":
            use = use | context_only(rows).to_numpy(bool)
        if not use.any():
            counts = ", ".join(f"{n} {status}" for status, n in rows["status"].value_counts().items())
            raise UserError(f"{_paths(self.config)}: no usable row in {what} for output {output!r}; there are {counts}")
        rows = rows[use].reset_index(drop=True)
        if what != "val":
            self._check_tasks(rows, f"{_paths(self.config)}: {what}")
        return rows

    def _check_tasks(self, rows: pd.DataFrame, where: str) -> None:
        for name, task in self.tasks.items():
            targets = targets_of(rows, name)
            labelled = is_labelled(targets)
            if labelled.any() or not task.config.optional:
                task.check(targets[labelled], where)


def context_only(rows: pd.DataFrame) -> pd.Series:
    """[N] bool: rows without a usable face whose photo can still be looked at."""
    return rows["status"].isin(FACELESS) & rows["image_file"].ne("")


def holdout_mask(rows: pd.DataFrame, fraction: float) -> np.ndarray:
    """[N] bool: the held-out share of train.

    Whole groups (a photo where no group is given) in the order of their hash, so that membership depends on the data alone: not
    on seed, stage, detector or order of rows. A group that would exceed the share is passed over; each source gives its own
    share.

    Raises:
        UserError: a source has fewer than two groups.
    """
    held = np.zeros(len(rows), bool)
    keys = rows["source"] + "\0" + rows["group"].where(rows["group"].ne(""), rows["image"])
    for source in rows["source_index"].unique():
        here = rows["source_index"].eq(source).to_numpy()
        sizes = keys[here].value_counts()
        if len(sizes) < 2:
            raise UserError(
                f"{rows['manifest'][here].iloc[0]}: its train split is one group, so no group-disjoint holdout can be taken; "
                f"give more groups, or `data: train` to every stage"
            )
        held |= here & keys.isin(_choose_groups(sizes, fraction * here.sum())).to_numpy()
    return held


def _choose_groups(sizes: pd.Series, wanted: float) -> set[str]:
    chosen: set[str] = set()
    total = 0
    for key in sorted(sizes.index, key=lambda key: sha256_bytes(f"holdout\0{key}".encode())):
        if total + sizes[key] <= wanted:
            chosen.add(key)
            total += sizes[key]
    return chosen or {min(sizes.index, key=lambda key: (sizes[key], sha256_bytes(f"holdout\0{key}".encode())))}


def row_hash(rows: pd.DataFrame, tasks: Iterable[str]) -> str:
    """SHA-256 over the sorted (sample_id, target...) of rows: the same rows with the same truth have the same hash."""
    return _hash_rows(rows, ["sample_id", *target_columns(rows, tasks)])


def protocol_hash(rows: Rows) -> str:
    """SHA-256 of the split rule as applied: each labelled sample's split, group and targets, and what the targets mean.

    Model, seed, detector and training settings are no part of it, so results of different methods on the same protocol compare.
    """
    digest = hashlib.sha256()
    for name, task in sorted(rows.tasks.items()):
        classes = getattr(task.config, "classes", None)
        digest.update(f"{name}\0{task.config.type}\0{list(classes) if classes else task.facts or ''}\n".encode())
    digest.update(_hash_rows(rows.table, ["sample_id", "split", "group", *target_columns(rows.table, rows.tasks)]).encode())
    return digest.hexdigest()


def _hash_rows(rows: pd.DataFrame, columns: list[str]) -> str:
    lines = sorted("\t".join(map(str, values)) for values in zip(*(rows[c].tolist() for c in columns), strict=True))
    return sha256_bytes("\n".join(lines).encode())


def _paths(config: Config) -> str:
    return ", ".join(str(source.manifest) for source in config.data.sources)


def _check_columns(manifests: list[Manifest], config: Config, tasks: Mapping[str, Task]) -> None:
    have = sorted({c.removeprefix("label_") for m in manifests for c in m.rows.columns if c.startswith("label_")})
    known = f"the label columns there are: {', '.join(have) or 'none'}"
    for name, task in tasks.items():
        for reading in task.readings:
            if 0 < len(set(reading) & set(have)) < len(reading):
                lost = " and ".join(repr(column) for column in reading if column not in have)
                both = " with ".join(map(repr, reading))
                raise UserError(f"{_paths(config)}: task {name!r} reads {both}, and {lost} is no label column; {known}")
        if not (task.config.optional or any(set(reading) <= set(have) for reading in task.readings)):
            wanted = " or ".join(" with ".join(map(repr, reading)) for reading in task.readings)
            raise UserError(
                f"{_paths(config)}: task {name!r} reads the label column {wanted}; {known}; name one of them as "
                f"tasks.{name}.column, or train without it: tasks.{name}.optional=true"
            )


def _check_unique(table: pd.DataFrame) -> None:
    twice = table[table["sample_id"].duplicated(keep=False)]
    if len(twice):
        first = twice.iloc[0]
        files = ", ".join(sorted(set(twice["manifest"])))
        raise UserError(
            f"{files}: {twice['sample_id'].nunique()} samples stand more than once (the first: {first['image']} of source "
            f"{first['source']!r}); name each manifest once, and preprocess different photos under different source names"
        )

"""Splits that tear no cluster and no group, as close to the given ones as possible.

Enters: a manifest's rows with their `unit` (caer/audit/pictures.py). Leaves: a second manifest of the same pictures. Only units
that straddle splits move, each as a whole, the largest first, to where they keep each split's number of rows of each class
closest to the former one. All others stay where they are, so that most of a published split remains.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from caer.audit.findings import Json, labels_of, sort_splits
from caer.audit.pictures import Pictures
from preprocessing.errors import UserError, unknown_name
from preprocessing.files import sole_writer, write_atomic
from preprocessing.manifest import read_label_types, read_part, write_manifest


@dataclass(frozen=True)
class Resplit:
    """New splits.

    Attributes:
        splits, groups: by row.
        facts: how many rows moved, rows of each split before and after, the largest change of a class share.
    """

    splits: pd.Series
    groups: pd.Series
    facts: Json


def resplit(rows: pd.DataFrame, task: str = "") -> Resplit:
    """Give every unit one split.

    Args:
        rows: of a manifest, with `unit`.
        task: whose class shares are kept; default: the first task with names for labels.

    Raises:
        UserError: unknown task, or a unit so large that a split is left empty.
    """
    placed = rows[rows["split"] != ""]
    names = sort_splits(placed["split"])
    before = pd.Categorical(placed["split"], names).codes.astype(int)
    task = balanced_task(placed, task)
    labels = placed[f"label_{task}"].fillna("") if task else pd.Series("", index=placed.index)
    classes = pd.factorize(labels, sort=True)[0]
    after = assign(placed["unit"].to_numpy(), placed["image"].to_numpy(), before, classes, len(names))
    lost = [name for k, name in enumerate(names) if not (after == k).any()]
    if lost:
        raise UserError(
            f"no rows are left for {', '.join(lost)}: clusters or groups span nearly all photos; mend the groups first"
        )
    splits = rows["split"].copy()
    splits[placed.index] = np.array(names)[after]
    return Resplit(splits, _groups(rows), {"task": task, **_facts(before, after, classes, names)})


def assign(units: np.ndarray, images: np.ndarray, splits: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """New splits [N] 0..count-1 of rows with units, image names, splits and classes [N]; see the module."""
    shape = count, int(classes.max(initial=0)) + 1
    wanted = _table(splits, classes, shape)
    torn = pd.Series(splits).groupby(units).transform("nunique").to_numpy() > 1
    have = _table(splits[~torn], classes[~torn], shape)
    after = splits.copy()
    for members in _largest_first(units, images, np.flatnonzero(torn)):
        adds = np.bincount(classes[members], minlength=shape[1])
        cost = ((have + adds - wanted) ** 2 - (have - wanted) ** 2) / np.maximum(wanted, 1)
        chosen = int(cost.sum(axis=1).argmin())
        after[members] = chosen
        have[chosen] += adds
    return after


def _table(splits: np.ndarray, classes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Rows by split and class, float."""
    return np.bincount(splits * shape[1] + classes, minlength=shape[0] * shape[1]).reshape(shape).astype(float)


def _largest_first(units: np.ndarray, images: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Row numbers by unit; units of one size in the order of the hash of their first image."""
    members = [numbers.to_numpy() for _, numbers in pd.Series(rows).groupby(units[rows])]
    return sorted(members, key=lambda m: (-len(m), hashlib.sha256(min(images[m]).encode()).hexdigest()))


def balanced_task(rows: pd.DataFrame, given: str) -> str:
    """The task whose class shares are kept: the given one, or the first with names for labels; empty where there is none.

    Raises:
        UserError: no labels of the given task are names.
    """
    named = [c.removeprefix("label_") for c in labels_of(rows) if not pd.api.types.is_numeric_dtype(rows[c])]
    if given and given not in named:
        raise unknown_name("task with names for labels", given, named)
    return given or next(iter(named), "")


def _groups(rows: pd.DataFrame) -> pd.Series:
    """Groups that say what hangs together: a unit of several photos is one group; its given name where it has a single one."""
    photos = rows.groupby("unit")["image"].transform("nunique")
    given = rows["group"].mask(rows["group"] == "").groupby(rows["unit"])
    one = given.transform("first").where(
        (given.transform("nunique") == 1) & (rows.groupby("unit")["source"].transform("nunique") == 1)
    )
    joined = "like " + rows.groupby("unit")["image"].transform("min")
    return one.fillna(joined).where(photos > 1, rows["group"])


def _facts(before: np.ndarray, after: np.ndarray, classes: np.ndarray, names: list[str]) -> Json:
    shape = len(names), int(classes.max(initial=0)) + 1
    tables = [_table(splits, classes, shape) for splits in (before, after)]
    shares = [table / table.sum(axis=1, keepdims=True) for table in tables]
    return {
        "moved": int((before != after).sum()),
        "rows": {name: [int(table[k].sum()) for table in tables] for k, name in enumerate(names)},
        "largest_share_change": float(np.abs(shares[1] - shares[0]).max()),
    }


def write_resplit(pictures: Pictures, path: Path, new: Resplit) -> Path:
    """Write `STEM_resplit.parquet`, `.json` and `.csv` beside the manifest `STEM.parquet`; returns the first."""
    folder, stem = path.parent, f"{path.stem}_resplit"
    manifest = pictures.manifest
    pairs = zip(read_part(path), new.splits, new.groups, strict=True)
    rows = [{**row, "split": split, "group": group} for row, split, group in pairs]
    meta = manifest.meta | {"resplit": {"of": path.name, "row_hash": manifest.meta["row_hash"], **new.facts}}
    with sole_writer(folder):
        write_manifest(folder, [rows], read_label_types(path), meta, stem)
        write_atomic(folder / f"{stem}.csv", _csv(rows))
    return folder / f"{stem}.parquet"


def _csv(rows: list[Json]) -> str:
    """A table for the dataset `dataframe`: one line a photo."""
    tasks = [key for key in rows[0] if key.startswith("label_")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "split", "group", *(task.removeprefix("label_") for task in tasks)])
    photos = {row["image"]: row for row in reversed(rows)}
    writer.writerows([r["image"], r["split"], r["group"], *(r[task] for task in tasks)] for r in reversed(photos.values()))
    return text.getvalue()

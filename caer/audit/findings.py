"""What is wrong with a manifest: leaks between splits, contradicting labels, boxes outside their photos; and its counts.

Enters: rows with `copy`, `cluster`, `unit` (caer/audit/pictures.py). Leaves: plain JSON values, the content of `audit.json`.

Rows that a review rejected are neither trained nor judged on, rows without a split belong to none: both may lie anywhere.
"""

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

Json = dict[str, Any]

REJECTED = "rejected"
ORDER = {"train": 0, "val": 1, "test": 2}
EXAMPLES = 20
TOLERANCE = 1.0
"""Pixels by which a box may leave its photo: rounding."""


def find(rows: pd.DataFrame) -> Json:
    """All findings and counts."""
    used = in_use(rows)
    named = used[used["group"] != ""]
    straddling = {
        "copies": straddle(used["copy"], used["split"]),
        "near_duplicates": straddle(used["cluster"], used["split"]),
        "groups": straddle(named["source"] + "\0" + named["group"], named["split"]),
    }
    return {
        "leaks": straddle(used["unit"], used["split"])["straddling"],
        "rows": len(rows),
        "photos": int(rows.loc[rows["image_file"] != "", "image_file"].nunique()),
        "status": _counts(rows["status"]),
        "splits": {split: split_counts(rows[rows["split"] == split]) for split in sort_splits(rows["split"])},
        "copies": repeats(rows, "copy") | straddling["copies"],
        "near_duplicates": repeats(rows, "cluster") | straddling["near_duplicates"],
        "groups": {"groups": int((named["source"] + "\0" + named["group"]).nunique())} | straddling["groups"],
        "contradictions": contradictions(rows),
        "boxes": boxes(rows),
        "repeated_samples": int(rows["sample_id"].duplicated().sum()),
        "clusters": clusters(rows),
    }


def in_use(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a split that a review has not rejected."""
    return rows[(rows["status"] != REJECTED) & (rows["split"] != "")]


def sort_splits(splits: pd.Series) -> list[str]:
    """Distinct names: train, val, test, then others by name."""
    return sorted(set(splits), key=lambda name: (ORDER.get(name, len(ORDER)), name))


def straddle(units: pd.Series, splits: pd.Series) -> Json:
    """How many units have rows in more than one split, in all and by pair of splits (a unit in three counts for three pairs)."""
    by_unit = splits.groupby(units.to_numpy()).unique()
    torn = [sort_splits(pd.Series(names)) for names in by_unit if len(names) > 1]
    pairs = Counter("/".join(pair) for names in torn for pair in combinations(names, 2))
    return {"straddling": len(torn), "between": dict(sorted(pairs.items()))}


def repeats(rows: pd.DataFrame, column: str) -> Json:
    """Photos that repeat another, and the clusters that they form."""
    sizes = rows[rows["image_file"] != ""].groupby(column)["image_file"].nunique()
    many = sizes[sizes > 1]
    return {"repeats": int((many - 1).sum()), "clusters": len(many), "largest": int(many.max()) if len(many) else 1}


def labels_of(rows: pd.DataFrame) -> list[str]:
    """Names of the label columns."""
    return [column for column in rows.columns if column.startswith("label_")]


def contradictions(rows: pd.DataFrame) -> Json:
    """By task, in how many clusters of copies, and of near duplicates, two photos carry different labels."""
    result = {}
    for column in labels_of(rows):
        labelled = rows[rows[column].notna()]
        differ = {name: int((labelled.groupby(key)[column].nunique() > 1).sum()) for name, key in KINDS.items()}
        result[column.removeprefix("label_")] = differ
    return result


KINDS = {"copies": "copy", "near_duplicates": "cluster"}


def boxes(rows: pd.DataFrame) -> Json:
    """Boxes that leave their photo by more than `TOLERANCE` pixels, or have no area."""
    boxed = rows[rows["box"].notna()]
    if boxed.empty:
        return {"boxes": 0, "outside": 0, "empty": 0, "examples": []}
    box = np.stack(boxed["box"].to_list()).astype(float)
    size = boxed[["width", "height"]].to_numpy(float)
    inside = (box[:, :2] >= -TOLERANCE).all(1) & (box[:, 2:] <= size + TOLERANCE).all(1)
    full = (box[:, 2:] > box[:, :2]).all(1)
    wrong = boxed.loc[~(inside & full), "sample_id"]
    return {
        "boxes": len(box),
        "outside": int((~inside).sum()),
        "empty": int((~full).sum()),
        "examples": wrong.tolist()[:EXAMPLES],
    }


def split_counts(rows: pd.DataFrame) -> Json:
    """Rows of a split, and of each task the rows of each class, or of numbers."""
    tasks = {}
    for column in labels_of(rows):
        known = rows[column].dropna()
        numbers = pd.api.types.is_numeric_dtype(rows[column])
        tasks[column.removeprefix("label_")] = {"numbers": len(known)} if numbers else _counts(known)
    return {"rows": len(rows), "labels": tasks}


def clusters(rows: pd.DataFrame) -> list[Json]:
    """Every cluster of several photos, those that straddle splits first, then the largest."""
    pictured = rows[rows["image_file"] != ""].drop_duplicates("image_file")
    several = pictured[pictured["cluster"].duplicated(keep=False)]
    found = [_cluster(members) for _, members in several.groupby("cluster")]
    return sorted(found, key=lambda c: (not c["straddles"], -len(c["photos"]), c["photos"][0]["image"]))


def _cluster(members: pd.DataFrame) -> Json:
    used, labels = in_use(members), labels_of(members)
    facts = members[["sample_id", "image", "split", "group", *labels]].to_dict("records")
    return {
        "kind": "copies" if members["copy"].nunique() == 1 else "near_duplicates",
        "straddles": used["split"].nunique() > 1,
        "contradicts": [c.removeprefix("label_") for c in labels if members[c].dropna().nunique() > 1],
        "photos": [{str(key): None if pd.isna(value) else value for key, value in photo.items()} for photo in facts],
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(n) for name, n in values.value_counts().sort_index().items()}

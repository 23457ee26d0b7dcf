"""Scores by any column (`--by`): subgroups with their sizes and intervals.

Enters: a task's rows and a column of values by `sample_id`. Leaves: one entry a subgroup.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from caer.evaluation.judged import JudgedRows
from caer.evaluation.summary import judged_scores
from preprocessing.errors import UserError, unknown_name

MOST = 40
"""Subgroups of one column; more are no table any more."""

MISSING = "(missing)"


def find_column(name: str, table: pd.DataFrame) -> pd.Series:
    """Subgroup names by a column of that name, or by the annotation `label_NAME`.

    Raises:
        UserError: there is no such column (the message lists those that can be used), or it has too many values.
    """
    for candidate in (name, f"label_{name}"):
        if candidate in table.columns and _is_plain(table[candidate]):
            return subgroup_names(table[candidate])
    raise unknown_name("--by column", name, [c for c in table.columns if _is_plain(table[c])])


def subgroup_names(values: pd.Series) -> pd.Series:
    """Values as subgroup names; a number with many values is cut at the quarters of its distribution.

    Raises:
        UserError: too many different names.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > 10:
        return _quarters(values.astype(float))
    names = values.astype(object).where(values.notna(), MISSING).map(str).replace("", MISSING)
    if names.nunique() > MOST:
        raise UserError(f"--by {values.name}: {names.nunique()} different values; give a column with at most {MOST}")
    return names


def _quarters(values: pd.Series) -> pd.Series:
    cuts = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
    place = np.searchsorted(cuts[1:-1], values, side="left")
    # Numbered, so that the names sort as the numbers do.
    names = [f"{i + 1}: {low:.4g} to {high:.4g}" for i, (low, high) in enumerate(itertools.pairwise(cuts))]
    found = [MISSING if np.isnan(value) else names[i] for value, i in zip(values, place, strict=True)]
    return pd.Series(found, index=values.index, name=values.name)


def by_column(task: JudgedRows, names: pd.Series) -> list[dict[str, Any]]:
    """The main scores of each subgroup, names in order, the missing last; none where no row has a value.

    Args:
        task: labelled rows.
        names: subgroup of each row, indexed by `sample_id`.
    """
    of_row = names.reindex(task.rows["sample_id"]).fillna(MISSING).to_numpy(str)
    if (of_row == MISSING).all():
        return []
    order = sorted(set(of_row.tolist()), key=lambda name: (name == MISSING, name))
    return [{"value": name, **judged_scores(task, of_row == name)} for name in order]


def _is_plain(values: pd.Series) -> bool:
    return not any(isinstance(value, list | np.ndarray) for value in values.head(200))

"""The labelled rows of tasks whose answer is a number or a set of tags, as arrays.

Enters: `Predictions`. Leaves: `NumberRows` or `TagRows`; for one of K classes `predictions.TaskRows`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from caer.data.targets import is_labelled, targets_of
from caer.evaluation.predictions import BRANCHES, Predictions, TaskRows, group_names, task_rows
from caer.evaluation.tags import many_hot


@dataclass(frozen=True)
class NumberRows:
    """The rows that are labelled for a task of kind `number`.

    Attributes:
        rows: their lines of the prediction table.
        targets: [N, 2], the interval that holds the true number.
        answers: [N], the run's.
        branches: by branch [N], the prior where a row gave it nothing to look at; only branches that the stage has.
        prior: the median of the training rows, what one would answer without looking.
        unit: of the numbers.
        range: smallest and largest number.
        detected: [N] bool, rows with a face.
        codes: [N] int, what is resampled together: the group, else the photo.
    """

    rows: pd.DataFrame
    targets: np.ndarray
    answers: np.ndarray
    branches: dict[str, np.ndarray]
    prior: float
    unit: str
    range: tuple[float, float]
    detected: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class TagRows:
    """The rows that are labelled for a task of kind `tags`.

    Attributes:
        rows: their lines of the prediction table.
        classes: K names.
        truth: [N, K] bool.
        probabilities: [N, K], the run's answer.
        chosen: [N, K] bool, tags answered from the threshold on.
        detected, codes: as in `NumberRows`.
    """

    rows: pd.DataFrame
    classes: list[str]
    truth: np.ndarray
    probabilities: np.ndarray
    chosen: np.ndarray
    detected: np.ndarray
    codes: np.ndarray


JudgedRows = TaskRows | NumberRows | TagRows


def judged_rows(predictions: Predictions, task: str) -> JudgedRows:
    """One task's labelled rows, whatever its kind."""
    kind = predictions.kinds[task]
    if kind == "number":
        return number_rows(predictions, task)
    return tag_rows(predictions, task) if kind == "tags" else task_rows(predictions, task)


def number_rows(predictions: Predictions, task: str) -> NumberRows:
    """The labelled rows of a task of kind `number`."""
    rows, facts = _labelled(predictions, task), predictions.meta["facts"][task]
    prior = float(predictions.meta["priors"][task][0])
    columns = {branch: rows[f"{branch}_pred_{task}"].to_numpy(float) for branch in BRANCHES}
    return NumberRows(
        rows=rows,
        targets=targets_of(rows, task),
        answers=rows[f"pred_{task}"].to_numpy(float),
        branches={branch: np.where(np.isnan(v), prior, v) for branch, v in columns.items() if not np.isnan(v).all()},
        prior=prior,
        unit=facts["unit"],
        range=(facts["range"][0], facts["range"][1]),
        detected=rows["status"].eq("ok").to_numpy(),
        codes=np.unique(group_names(rows), return_inverse=True)[1],
    )


def tag_rows(predictions: Predictions, task: str) -> TagRows:
    """The labelled rows of a task of kind `tags`."""
    rows, classes = _labelled(predictions, task), list(predictions.meta["tasks"][task])
    probabilities = np.array(rows[f"prob_{task}"].tolist(), dtype=float).reshape(-1, len(classes))
    return TagRows(
        rows=rows,
        classes=classes,
        truth=many_hot(rows[f"target_{task}"].to_numpy(), len(classes)),
        probabilities=probabilities,
        chosen=probabilities >= predictions.meta["facts"][task]["threshold"],
        detected=rows["status"].eq("ok").to_numpy(),
        codes=np.unique(group_names(rows), return_inverse=True)[1],
    )


def _labelled(predictions: Predictions, task: str) -> pd.DataFrame:
    rows = predictions.rows
    return rows[is_labelled(targets_of(rows, task))].reset_index(drop=True)

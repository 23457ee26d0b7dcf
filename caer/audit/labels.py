"""Suspected labels: confident learning (Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068) by cleanlab.

Enters: prediction files of rows that the models were not trained on: val and test of runs, or the held-out folds of several.
Leaves: a table of suspected labels, the most doubtful first. Confident learning estimates from the probabilities how often each
class is annotated as each other one, and suspects as many labels as that says, those that the models believe least.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from caer.audit.findings import Json
from caer.evaluation.predictions import Predictions, read_predictions, task_rows
from preprocessing.errors import UserError

COLUMNS = ["sample_id", "task", "given", "suggested", "score"]
IN_SAMPLE = "train"


def suspects(paths: Sequence[Path], rows: pd.DataFrame) -> tuple[pd.DataFrame, Json]:
    """Find suspected labels.

    Args:
        paths: prediction files; a sample in several of them counts with its mean probabilities.
        rows: of the manifest under audit.

    Returns:
        A table of sample_id, task, given, suggested (class names), score (the probability of the given label; low is doubtful);
        and by task how many labels were looked at and suspected.

    Raises:
        UserError: predictions of training rows, of other samples, or with other classes.
    """
    files = {path: read_predictions(path) for path in paths}
    for path, predictions in files.items():
        _check(path, predictions, rows)
    tables, counts = [], {}
    for task in sorted({task for predictions in files.values() for task in predictions.tasks}):
        classes, targets, probabilities = _out_of_sample(files, task, set(rows["sample_id"]))
        found = _suspected(classes, targets, probabilities)
        tables.append(found.assign(task=task)[COLUMNS])
        counts[task] = {"labels": len(targets), "suspected": len(found)}
    table = pd.concat(tables).sort_values(["score", "sample_id"], ignore_index=True)
    return table, counts


def _check(path: Path, predictions: Predictions, rows: pd.DataFrame) -> None:
    splits = {predictions.meta.get("split"), *predictions.rows["split"]}
    if IN_SAMPLE in splits:
        raise UserError(
            f"{path}: holds predictions of training rows, which a model answers as it was taught; give predictions of val or "
            f"test, or of the held-out folds of several runs"
        )
    if not predictions.rows["sample_id"].isin(rows["sample_id"]).any():
        raise UserError(f"{path}: none of its {len(predictions.rows)} samples is in the manifest; give predictions of its rows")


def _out_of_sample(files: dict[Path, Predictions], task: str, known: set[str]) -> tuple[list[str], pd.Series, pd.DataFrame]:
    """Classes; the target, and the mean probabilities, of each labelled sample that a model has looked at."""
    parts = [(path, task_rows(p, task)) for path, p in files.items() if task in p.tasks]
    classes = parts[0][1].classes
    frames = []
    for path, part in parts:
        if part.classes != classes:
            raise UserError(f"{path}: task {task!r} has the classes {', '.join(part.classes)}; another file {', '.join(classes)}")
        frame = pd.DataFrame(part.probabilities, index=part.rows["sample_id"]).assign(target=part.targets)
        frames.append(frame[(part.answered_by != "prior") & frame.index.isin(known)])
    samples = pd.concat(frames).groupby(level=0, sort=True)
    if (samples["target"].nunique() > 1).any():
        raise UserError(f"{', '.join(map(str, files))}: a sample carries two targets for {task!r}; give files of one annotation")
    table = samples.mean()
    return classes, table.pop("target").astype(int), table


def _suspected(classes: list[str], targets: pd.Series, probabilities: pd.DataFrame) -> pd.DataFrame:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    values, labels = probabilities.to_numpy(), targets.to_numpy()
    if len(np.unique(labels)) < 2:
        return pd.DataFrame(columns=COLUMNS)
    wrong = find_label_issues(labels, values, filter_by="prune_by_noise_rate", n_jobs=1)
    scores = get_label_quality_scores(labels, values, method="self_confidence")
    names = np.array(classes)
    found = {"given": names[labels], "suggested": names[values.argmax(axis=1)], "score": scores}
    return pd.DataFrame({"sample_id": targets.index, **found})[wrong]

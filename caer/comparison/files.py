"""Anybody's predictions as a file, checked against a protocol before a single score is computed.

Enters: a CSV or Parquet file (docs/compare.md has the format) and the rows that it must answer. Leaves: probabilities in the
order of these rows. Every complaint is one line: what was given, what is expected, what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from caer.evaluation.predictions import Predictions, read_predictions
from preprocessing.errors import UserError

TOLERANCE = 1e-3
"""How far a row's probabilities may sum up from 1: files are rounded."""


@dataclass(frozen=True)
class FileAnswers:
    """One file's answers to one task.

    Attributes:
        probabilities: [N, K] in the order of the protocol's rows and classes; one-hot where `unscaled`.
        unscaled: the file names classes without probabilities.
    """

    probabilities: np.ndarray
    unscaled: bool


def read_answers(path: Path, rows: pd.DataFrame, known: pd.DataFrame, task: str, classes: Sequence[str]) -> FileAnswers:
    """Read and check a prediction file.

    Args:
        path: `.csv` or `.parquet`.
        rows: the protocol's rows that must be answered, with `sample_id`, `image` and `target_TASK`.
        known: all rows of the protocol, to say what a foreign row is.
        task: whose answers are read.
        classes: its classes in the protocol's order.

    Raises:
        UserError: rows are missing, foreign or doubled; targets differ; answers are absent, of other classes, no numbers, or no
            probabilities.
    """
    table = _read_table(path, task)
    table = _match(path, table, rows, known)
    _check_targets(path, table, rows, task, classes)
    if columns := _probability_columns(path, table, task, classes):
        return FileAnswers(_probabilities(path, table, columns), unscaled=False)
    column = next((name for name in (f"predicted_{task}", "predicted") if name in table), None)
    if column is None:
        raise UserError(
            f"{path}: no answers; expected columns {', '.join(f'prob_{name}' for name in classes)}, or predicted with a class; "
            f"found {', '.join(table.columns)}"
        )
    return FileAnswers(_one_hot(path, table, column, classes), unscaled=True)


def _read_table(path: Path, task: str) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected predictions as CSV or Parquet")
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        if path.suffix.lower() != ".parquet":
            raise UserError(f"{path}: expected a file that ends in .csv or .parquet")
        if b"caer" in (pq.read_schema(path).metadata or {}):
            return _own_table(path, read_predictions(path), task)
        return pd.DataFrame(pq.read_table(path).to_pydict())
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: cannot be read as a table ({error}); expected CSV in UTF-8, or Parquet") from None


def _own_table(path: Path, predictions: Predictions, task: str) -> pd.DataFrame:
    """This project's own predictions with one probability column a class and targets as words."""
    if task not in predictions.tasks:
        raise UserError(f"{path}: has no answers to {task!r}; it answers {', '.join(predictions.tasks) or 'no class'}")
    classes = predictions.tasks[task]
    rows = predictions.rows[predictions.rows[f"target_{task}"] >= 0].reset_index(drop=True)
    probabilities = np.array(rows[f"prob_{task}"].tolist(), dtype=float).reshape(-1, len(classes))
    columns = {f"prob_{task}_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    words = [classes[k] for k in rows[f"target_{task}"]]
    return pd.DataFrame({"sample_id": rows["sample_id"], f"target_{task}": words, **columns})


def _match(path: Path, table: pd.DataFrame, rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The table's lines in the order of the protocol's rows."""
    key = next((name for name in ("sample_id", "image") if name in table), None)
    if key is None:
        raise UserError(f"{path}: no column sample_id (or image); found {', '.join(map(str, table.columns))}")
    if nameless := int(table[key].isna().sum()):
        raise UserError(f"{path}: {nameless} rows have no {key}; give one line a sample, each with its {key}")
    given, wanted = table[key].astype(str), rows[key].astype(str)
    if wanted.duplicated().any():
        raise UserError(f"{path}: the column image is not enough, photos of the protocol have several samples; give sample_id")
    _complain(path, given[given.duplicated()], f"stand more than once in {key}", "give one line a sample")
    labelled = set(known[known["split"] == rows["split"].iloc[0]][key].astype(str))
    foreign = given[~given.isin(labelled)]
    elsewhere = known.drop_duplicates(key).set_index(key)["split"]
    where = f"of split {elsewhere[foreign.iloc[0]]}" if len(foreign) and foreign.iloc[0] in elsewhere.index else "unknown to it"
    _complain(path, foreign, f"are not in the protocol's split (the first is {where})", "leave them out")
    _complain(path, wanted[~wanted.isin(set(given))], "of the protocol are missing", "answer every row; none may be dropped")
    return table.set_index(given).loc[wanted].reset_index(drop=True)


def _complain(path: Path, keys: pd.Series, what: str, remedy: str) -> None:
    if len(keys):
        raise UserError(f"{path}: {keys.nunique():,} rows {what}; the first: {keys.iloc[0]}; {remedy}")


def _check_targets(path: Path, table: pd.DataFrame, rows: pd.DataFrame, task: str, classes: Sequence[str]) -> None:
    column = next((name for name in (f"target_{task}", "target") if name in table), None)
    if column is None:
        return
    expected = [classes[k] for k in rows[f"target_{task}"]]
    given = table[column].map(_word).tolist()
    wrong = [i for i, pair in enumerate(zip(given, expected, strict=True)) if pair[0] != pair[1]]
    if wrong:
        first = wrong[0]
        raise UserError(
            f"{path}: {len(wrong):,} rows have another {column}; the first: {rows['sample_id'].iloc[first]} is given "
            f"{given[first]!r}, expected {expected[first]!r}; judge the same labels as the protocol"
        )


def _word(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _probability_columns(path: Path, table: pd.DataFrame, task: str, classes: Sequence[str]) -> Mapping[str, str]:
    """By class its column; empty where the file has no probabilities."""
    named = [str(name) for name in table.columns if str(name).startswith("prob_")]
    long = [name for name in named if name.startswith(f"prob_{task}_")]
    prefix, found = (f"prob_{task}_", long) if long else ("prob_", named)
    if not found:
        return {}
    columns = {name.removeprefix(prefix): name for name in found}
    if set(columns) != set(classes):
        raise UserError(
            f"{path}: probabilities of the classes {', '.join(sorted(columns))}; expected {', '.join(classes)} of {task}: one "
            f"column {prefix}CLASS each"
        )
    return {name: columns[name] for name in classes}


def _probabilities(path: Path, table: pd.DataFrame, columns: Mapping[str, str]) -> np.ndarray:
    values = table[list(columns.values())].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = {
        "that is no finite number": ~np.isfinite(values).all(axis=1),
        "below 0 or above 1": ((values < 0) | (values > 1)).any(axis=1),
        f"that do not sum up to 1 (within {TOLERANCE:g})": np.abs(values.sum(axis=1) - 1) > TOLERANCE,
    }
    for what, rows in bad.items():
        if rows.any():
            first = int(np.flatnonzero(rows)[0])
            shown = ", ".join(str(value) for value in table[list(columns.values())].iloc[first])
            raise UserError(
                f"{path}: {int(rows.sum()):,} rows have probabilities {what}; the first: {shown}; give each class's share"
            )
    return values


def _one_hot(path: Path, table: pd.DataFrame, column: str, classes: Sequence[str]) -> np.ndarray:
    places = {name: k for k, name in enumerate(classes)}
    given = table[column].map(_word)
    _complain(
        path, given[~given.isin(places)], f"have a {column} that is no class of {', '.join(classes)}", "answer one of these"
    )
    return np.eye(len(classes))[[places[name] for name in given]]

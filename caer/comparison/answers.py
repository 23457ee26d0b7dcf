"""Predictions of several variants and seeds, brought onto the same rows; what is not comparable is refused.

Enters: `Predictions` by variant and seed. Leaves: `Answers`, one a task, with rows in the order of `sample_id`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from caer.data.targets import target_columns
from caer.evaluation.predictions import Predictions, TaskRows, task_rows
from preprocessing.errors import UserError

BySeed = Mapping[int, Predictions]


@dataclass(frozen=True)
class Answers:
    """What variants answered, seed by seed, to the same labelled rows of one task.

    Attributes:
        task: its name.
        classes: K names.
        targets: [N] int.
        codes: [N] int, rows of one code are resampled together.
        probabilities: by variant and seed [N, K]; one-hot where `unscaled`.
        unscaled: variants that name a class without a probability; they have no calibration.
    """

    task: str
    classes: list[str]
    targets: np.ndarray
    codes: np.ndarray
    probabilities: dict[str, dict[int, np.ndarray]]
    unscaled: frozenset[str] = frozenset()

    @property
    def variants(self) -> list[str]:
        """Names in the declared order."""
        return list(self.probabilities)

    def seeds(self, *variants: str) -> list[int]:
        """Seeds that all these variants have, ascending."""
        return sorted(set.intersection(*(set(self.probabilities[variant]) for variant in variants)))

    def stacked(self, variant: str, seeds: list[int]) -> np.ndarray:
        """Probabilities [S, N, K] of a variant."""
        return np.stack([self.probabilities[variant][seed] for seed in seeds])

    def correct(self, variant: str, seeds: list[int]) -> np.ndarray:
        """[S, N] 1.0 where the largest probability is at the target."""
        return (self.stacked(variant, seeds).argmax(axis=2) == self.targets).astype(float)

    def predicted(self, variant: str, seed: int) -> np.ndarray:
        """Answered class [N] int."""
        return self.probabilities[variant][seed].argmax(axis=1)


def align(predictions: Mapping[str, BySeed], task: str) -> Answers:
    """The answers of all variants to one task.

    Raises:
        UserError: two of them judge other rows, other targets, or rows of another split rule.
    """
    check_comparable(predictions)
    tables = {name: {seed: rows_in_order(p, task) for seed, p in by_seed.items()} for name, by_seed in predictions.items()}
    first = next(table for by_seed in tables.values() for table in by_seed.values())
    return Answers(
        task=task,
        classes=first.classes,
        targets=first.targets,
        codes=first.codes,
        probabilities={n: {seed: table.probabilities for seed, table in by_seed.items()} for n, by_seed in tables.items()},
    )


def rows_in_order(predictions: Predictions, task: str) -> TaskRows:
    """A task's labelled rows in the order of `Answers`."""
    return task_rows(Predictions(predictions.rows.sort_values("sample_id"), predictions.meta), task)


def check_comparable(predictions: Mapping[str, BySeed]) -> None:
    """Refuse predictions that do not belong in one table.

    Raises:
        UserError: naming the two that differ, their hashes, and what differs behind these.
    """
    named = list(_named(predictions))
    if not named:
        raise UserError("there are no predictions to compare; expected at least one variant with one finished seed")
    (reference, first), *others = named
    for name, other in others:
        if reason := _difference(first, other):
            raise UserError(
                f"{reference} and {name} cannot stand in one table: {reason} ({_hashes(first)} against {_hashes(other)}); "
                f"judge both on the same manifest, classes and split"
            )


def _named(predictions: Mapping[str, BySeed]) -> Iterator[tuple[str, Predictions]]:
    for variant, by_seed in predictions.items():
        for seed, table in by_seed.items():
            yield f"{variant} seed {seed}", table


def _hashes(predictions: Predictions) -> str:
    protocol = str(predictions.meta.get("protocol_hash"))
    return f"protocol {protocol[:12]}, rows {predictions.row_hash[:12]}"


def _difference(a: Predictions, b: Predictions) -> str:
    """What differs between two tables' protocol or rows, in words; empty where they are comparable."""
    if a.row_hash == b.row_hash and a.tasks == b.tasks and a.meta.get("protocol_hash") == b.meta.get("protocol_hash"):
        return ""
    if a.tasks != b.tasks:
        return f"their tasks and classes are {_tasks(a)} and {_tasks(b)}"
    if a.meta.get("split") != b.meta.get("split"):
        return f"one judges split {a.meta.get('split')}, the other {b.meta.get('split')}"
    ids = set(a.rows["sample_id"]), set(b.rows["sample_id"])
    if ids[0] != ids[1]:
        return f"{len(ids[0] - ids[1])} rows are only in the first, {len(ids[1] - ids[0])} only in the second"
    if differing := _other_targets(a, b):
        return f"{differing} rows have other targets"
    return "the judged rows agree, but the split rule behind them (rows, groups or targets of other splits) does not"


def _tasks(predictions: Predictions) -> str:
    return "; ".join(f"{task} ({', '.join(classes)})" for task, classes in sorted(predictions.tasks.items()))


def _other_targets(a: Predictions, b: Predictions) -> int:
    columns = target_columns(a.rows, a.kinds)
    first, second = (table.rows.set_index("sample_id")[columns].fillna(-1).sort_index() for table in (a, b))
    return int((first.to_numpy() != second.to_numpy()).any(axis=1).sum())

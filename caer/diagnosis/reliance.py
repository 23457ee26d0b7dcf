"""Does the model use the context at all? Accuracy with intact inputs against accuracy with one input taken away or exchanged.

Enters: a probe with its intact features. Leaves: one entry an intervention, plain JSON.

Conventions: `cost` is accuracy intact minus accuracy changed on the same rows, with the paired group-bootstrap interval. Where a
scene comes from a donor, `REPEATS` donors are drawn for each row and its correctness is their mean; rows without a donor take no
part. A changed scene is changed for the context branch and for the gate at once. Costs that are small, with an interval that
excludes more, say that the answers hardly depend on that input; they do not say that the input holds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caer.diagnosis.interventions import SCENE, SEED, Alteration, BlankFace, BlankScene, Donor, draw_donors
from caer.diagnosis.probe import Answers, Features, Probe
from caer.evaluation import statistics

Json = dict[str, Any]

REPEATS = 5
EXCHANGES: dict[str, Donor] = {"context_of_another": "any", "context_of_same_class": "same", "context_of_other_class": "other"}


@dataclass(frozen=True)
class Truth:
    """What the answers for one task are compared with.

    Attributes:
        targets: [N] int.
        codes: [N] int, what is resampled together.
        known: [N] bool, rows that are labelled for the task.
    """

    targets: np.ndarray
    codes: np.ndarray
    known: np.ndarray

    def right(self, probabilities: np.ndarray) -> np.ndarray:
        """[N] 1.0 where the largest probability is at the target; only known rows have a meaning."""
        return (probabilities.argmax(axis=1) == self.targets).astype(float)

    def donors(self, kind: Donor, seed: int) -> np.ndarray:
        """[N] as `draw_donors`, among the known rows; -1 for the others."""
        known = np.flatnonzero(self.known)
        drawn = draw_donors(self.targets[known], self.codes[known], kind, seed)
        donors = np.full(len(self.targets), -1)
        donors[known] = np.where(drawn < 0, -1, known[drawn])
        return donors


def blanked(probe: Probe, intact: Features) -> dict[str, dict[str, Answers]]:
    """Answers with the context or the face blanked, by intervention and task; only what the run looks at."""
    alterations: dict[str, Alteration] = {}
    if probe.inputs & set(SCENE):
        alterations["context_blank"] = BlankScene()
    if "face" in probe.inputs:
        alterations["face_blank"] = BlankFace(probe.loaded.config.data.mask)
    return {name: probe.answer(probe.altered(intact, alteration, name)) for name, alteration in alterations.items()}


def exchanged(intact: Features, donors: np.ndarray) -> Features:
    """Features in which each row has its own face and its donor's scene (its own where it has no donor, -1)."""
    rows = np.where(donors < 0, np.arange(len(donors)), donors)
    return {name: values[rows] if name in SCENE else values for name, values in intact.items()}


def reliance(
    probe: Probe, intact: Features, before: Answers, blank: dict[str, Answers], truth: Truth, task: str
) -> dict[str, Json]:
    """Every intervention's effect on one task.

    Args:
        probe: the model over its rows.
        intact: features of the intact inputs.
        before: answers to them.
        blank: answers to blanked inputs, by intervention.
        truth: targets and groups.
        task: its name.

    Returns:
        By intervention `n`, `accuracy`, `cost`, and with gates `context_share` and `share_change`.
    """
    found: dict[str, Json] = {}
    if probe.inputs & set(SCENE):
        for name, kind in EXCHANGES.items():
            draws = [truth.donors(kind, SEED + turn) for turn in range(REPEATS)]
            after = [probe.answer(exchanged(intact, donors))[task] for donors in draws]
            found[name] = effect(before, after, truth, draws[0] >= 0)
    for name, answers in blank.items():
        found[name] = effect(before, [answers], truth, truth.known)
    return found


def effect(before: Answers, after: Sequence[Answers], truth: Truth, rows: np.ndarray) -> Json:
    """Accuracy after a change and what it cost, over chosen rows [N] bool, the mean of several draws of the change."""
    codes = truth.codes[rows]
    right = np.mean([truth.right(answers.fused) for answers in after], axis=0)[rows]
    result: Json = {
        "n": int(rows.sum()),
        "accuracy": statistics.share(right, codes).to_json(),
        "cost": statistics.difference(truth.right(before.fused)[rows], right, codes).to_json(),
    }
    shares = [answers.share for answers in after]
    if before.share is not None:
        share = np.mean([s for s in shares if s is not None], axis=0)[rows]
        result["context_share"] = statistics.mean(share, codes).to_json()
        result["share_change"] = statistics.difference(share, before.share[rows], codes).to_json()
    return result

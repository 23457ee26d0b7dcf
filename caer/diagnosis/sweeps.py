"""How answers and gates change as one input gets worse step by step.

Enters: a probe with its intact features. Leaves: by sweep its steps, plain JSON: `strength`, `accuracy` {fused, face, context,
sum}, `fused_minus_sum`, `context_share`; those that the run has. `sum` adds the branches' logits, every gate 1.

- `face_cover`: share of the face's box that is hidden, in the crop and in the photo.
- `face_blur`: sigma of a Gaussian over the face's box, as a share of its side, in both.
- `misleading_context`: share of the scene that is a scene of another class, mixed in pixel by pixel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from caer.diagnosis.interventions import SCENE, SEED, BlurFace, CoverFace, MixedScenes, places_of
from caer.diagnosis.probe import Answers, Features, Probe
from caer.diagnosis.reliance import Truth, exchanged
from caer.evaluation import statistics

Json = dict[str, Any]
AnswersByTask = dict[str, Answers]

COVER = (0.0, 0.25, 0.5, 0.75, 1.0)
BLUR = (0.0, 0.03, 0.06, 0.12, 0.25)
MIX = (0.0, 0.25, 0.5, 0.75, 1.0)


def face_sweeps(probe: Probe, intact: Features, before: AnswersByTask) -> dict[str, list[tuple[float, AnswersByTask]]]:
    """Answers along the sweeps of the face, by sweep (strength, answers by task); empty for a run without a face branch."""
    if "face" not in probe.inputs:
        return {}
    places = places_of(probe.rows["sample_id"].tolist())
    makers: dict[str, tuple[tuple[float, ...], Callable[[float], CoverFace | BlurFace]]] = {
        "face_cover": (COVER, lambda share: CoverFace(share, places)),
        "face_blur": (BLUR, BlurFace),
    }
    return {
        name: [(s, probe.answer(probe.altered(intact, make(s), f"{name} {s:g}")) if s else before) for s in strengths]
        for name, (strengths, make) in makers.items()
    }


def context_sweep(probe: Probe, intact: Features, before: Answers, truth: Truth, task: str) -> list[Json]:
    """Steps towards the scene of another class, over the rows that have a donor."""
    donors = truth.donors("other", SEED)
    rows, donors = donors >= 0, np.where(donors < 0, np.arange(len(donors)), donors)
    inputs = probe.inputs & set(SCENE)
    steps = [(0.0, before)]
    for share in MIX[1:-1]:
        mixed, _ = probe.encode(MixedScenes(probe.samples(inputs), donors, share), inputs, f"misleading_context {share:g}")
        steps.append((share, probe.answer({**intact, **mixed})[task]))
    steps.append((1.0, probe.answer(exchanged(intact, donors))[task]))
    return [step(strength, answers, truth, rows) for strength, answers in steps]


def step(strength: float, answers: Answers, truth: Truth, rows: np.ndarray) -> Json:
    """One step of a sweep, over chosen rows [N] bool."""
    codes = truth.codes[rows]
    right = {name: truth.right(values)[rows] for name, values in {"fused": answers.fused, **answers.branches}.items()}
    result: Json = {"strength": strength, "n": int(rows.sum())}
    if answers.summed is not None:
        right["sum"] = truth.right(answers.summed)[rows]
        result["fused_minus_sum"] = statistics.difference(right["fused"], right["sum"], codes).to_json()
    result["accuracy"] = {name: statistics.share(values, codes).to_json() for name, values in right.items()}
    if answers.share is not None:
        result["context_share"] = statistics.mean(answers.share[rows], codes).to_json()
    return result

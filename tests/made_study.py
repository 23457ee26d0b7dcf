"""A made-up study: variants with known skill over several seeds, with branches, gates, histories and costs; no model."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from made_predictions import CLASSES, made_predictions

from caer.comparison.answers import align
from caer.comparison.contrasts import Pair
from caer.comparison.study import Claim, Run, Study
from caer.evaluation import calibration
from caer.evaluation.gate_quality import gate_rows
from caer.evaluation.predictions import Predictions, task_rows

SKILLS = {"face": 0.62, "context": 0.5, "adaptive": 0.66, "gating": 0.74}
GATED = ("gating",)


def made_answers(
    skill: float, seed: int, *, rows: int = 240, gated: bool = False, classes: list[str] | None = None
) -> Predictions:
    """Answers that are right with probability `skill` (else random), to targets that are the same for every skill and seed."""
    names = classes or CLASSES
    targets = np.random.default_rng(0).integers(0, len(names), rows)
    rng = np.random.default_rng([seed, int(1000 * skill)])
    own, face, context = (
        np.where(rng.random(rows) < share, targets, rng.integers(0, len(names), rows)).tolist() for share in (skill, 0.6, 0.5)
    )
    wanted = np.where(np.array(context) == targets, 0.7, 0.35) + 0.1 * rng.standard_normal(rows)
    gates = [(float(1 - c), float(c)) for c in wanted.clip(0.05, 0.95)]
    predictions = made_predictions(
        targets.tolist(),
        own,
        confidence=0.75,
        face=face if gated else None,
        context=context if gated else None,
        gates=gates if gated else None,
        groups=[f"g{i // 2}" for i in range(rows)],
        classes=names,
    )
    return replace(predictions, meta={**predictions.meta, "protocol_hash": "p" * 64, "split": "test"})


def made_history(seed: int, epochs: int, seconds: float, best: float) -> list[dict[str, float]]:
    """Rows as of `metrics.csv`."""
    noise = np.random.default_rng(seed).normal(0, 0.01, epochs)
    scores = best - 0.3 * np.exp(-np.arange(epochs) / 2) + noise
    return [{"epoch": i + 1, "seconds": seconds, "val/emotion/macro_f1": float(s), "val/loss": 1.0} for i, s in enumerate(scores)]


def made_run(variant: str, seed: int, predictions: Predictions, seconds: float = 62.0) -> Run:
    task = task_rows(predictions, "emotion")
    before = calibration.calibration_scores(task.targets, task.probabilities)
    after = calibration.calibration_scores(task.targets, calibration.rescale(task.probabilities, 1.3))
    stages = {"face": (1,), "context": (2,)}.get(variant, (1, 2, 3))
    curves = {stage: made_history(seed + stage, 8, seconds, 0.5 + 0.08 * stage) for stage in stages}
    return Run(
        place=f"runs/made/{variant}/seed{seed}/stage{stages[-1]}",
        parameters=4_107_000 + 812_000 * len(stages),
        training_seconds=8 * seconds * len(stages),
        inference_ms=4.2 * len(stages),
        hashes={"protocol_hash": "p" * 64, "row_hash": predictions.row_hash, "weights_sha256": "w" * 64},
        commit="c" * 40,
        calibration={"emotion": {"before": before, "after": after, "temperature": 1.3}},
        curves=curves,
        shared_stages=stages[:2] if len(stages) > 1 else stages,
    )


def made_study(
    seeds: int | Mapping[str, int] = 5,
    *,
    labels: Mapping[str, str] | None = None,
    classes: list[str] | None = None,
    rows: int = 240,
    **changes,
) -> Study:
    """Four variants; three claims, of which the second is an equivalence that does not hold; two contrasts.

    `seeds`: how many, or by variant; a variant with 0 has no answers at all.
    """
    counts = seeds if isinstance(seeds, Mapping) else dict.fromkeys(SKILLS, seeds)
    predictions = {
        name: {17 + s: made_answers(SKILLS[name], s, rows=rows, gated=name in GATED, classes=classes) for s in range(count)}
        for name, count in counts.items()
        if count
    }
    gates = {n: {seed: gate_rows(p, "emotion") for seed, p in predictions[n].items()} for n in GATED if n in predictions}
    study = Study(
        name="made",
        kind="Ablation",
        split="test",
        data="drawn scenes",
        labels=labels or {"face": "face only", "context": "context only", "adaptive": "adaptive fusion", "gating": "gated"},
        answers={"emotion": align(predictions, "emotion")},
        runs={name: {s: made_run(name, s, p) for s, p in by_seed.items()} for name, by_seed in predictions.items()},
        gates={"emotion": gates},
        pairs=[
            Pair("gate against face", "gating", "face", "emotion"),
            Pair("fusions", "gating", "adaptive", "emotion", "macro_f1"),
        ],
        claims=[
            Claim("Context adds to the face", Pair("", "gating", "face", "emotion"), margin=0.02, number=2, made_for="V4-like"),
            Claim("Context alone is as good as the face", Pair("", "context", "face", "emotion"), "equivalent", margin=0.01),
            Claim("The face beats the gate", Pair("", "face", "gating", "emotion", "macro_f1"), compare="equal_epochs"),
        ],
        monitor="val/emotion/macro_f1",
        provenance=[("Commit", "c" * 40), ("Protocol (hash)", "p" * 64)],
        config={"name": "made"},
    )
    return replace(study, **changes)

"""Made-up prediction tables: what judges predictions needs no model."""

import numpy as np
import pandas as pd

from caer.evaluation.predictions import Predictions

CLASSES = ["smile", "sad", "angry"]


def made_predictions(
    targets: list[int],
    answers: list[int],
    *,
    confidence: float = 0.8,
    face: list[int] | None = None,
    context: list[int] | None = None,
    gates: list[tuple[float, float] | None] | None = None,
    status: list[str] | None = None,
    groups: list[str] | None = None,
    classes: list[str] | None = None,
    images: list[str] | None = None,
) -> Predictions:
    """A table whose answers are certain to `confidence`; -1 among `face` and `context` stands for nothing to look at."""
    names = classes or CLASSES
    count = len(targets)

    def probabilities(chosen: list[int] | None) -> list[list[float] | None]:
        rest = (1 - confidence) / (len(names) - 1)
        rows = np.full((len(names), len(names)), rest) + np.eye(len(names)) * (confidence - rest)
        return [None] * count if chosen is None else [rows[k].tolist() if k >= 0 else None for k in chosen]

    states = status or ["ok"] * count
    rows = {
        "sample_id": [f"id{i:04d}" for i in range(count)],
        "source": ["made"] * count,
        "group": groups or [""] * count,
        "split": ["test"] * count,
        "status": states,
        "image": images or [f"photos/{i}.jpg" for i in range(count)],
        "answered_by": ["model" if state == "ok" else "context" for state in states],
        "target_emotion": np.array(targets, dtype=np.int64),
        "prob_emotion": probabilities(answers),
        "face_prob_emotion": probabilities(face),
        "context_prob_emotion": probabilities(context),
        "gates_emotion": [None] * count if gates is None else [None if g is None else list(g) for g in gates],
    }
    table = pd.DataFrame({name: pd.Series(values, dtype=object if "prob" in name else None) for name, values in rows.items()})
    return Predictions(table, {"tasks": {"emotion": names}, "priors": {"emotion": [0.5, 0.3, 0.2][: len(names)]}})

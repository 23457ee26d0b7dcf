"""Calibrated confidence: the temperature that a run's validation predictions ask for (see `caer.evaluation.calibration`).

The predictions are those that `python -m caer evaluate` left beside the run; fitting takes milliseconds, so nothing is stored
twice. A run that was never evaluated has no temperature: confidence then stays as trained, and says so.
"""

from pathlib import Path

import numpy as np

from caer.config import load_config
from caer.evaluation.calibration import fit_temperature, rescale
from caer.evaluation.predictions import Predictions, read_predictions, same_origin, task_rows
from preprocessing.errors import UserError
from preprocessing.files import sha256_file


def fitted_temperatures(stage: Path) -> dict[str, float]:
    """By task the temperature of a stage's validation predictions; empty where there are none of these weights and settings.

    Args:
        stage: the stage's folder; its own `eval/` and that of the seed are looked at.
    """
    settings = load_config(stage / "config.yaml").answering_hash
    origin = {"weights_sha256": sha256_file(stage / "best.safetensors"), "settings_sha256": settings}
    for folder in (stage, stage.parent):
        try:
            predictions = read_predictions(folder / "eval" / "val" / "predictions.parquet")
        except UserError:
            continue
        if same_origin(predictions.meta, origin):
            fitted = {name: _fit(predictions, name) for name in predictions.tasks}
            return {name: value for name, value in fitted.items() if value is not None}
    return {}


def _fit(predictions: Predictions, name: str) -> float | None:
    rows = task_rows(predictions, name)
    looked = rows.answered_by != "prior"
    return fit_temperature(rows.targets[looked], rows.probabilities[looked]) if looked.any() else None


def calibrate(probabilities: np.ndarray, temperature: float | None) -> np.ndarray:
    """Probabilities [N, K] of K classes after the temperature; as they are without one."""
    return probabilities if temperature is None else rescale(probabilities, temperature)

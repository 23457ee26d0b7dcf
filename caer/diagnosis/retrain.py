"""The context branch trained again with other masks, and on the mask's geometry alone: does the mask give the label away?

Enters: a loaded run. Leaves: stages in `runs/NAME_diagnose_VARIANT/seedS`, trained by `fit_stage` (a call that was stopped goes
on), and their accuracy on the judged split.

A larger margin hides more of what belongs to the face (hair, hands, neck). The variant `mask_alone` sees a grey picture in which
only the mask stands: what it gets right beyond the most frequent class, the mask's place and size have told.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caer.config import Config
from caer.engine.checkpoint import LoadedRun
from caer.engine.run import fit_stage
from caer.evaluation import statistics
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.predictions import ONE_OF, TaskRows, task_rows
from preprocessing.errors import UserError
from preprocessing.settings import validate

Json = dict[str, Any]

MASK_ALONE = "mask_alone"


@dataclass(frozen=True)
class Retraining:
    """What to train again.

    Attributes:
        margins: of the mask, as `data.mask.margin`.
        epochs: of each variant; None for as many as the run's own stage has.
    """

    margins: Sequence[float] = (0.0, 0.25, 0.5)
    epochs: int | None = None


def read_margins(text: str) -> tuple[float, ...]:
    """Margins of `0,0.25,0.5`; each once.

    Raises:
        UserError: not numbers.
    """
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError:
        raise UserError(f"--margins {text!r}: expected numbers with commas between them, such as 0,0.25,0.5") from None


def context_stage(config: Config) -> int:
    """The number of the stage that trains the context branch alone.

    Raises:
        UserError: there is none.
    """
    for number, stage in sorted(config.stages.items()):
        if stage.output == "context":
            return number
    outputs = ", ".join(f"stage {number} {stage.output}" for number, stage in sorted(config.stages.items()))
    raise UserError(
        f"--retrain trains the stage with output context again, and {config.name} has none ({outputs}); leave --retrain out"
    )


def variants(loaded: LoadedRun, retraining: Retraining) -> dict[str, Config]:
    """The experiment of each variant by its name: the run's own, but for mask, epochs and name.

    Raises:
        UserError: no such stage, or a margin or number of epochs that does not fit it.
    """
    stage = context_stage(loaded.config)
    masks: dict[str, Json] = {f"margin_{margin:g}": {"margin": margin} for margin in retraining.margins}
    masks[MASK_ALONE] = {"only": True, "fill": "black"}
    return {name: _variant(loaded, stage, name, mask, retraining.epochs) for name, mask in masks.items()}


def _variant(loaded: LoadedRun, stage: int, name: str, mask: Json, epochs: int | None) -> Config:
    # The other stages stay declared: whether a holdout is taken away from train depends on them.
    settings = loaded.config.model_dump(mode="json")
    settings |= {"name": f"{loaded.config.name}_diagnose_{name}", "runs": _runs_folder(loaded)}
    settings["data"]["mask"] |= mask
    if epochs is not None:
        settings["stages"][str(stage)]["epochs"] = epochs
    return validate(Config, settings, f"--retrain, {name}")


def _runs_folder(loaded: LoadedRun) -> str:
    """Where the run lies now, which need not be where it was trained."""
    return os.path.relpath(loaded.folder.resolve().parents[2])


def retrain(loaded: LoadedRun, split: str, retraining: Retraining) -> dict[str, Any]:
    """Train every variant and judge it on the split (a look that the variant's own ledger keeps, where the split is not val).

    Returns:
        `stage`, `epochs`, and `tasks`: by task and variant `run` (its name), `margin`, and over the rows with a face `n`,
        `accuracy`, `over_majority` (the difference to answering the most frequent class of the training rows).
    """
    stage, experiments = context_stage(loaded.config), variants(loaded, retraining)
    tasks = [name for name, task in loaded.tasks.items() if task.kind in ONE_OF]
    found: Json = {"stage": stage, "tasks": {name: {} for name in tasks}}
    for name, config in experiments.items():
        folder = fit_stage(config, stage).folder
        found["epochs"] = config.stage(stage).epochs
        predictions = evaluate_run(folder, split, report=False).predictions
        for task in tasks:
            facts = {"run": config.name, "margin": config.data.mask.margin}
            found["tasks"][task][name] = facts | _scores(task_rows(predictions, task), predictions.meta["priors"][task])
    return found


def _scores(task: TaskRows, prior: Sequence[float]) -> Json:
    rows = task.detected & (task.answered_by == "model")
    codes, right = task.codes[rows], task.correct()[rows]
    majority = task.targets[rows] == int(np.argmax(prior))
    return {
        "n": int(rows.sum()),
        "accuracy": statistics.share(right, codes).to_json(),
        "over_majority": statistics.difference(right, majority, codes).to_json(),
    }

"""One network for n tasks against n networks for one task each: trained by `fit_stage`, judged on the same rows, timed.

Enters: a config of a `multitask` model. Leaves: a `Comparison`. The n networks differ from the one in their tasks alone: each has
the same settings, sees the rows that are labelled for its task, and its head starts from the same weights.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from caer.comparison.network_facts import Network, network_facts
from caer.comparison.networks_plan import plan_networks
from caer.config import Config
from caer.data.features import to_device
from caer.data.loaders import eval_loader
from caer.data.rows import Rows
from caer.engine.checkpoint import LoadedRun, load_run
from caer.engine.precision import resolve_device
from caer.engine.run import fit_stage
from caer.evaluation import numbers, statistics, tags
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.judged import JudgedRows, NumberRows, TagRows, judged_rows
from caer.evaluation.statistics import Estimate

IMAGES, REPEATS = 64, 7
"""Inference is timed on so many faces, so often; the median counts."""


@dataclass(frozen=True)
class TaskResult:
    """A task in the one network and in a network of its own, on the same rows.

    Attributes:
        task: its name.
        score: what is compared: `accuracy`, `distance` (of a number, in its unit; smaller is better) or `exact` (of tags).
        unit: of a number.
        rows: how many.
        together, alone: the score in the one network and in its own.
        difference: together minus alone, paired.
        seconds: training of the task's own network (`Network.seconds`).
    """

    task: str
    score: str
    unit: str
    rows: int
    together: Estimate
    alone: Estimate
    difference: Estimate
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """All tasks, and the time of both ways.

    Attributes:
        tasks: in the config's order.
        split: the rows they were judged on.
        training: seconds of the one network; those of the others are in `tasks`.
        inference: milliseconds a face of the one network, and of all the others together.
        runs: folders of the runs, the one network's first.
        networks: what these runs tell of themselves, in the same order.
        left_out: by optional task why it is not compared.
    """

    tasks: list[TaskResult]
    split: str
    training: float | None
    inference: tuple[float, float]
    runs: list[str]
    networks: list[Network]
    left_out: dict[str, str]


def compare_networks(config: Config, split: str = "val") -> Comparison:
    """Train what is not trained yet, judge what is not judged yet, and time it.

    Raises:
        UserError: before anything is trained, see `plan_networks`.
    """
    plan = plan_networks(config, split)
    configs = [plan.together, *plan.alone.values()]
    loaded = [load_run([fit_stage(each, stage) for stage in sorted(each.stages)][-1].folder) for each in configs]
    # In the folder where `evaluate RUN` writes, and once: another look at test would tell nothing new.
    judged = [evaluate_run(each.run_folder, split, report=False, reuse=True) for each in configs]
    networks = [network_facts(run, evaluation.metrics["run"]) for run, evaluation in zip(loaded, judged, strict=True)]
    tables = [evaluation.predictions for evaluation in judged]
    results = [
        compare_task(name, judged_rows(tables[0], name), judged_rows(own, name), network.seconds)
        for name, own, network in zip(plan.alone, tables[1:], networks[1:], strict=True)
    ]
    runs = [str(run.folder) for run in loaded]
    return Comparison(results, split, networks[0].seconds, inference_times(loaded), runs, networks, plan.left_out)


def compare_task(name: str, together: JudgedRows, alone: JudgedRows, seconds: float | None) -> TaskResult:
    """A task's scores in both networks, paired by `sample_id`: their tables may stand in different orders."""
    score, ours = row_scores(together)
    _, theirs = row_scores(alone)
    own = pd.Series(theirs, index=alone.rows["sample_id"]).reindex(together.rows["sample_id"]).to_numpy()
    assert len(theirs) == len(ours), "both networks are judged on every row that is labelled for the task"
    assert not np.isnan(own).any(), "both networks are judged on the same rows"
    estimate = statistics.mean if score == "distance" else statistics.share
    return TaskResult(
        task=name,
        score=score,
        unit=together.unit if isinstance(together, NumberRows) else "",
        rows=len(ours),
        together=estimate(ours, together.codes),
        alone=estimate(own, together.codes),
        difference=statistics.difference(ours, own, together.codes),
        seconds=seconds,
    )


def row_scores(task: JudgedRows) -> tuple[str, np.ndarray]:
    """Name of a task's score, and its value [N] on each row."""
    if isinstance(task, NumberRows):
        return "distance", numbers.distances(task.targets, task.answers)
    if isinstance(task, TagRows):
        return "exact", tags.exact(task.truth, task.chosen).astype(float)
    return "accuracy", task.correct()


def inference_times(runs: Sequence[LoadedRun]) -> tuple[float, float]:
    """Milliseconds a face: of the first run, and of all others one after the other, on the same batch, without reading it."""
    config = runs[0].config
    device = resolve_device(config)
    rows = Rows(config, runs[0].tasks).validation("face").head(IMAGES)
    sized = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": len(rows), "workers": 0})})
    batch = to_device(next(iter(eval_loader(sized, rows, {"face"}))), device)
    models = [run.model.to(device).eval() for run in runs]
    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=runs[0].meta["precision"] == "bf16")
    with torch.inference_mode(), bf16:
        turns = [(_seconds(models[:1], batch, device), _seconds(models[1:], batch, device)) for _ in range(REPEATS + 1)]
    one, others = np.median(turns[1:], axis=0)  # the first turn warms up
    return 1000 * float(one) / len(rows), 1000 * float(others) / len(rows)


def _seconds(models: Sequence[torch.nn.Module], batch: dict[str, Any], device: torch.device) -> float:
    started = time.perf_counter()
    for model in models:
        model(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started

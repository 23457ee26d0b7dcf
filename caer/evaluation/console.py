"""What `evaluate` prints.

Enters: an `Evaluation`. Leaves: plain lines.
"""

import os
from typing import Any

from caer.evaluation.evaluate import Evaluation
from caer.evaluation.number_summary import in_unit

Json = dict[str, Any]


def summary_lines(evaluation: Evaluation) -> list[str]:
    """Main scores, the branches, ceilings where they are known, and where the page lies."""
    metrics = evaluation.metrics
    run, rows = metrics["run"], metrics["rows"]
    lines = [
        f"{run['name']} seed {run['seed']} stage {run['stage']} ({run['output']}), split {metrics['split']}: "
        f"{rows['all']} labelled rows, {rows['detected']} with a face"
    ]
    for name, task in metrics["tasks"].items():
        lines += [f"{name}: {line}" for line in _task_lines(task)]
    if metrics.get("unlabelled"):
        lines.append(f"not judged, no row of {metrics['split']} is labelled for it: {', '.join(metrics['unlabelled'])}")
    if metrics.get("untrained"):
        lines.append(f"not judged, no training row was labelled for it: {', '.join(metrics['untrained'])}")
    if metrics["looks"] is not None:
        lines.append(f"looks at {metrics['split']} so far: {metrics['looks']['earlier_looks'] + 1} (ledger.jsonl)")
    return [*lines, f"report: {os.path.relpath(evaluation.folder / 'report.html')}"]


def shown(estimate: Json, signed: bool = False) -> str:
    """`78.2 [74.1, 82.0]` in percent."""
    sign = "+" if signed else ""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{100 * value:{sign}.1f}" + ("" if low is None else f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]")


def _task_lines(task: Json) -> list[str]:
    if task.get("kind") == "number":
        return _number_lines(task)
    if task.get("kind") == "tags":
        scores = task["rows"]["all"]
        return [f"mAP {shown(scores['map'])}, micro-F1 {shown(scores['micro_f1'])}, right in every tag {shown(scores['exact'])}"]
    return _class_lines(task)


def _number_lines(task: Json) -> list[str]:
    """MAE where the number is known, and for intervals the MAE to the midpoint, called that."""
    scores, prior, unit = task["rows"]["all"], task["by_prior"], task["unit"]
    names = {"mae": "MAE", "mae_to_midpoint": "MAE to the bin's midpoint", "distance": "distance to the interval"}
    lines = [
        f"{said} {in_unit(scores[key], unit)} (answering the median of train: {in_unit(prior[key], unit)})"
        for key, said in names.items()
        if scores[key]["value"] is not None and (key != "distance" or scores["inside"]["value"] is not None)
    ]
    if scores["inside"]["value"] is not None:
        lines.append(f"inside the interval {shown(scores['inside'])}")
    return lines


def _class_lines(task: Json) -> list[str]:
    scores, detected = task["rows"]["all"], task["rows"]["detected"]
    lines = [
        f"accuracy {shown(scores['accuracy'])}, macro-F1 {shown(scores['macro_f1'])}, balanced accuracy "
        f"{shown(scores['balanced_accuracy'])}; with a face: accuracy {shown(detected['accuracy'])}"
    ]
    if task.get("kind") == "ordered":
        kappa = scores["quadratic_kappa"]["value"]
        lines.append(
            f"within one class {shown(scores['within_one'])}, quadratic kappa {'undefined' if kappa is None else f'{kappa:.3f}'}"
        )
    if (branches := task["branches"]) is not None:
        side, better = branches["all"], branches["better"]
        lines.append(
            f"face {shown(side['face'])}, context {shown(side['context'])}, fused {shown(side['fused'])}; fused - {better} "
            f"{shown(side['fused_minus'][better], signed=True)}"
        )
    if "ceilings" in task:
        expected, fell = task["ceilings"]["expected"], task["ceilings"]["on_these_labels"]
        views = {"face": "face", "context": "context", "both": "both", "both_with_cue": "both with the cue"}
        best = (f"{views[view]} {100 * fell[view]:.1f} ({100 * expected[view]:.1f})" for view in views)
        lines.append(f"best rules on these labels (expected): {', '.join(best)}")
    if "gate_reliability" in task:
        gate = task["gate_reliability"]
        lines.append(
            f"context's share of the gates: unreliable faces {shown(gate['unreliable'])}, reliable {shown(gate['reliable'])}, "
            f"difference {shown(gate['difference'], signed=True)}"
        )
    calibration = task["calibration"]
    if calibration["after"]:
        lines.append(
            f"calibration error {100 * calibration['before']['ece']:.1f}, with temperature {calibration['temperature']:.2f}: "
            f"{100 * calibration['after']['ece']:.1f}"
        )
    return lines

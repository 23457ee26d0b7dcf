"""`results.csv`: one row a variant, seed and task, with every score unrounded and where it comes from.

Enters: a `Study` and its `Findings`. Leaves: the rows; undefined values are empty.
"""

import csv
import io
import math
from typing import Any

from caer.comparison.scores import SCORES
from caer.comparison.study import Findings, Study
from caer.report.comparison.calibration import after

HASHES = ("protocol_hash", "row_hash", "weights_sha256", "manifest_hashes")


def result_rows(study: Study, findings: Findings) -> list[dict[str, Any]]:
    """The rows as dicts, in the order of tasks, variants, seeds."""
    return [
        _row(study, task, variant, seed, row)
        for task, scores in findings.scores.items()
        for variant, found in scores.items()
        for seed, row in found.by_seed.items()
    ]


def _row(study: Study, task: str, variant: str, seed: int, scores: dict[str, float]) -> dict[str, Any]:
    run, answers = study.runs[variant][seed], study.answers[task]
    return {
        "report": study.name,
        "task": task,
        "variant": variant,
        "label": study.labels[variant],
        "seed": seed,
        "split": study.split,
        "rows": len(answers.targets),
        "groups": len(set(answers.codes.tolist())),
        **{name: scores[name] for name in SCORES},
        "temperature": after(run, task, "temperature"),
        **{f"{name}_with_temperature": after(run, task, name) for name in ("ece", "nll", "brier")},
        "parameters": run.parameters,
        "epochs": run.epochs or None,
        "training_seconds": run.training_seconds,
        "shared_stages": " ".join(map(str, run.shared_stages)),
        "inference_ms": run.inference_ms,
        **{name: run.hashes.get(name) for name in HASHES},
        "commit": run.commit,
        "run": run.place,
    }


def results_csv(study: Study, findings: Findings) -> str:
    """The file's text."""
    rows = result_rows(study, findings)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else value

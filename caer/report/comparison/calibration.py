"""Can the probabilities be believed? Scores before and after the temperature of val, and reliability diagrams.

Enters: a `Study` and its `Findings`. Leaves: HTML; an empty string where no variant gives probabilities.
"""

from typing import Any

import numpy as np

from caer.comparison.scores import VariantScores
from caer.comparison.study import Findings, Run, Study
from caer.report import html, plots
from caer.report.comparison import marks

SCORES = ("ece", "nll", "brier")


def calibration_section(study: Study, findings: Findings, task: str) -> str:
    """ECE, NLL and Brier as trained and with each run's own temperature, and one reliability diagram a variant."""
    scores = {variant: found for variant, found in findings.scores[task].items() if found.bins}
    if not scores:
        return ""
    fitted = any(after(run, task, "temperature") for variant in scores for run in study.runs[variant].values())
    rows = [_row(study, task, variant, found)[: None if fitted else 4] for variant, found in scores.items()]
    head = ["Variant", "ECE", "NLL (nats)", "Brier", "Temperature", "ECE, with it", "NLL, with it", "Brier, with it"]
    head = head[: None if fitted else 4]
    caption = "Mean ± SD over seeds; ECE in percent, 15 bins of equal mass."
    if fitted:
        caption += " Each run's temperature is fitted on val."
    diagrams = [
        html.figure(
            plots.reliability({"ece": found.mean["ece"], "bins": found.bins}, None),
            f"Reliability diagram of {study.labels[variant]}.",
            f"<b>{html.text(study.labels[variant])}</b>, all seeds together; the title gives the seeds' mean ECE.",
        )
        for variant, found in scores.items()
    ]
    return html.section("Calibration", html.table(head, rows, caption), f'<div class="many">{"".join(diagrams)}</div>')


def _row(study: Study, task: str, variant: str, found: VariantScores) -> list[str]:
    before = [marks.mean_cell(found.mean[name], found.sd[name], share=name == "ece") for name in SCORES]
    after = [calibrated(study, task, variant, name) for name in ("temperature", *SCORES)]
    return [
        html.text(study.labels[variant]),
        *before,
        *(marks.mean_cell(*both, share=i == 1) for i, both in enumerate(after)),
    ]


def calibrated(study: Study, task: str, variant: str, name: str) -> tuple[float, float]:
    """Mean and SD over a variant's seeds of the temperature, or of a score after it; NaN where no run has one."""
    known = [value for run in study.runs[variant].values() if (value := after(run, task, name)) is not None]
    if not known:
        return float("nan"), float("nan")
    return float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def after(run: Run, task: str, name: str) -> float | None:
    """A run's `temperature`, or a score with it; None where there was no val to fit it on."""
    calibration: dict[str, Any] = run.calibration.get(task) or {}
    return calibration.get(name) if name == "temperature" else (calibration.get("after") or {}).get(name)

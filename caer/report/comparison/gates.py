"""Is the gate any good? For every variant that has one: whom it prefers where the branches disagree, and what choosing wins.

Enters: a `Study` and its `Findings`. Leaves: HTML; an empty string where no variant has gates.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from caer.comparison.study import Findings, Study
from caer.evaluation.gate_quality import GateRows
from caer.evaluation.statistics import Estimate
from caer.report import html, plots
from caer.report.comparison import marks
from caer.report.comparison.plots import risk_coverage
from gating.gate_stats import branch_gates, summarize_gates

Json = dict[str, Any]


def gates_section(study: Study, findings: Findings, task: str) -> str:
    """The table of gate quality; for gates that differ between rows also gates by class, and risk against coverage."""
    judged = {variant: seeds for variant, seeds in findings.gates.get(task, {}).items() if seeds}
    if not judged:
        return ""
    rows = [_row(study.labels[variant], seeds) for variant, seeds in judged.items()]
    head = [
        "Variant",
        "Disagreements",
        "AUC",
        "Prefers the right one",
        "Regret to oracle",
        "Over permuted gates",
        "Over mean gates",
    ]
    words = (
        "The branches disagree where exactly one of them is right. AUC: how well the context's share of the gates tells in which "
        "of these rows the context is the right one (50: not at all). The oracle gate takes a right branch wherever there is "
        "one. “Over permuted gates”: accuracy won against the same gates dealt out to other rows; one that "
        "chooses by sample is above 0."
    )
    caption = "Percentages and points; mean ± SD over seeds, with one seed the 95% interval over rows."
    classes = study.answers[task].classes
    figures = [
        _figures(study.labels[variant], classes, study.gates[task][variant], seeds)
        for variant, seeds in judged.items()
        if any(np.ptp(rows.gates, axis=0).any() for rows in study.gates[task][variant].values())
    ]
    return html.section("Gates", html.paragraph(words, "fine"), html.table(head, rows, caption), *figures)


def _row(label: str, seeds: Mapping[int, Json]) -> list[str]:
    found = list(seeds.values())
    disagreements = np.mean([one["disagreements"]["n"] for one in found])
    return [
        html.text(label),
        f"{disagreements:,.0f} <small>of {found[0]['n']:,}</small>",
        _over_seeds(found, lambda one: one["disagreements"]["auc"]),
        _over_seeds(found, lambda one: one["disagreements"]["preferred"]),
        _over_seeds(found, lambda one: one["regret"], signed=True),
        _over_seeds(found, lambda one: _control(one, "permuted"), signed=True),
        _over_seeds(found, lambda one: _control(one, "mean"), signed=True),
    ]


def _control(found: Json, kind: str) -> Json | None:
    return None if found["controls"] is None else found["controls"][kind]["difference"]


def _over_seeds(found: list[Json], pick: Callable[[Json], Json | None], signed: bool = False) -> str:
    estimates = [estimate for one in found if (estimate := pick(one)) is not None and estimate["value"] is not None]
    if not estimates:
        return f'<span class="none">{html.NONE}</span>'
    if len(estimates) == 1:
        return marks.gap_cell(Estimate(**estimates[0])) if signed else html.estimate_cell(estimates[0], bar=False)
    values = [estimate["value"] for estimate in estimates]
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    if signed:
        return f'<span class="value">{marks.signed(mean)}</span> <small>± {html.percent(sd)}</small>'
    return marks.mean_cell(mean, sd)


def _figures(label: str, classes: list[str], rows: Mapping[int, GateRows], seeds: Mapping[int, Json]) -> str:
    name = html.text(label)
    gates = html.figure(
        plots.gates(by_class(classes, rows)),
        f"Mean gates of {label} by true class.",
        f"<b>{name}</b>: how much each branch is let through, by true class, all seeds together.",
    )
    risk = html.figure(
        risk_coverage({answer: mean_risk(seeds, answer) for answer in ("face", "context", "fused")}),
        f"Risk against coverage of {label}.",
        f"<b>{name}</b>: wrong answers among the rows with the highest confidence, mean over seeds.",
    )
    return f'<div class="pair">{gates}{risk}</div>'


def by_class(classes: list[str], rows: Mapping[int, GateRows]) -> list[Json]:
    """Mean and SD of the gates by true class and over all rows, the seeds together."""
    gates = np.concatenate([branch_gates(one.gates) for one in rows.values()])
    targets = np.concatenate([one.targets for one in rows.values()])
    found = {row["group"]: row for row in summarize_gates(gates, targets)}
    named = [{**found[str(k)], "group": name} for k, name in enumerate(classes) if str(k) in found]
    return [*named, found["all"]]


def mean_risk(seeds: Mapping[int, Json], answer: str) -> Json:
    """The risk-coverage curve of one answer, averaged over the seeds."""
    curves = [one["risk_coverage"][answer] for one in seeds.values()]
    return {"coverage": curves[0]["coverage"], "risk": np.mean([curve["risk"] for curve in curves], axis=0)}

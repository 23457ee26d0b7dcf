"""Each class: F1 of every variant, and the confusion matrices.

Enters: a `Study` and its `Findings`. Leaves: HTML.
"""

import numpy as np

from caer.comparison.study import Findings, Study
from caer.report import html, plots
from caer.report.comparison.plots import class_f1


def classes_section(study: Study, findings: Findings, task: str) -> str:
    """A heat map of F1, its numbers with intervals folded away, one confusion matrix a variant."""
    scores, classes = findings.scores[task], study.answers[task].classes
    labels = [study.labels[variant] for variant in scores]
    values = np.array([[estimate.value for estimate in found.class_f1] for found in scores.values()])
    counts = np.bincount(study.answers[task].targets, minlength=len(classes))
    rows = [
        [html.text(label), *(html.estimate_cell(estimate.to_json(), bar=False) for estimate in found.class_f1)]
        for label, found in zip(labels, scores.values(), strict=True)
    ]
    head = ["Variant", *(f"{html.text(name)}<br><small>{n:,} rows</small>" for name, n in zip(classes, counts, strict=True))]
    folded = f"<details><summary>F1 of each class with intervals</summary>{html.table(head, rows)}</details>"
    heat = html.figure(class_f1(labels, classes, values), "F1 of each variant and class.", "F1 in percent, mean over seeds.")
    matrices = [
        html.figure(
            plots.confusion(classes, found.confusion.tolist()),
            f"Confusion matrix of {label}, truth in rows.",
            f"<b>{html.text(label)}</b>, all seeds together.",
        )
        for label, found in zip(labels, scores.values(), strict=True)
    ]
    grid = f'<div class="many">{"".join(matrices)}</div>'
    return html.section("Classes", heat, folded, "<h3>Confusion matrices</h3>", grid)

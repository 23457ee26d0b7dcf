"""Scores of all variants: the main table with costs, bars with intervals, every seed.

Enters: a `Study` and its `Findings`. Leaves: HTML.
"""

from collections.abc import Mapping, Sequence

from caer.comparison.scores import RATES, SCORES, VariantScores
from caer.comparison.study import Findings, Run, Study
from caer.report import html
from caer.report.comparison import marks, plots

RATE_HEADS = ("Accuracy", "Macro-F1", "Balanced accuracy")
COST_HEADS = ("Parameters", "Training time", "Inference (ms a row)")


def variants_section(study: Study, findings: Findings, task: str) -> str:
    """The table of one task, its plots, and each seed's numbers folded away."""
    scores = findings.scores[task]
    known = any(run.parameters for runs in study.runs.values() for run in runs.values())
    rows = [
        [
            html.text(study.labels[variant]),
            str(len(found.by_seed)),
            *(marks.rate_cell(found, name) for name in RATES),
            marks.mean_cell(found.mean["ece"], found.sd["ece"]),
            *(costs(study, variant) if known else []),
        ]
        for variant, found in scores.items()
    ]
    head = ["Variant", "Seeds", *RATE_HEADS, "ECE", *(COST_HEADS if known else [])]
    shared = any(run.shared_stages for runs in study.runs.values() for run in runs.values())
    caption = "Mean ± SD over seeds [95% interval over rows and seeds]." + (
        " A stage that variants share was trained once; its time counts in each." if shared else ""
    )
    figures = [_figure(study, scores, name, title) for name, title in zip(RATES[:2], RATE_HEADS[:2], strict=True)]
    pair = f'<div class="pair">{"".join(figures)}</div>'
    return html.section("Variants", html.table(head, rows, caption), pair, _every_seed(study, scores))


def costs(study: Study, variant: str) -> list[str]:
    """Parameters, training time and inference time of a variant, means over its seeds, as text."""
    runs = list(study.runs[variant].values())
    inference = mean_of([run.inference_ms for run in runs])
    return [
        marks.count(mean_of([run.parameters for run in runs])),
        marks.duration(mean_of([run.training_seconds for run in runs])),
        html.NONE if inference is None else f"{inference:.1f}",
    ]


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _figure(study: Study, scores: Mapping[str, VariantScores], name: str, title: str) -> str:
    entries = [
        (study.labels[variant], found.intervals[name], [row[name] for row in found.by_seed.values()])
        for variant, found in scores.items()
    ]
    alt = f"{title} of each variant with its 95% interval."
    caption = f"{title}. Dot: mean; pale bar: 95% interval over rows and seeds; rings: single seeds."
    return html.figure(plots.rates(entries, title.lower()), alt, caption)


def _every_seed(study: Study, scores: Mapping[str, VariantScores]) -> str:
    rows = [
        [f"{html.text(study.labels[variant])}, {seed}", *_numbers(row), *_run(study.runs[variant][seed])]
        for variant, found in scores.items()
        for seed, row in found.by_seed.items()
    ]
    head = ["Variant, seed", *RATE_HEADS, "ECE", "NLL", "Brier", "Time", "Run"]
    return f"<details><summary>Every seed</summary>{html.table(head, rows)}</details>"


def _numbers(row: dict[str, float]) -> list[str]:
    shares = (*RATES, "ece")
    return [html.percent(row[name]) if name in shares else html.number(row[name]) for name in SCORES]


def _run(run: Run) -> list[str]:
    return [marks.duration(run.training_seconds), f'<span class="path">{html.text(run.place)}</span>']

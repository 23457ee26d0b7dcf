"""The declared differences: intervals, p-values, and what such data could have shown.

Enters: a `Study` and its `Findings`. Leaves: HTML.
"""

from caer.comparison.contrasts import Contrast, shown_seeds
from caer.comparison.study import Findings, Study
from caer.report import html
from caer.report.comparison import marks

RATES = ("accuracy", "macro_f1", "balanced_accuracy")


def contrasts_section(study: Study, findings: Findings) -> str:
    """The table of all contrasts; empty where none is declared."""
    if not study.pairs:
        return ""
    half = marks.reach(contrast.differences[name] for contrast in findings.contrasts for name in RATES[:2])
    rows = [_row(study, contrast, half) for contrast in findings.contrasts]
    head = ["Contrast", "Accuracy", "Macro-F1", "p", "p, Holm", "Differ on", "Smallest detectable"]
    caption = (
        "a − b in points, 95% intervals. p: paired permutation of groups on correctness averaged over seeds; Holm's correction "
        f"over the {len(findings.contrasts)} contrasts of this table. “Differ on”: rows that only one side has right."
    )
    words = (
        "The smallest detectable difference is the true difference in accuracy that four of five such samples of rows and seeds "
        "would show at the 5% level. An interval that holds 0 says that no difference was seen, not that there is none."
    )
    parts = [html.table(head, rows, caption)] if rows else []
    parts += [html.paragraph(html.text(f"{name}: {why}."), "fine") for name, why in findings.unjudged.items()]
    return html.section("Contrasts", html.paragraph(words, "fine"), *parts, _others(study, findings))


def _row(study: Study, contrast: Contrast, half: float) -> list[str]:
    pair = contrast.pair
    task = f" ({html.text(pair.task)})" if len(study.answers) > 1 else ""
    sides = f"{html.text(study.labels[pair.a])} − {html.text(study.labels[pair.b])}{task}"
    seeds = marks.seeds(contrast.seeds)
    if contrast.left_out:
        seeds += f", without {shown_seeds(contrast.left_out)}"
    return [
        f"{html.text(pair.name)}<br><small>{sides}<br>{seeds}</small>",
        *(marks.gap_cell(contrast.differences[name], half) for name in RATES[:2]),
        html.text(marks.p_text(contrast.p)),
        f'<span class="value">{html.text(marks.p_text(contrast.holm))}</span>',
        f"{html.percent(contrast.discordant)}%",
        html.percent(contrast.smallest_detectable),
    ]


def _others(study: Study, findings: Findings) -> str:
    """Differences of the other scores, and McNemar's test seed by seed, folded away."""
    if not findings.contrasts:
        return ""
    names = ("balanced_accuracy", "nll", "brier")
    rows = [
        [
            html.text(contrast.pair.name),
            *(marks.gap_cell(contrast.differences.get(name), metric=name) for name in names),
            html.text(", ".join(f"{seed}: {marks.p_text(p)}" for seed, p in contrast.mcnemar.items())),
        ]
        for contrast in findings.contrasts
    ]
    head = ["Contrast", "Balanced accuracy", "NLL", "Brier", "McNemar's p by seed"]
    caption = (
        "Of NLL and Brier, lower is better. McNemar's exact test takes each seed alone and rows as if independent: a "
        "description, no evidence over seeds."
    )
    return f"<details><summary>Other scores, and McNemar's test of each seed</summary>{html.table(head, rows, caption)}</details>"

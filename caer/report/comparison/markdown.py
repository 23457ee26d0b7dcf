"""`report.md`: the page's tables in Markdown, for a README or a review.

Enters: a `Study` and its `Findings`. Leaves: text; names cannot become markup.
"""

import html as escaping
import re
from collections.abc import Iterable, Sequence

from caer.comparison.claims import Verdict
from caer.comparison.contrasts import Contrast, shown_seeds
from caer.comparison.scores import RATES
from caer.comparison.study import Claim, Findings, Study
from caer.report import html
from caer.report.comparison import marks
from caer.report.comparison.claims import compared, margin, origin
from caer.report.comparison.head import warnings
from caer.report.comparison.variants import RATE_HEADS, costs


def text(value: object) -> str:
    """Any value as Markdown text."""
    plain = escaping.unescape(html.text(value))
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", plain).replace("&", "&amp;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown already."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def report_markdown(study: Study, findings: Findings) -> str:
    """The whole file."""
    answers = next(iter(study.answers.values()))
    parts = [
        f"# {text(study.name)}\n",
        f"{text(study.kind)}: split {text(study.split)} of {text(study.data)}, {len(answers.targets):,} rows. Percent and "
        "points; ± is the SD over seeds, brackets are 95% intervals over rows and seeds, paired.\n",
        *(f"**{text(warning)}**\n" for warning in warnings(study)),
        _claims(study, findings),
        *(_variants(study, findings, task) for task in study.answers),
        _contrasts(study, findings),
        _failures(study),
        "## Where these numbers come from\n",
        "\n".join(f"- {text(name)}: {text(value)}" for name, value in study.provenance) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def _claims(study: Study, findings: Findings) -> str:
    if not study.claims:
        return ""
    rows = [_claim(study, *both) for both in zip(study.claims, findings.verdicts, strict=True)]
    return "## Claims\n\n" + table(["Claim", "Compared", "Difference", "Margin", "Verdict"], rows)


def _claim(study: Study, claim: Claim, verdict: Verdict | str) -> list[str]:
    said = [f"{text(claim.text)} ({text(origin(study, claim))})", text(compared(study, claim))]
    limit = margin(claim).removeprefix("margin: ")
    if isinstance(verdict, str):
        return [*said, html.NONE, limit, f"not judged: {text(verdict)}"]
    level = "" if verdict.level == 0.95 else f" ({100 * verdict.level:.0f}%)"
    return [*said, marks.gap_text(verdict.difference, claim.pair.metric) + level, limit, f"**{verdict}**"]


def _variants(study: Study, findings: Findings, task: str) -> str:
    rows = [
        [
            text(study.labels[variant]),
            str(len(found.by_seed)),
            *(marks.rate_text(found, name) for name in RATES),
            marks.mean_text(found.mean["ece"], found.sd["ece"]),
            *costs(study, variant),
        ]
        for variant, found in findings.scores[task].items()
    ]
    head = ["Variant", "Seeds", *RATE_HEADS, "ECE", "Parameters", "Training", "Inference, ms"]
    return f"## Variants: {text(task)}\n\n" + table(head, rows)


def _contrasts(study: Study, findings: Findings) -> str:
    rows = [_contrast(study, contrast) for contrast in findings.contrasts]
    head = ["Contrast", "Accuracy", "Macro-F1", "p", "p (Holm)", "Smallest detectable", "Seeds"]
    parts = [table(head, rows)] if rows else []
    parts += [f"{text(name)}: {text(why)}.\n" for name, why in findings.unjudged.items()]
    return "\n".join(["## Contrasts\n", *parts]) if parts else ""


def _contrast(study: Study, contrast: Contrast) -> list[str]:
    pair = contrast.pair
    return [
        f"{text(pair.name)}: {text(study.labels[pair.a])} − {text(study.labels[pair.b])}, {text(pair.task)}",
        *(marks.gap_text(contrast.differences[name]) for name in RATES[:2]),
        text(marks.p_text(contrast.p)),
        text(marks.p_text(contrast.holm)),
        html.percent(contrast.smallest_detectable),
        shown_seeds(contrast.seeds),
    ]


def _failures(study: Study) -> str:
    if not study.failures:
        return ""
    rows = [[f"{text(study.labels[variant])}, seed {seed}", text(why)] for (variant, seed), why in study.failures.items()]
    return "## Failures\n\n" + table(["Run", "Reason"], rows)

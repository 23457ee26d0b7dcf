"""The claims on top of the page: what is claimed, with which margin, for which data, and what these data say.

Enters: a `Study` and its `Findings`. Leaves: HTML.
"""

from collections.abc import Sequence

from caer.comparison.claims import Verdict
from caer.comparison.study import Claim, Findings, Study
from caer.report import html
from caer.report.comparison import marks

COMPARED = {"equal_epochs": "at equal epochs", "equal_time": "at equal training time"}


def claims_section(study: Study, findings: Findings) -> str:
    """One card a claim; empty where none is declared."""
    if not study.claims:
        return ""
    cards = [_card(study, *both) for both in zip(study.claims, findings.verdicts, strict=True)]
    words = (
        "Each claim and its margin stand in the config; when they were declared stands below. “More than” is supported where the "
        "whole 95% interval lies above the margin and contradicted where it lies below. “Adds little” is an equivalence test: "
        "two one-sided tests at 5%, that is the 90% interval within the margin on both sides. All else is undecided."
    )
    return html.section("Claims", html.paragraph(words, "fine"), f'<div class="claims">{"".join(cards)}</div>')


def _card(study: Study, claim: Claim, verdict: Verdict | str) -> str:
    word = verdict if isinstance(verdict, str) else verdict.word
    kind = "" if isinstance(verdict, str) else f" {word}"
    said = [
        html.paragraph(html.text(origin(study, claim)), "fine"),
        f"<h3>{html.text(claim.text)}</h3>",
        html.paragraph(html.text(compared(study, claim)), "fine"),
    ]
    found = marks.badge(verdict) + _finding(claim, verdict)
    return f'<div class="claim{kind}"><div>{"".join(said)}</div><div>{found}</div></div>'


def _finding(claim: Claim, verdict: Verdict | str) -> str:
    if isinstance(verdict, str):
        return html.paragraph(html.text(verdict), "fine")
    metric = claim.pair.metric
    margins = (-claim.margin, claim.margin) if claim.kind == "equivalent" else (claim.margin,)
    half = marks.reach([verdict.difference], 1.3 * max(claim.margin, 0.01))
    below = f"{100 * verdict.level:.0f}% interval; {margin(claim)}; {marks.seeds(verdict.seeds)}"
    shown = marks.gap_cell(verdict.difference, metric=metric) + marks.forest(verdict.difference, half, margins)
    return f"<div>{shown}</div>" + html.paragraph(html.text(below), "fine")


def origin(study: Study, claim: Claim) -> str:
    """Whose claim it is, the data it was made for, the data it is judged on."""
    parts = ["Declared claim" if claim.number is None else f"Claim {claim.number} of the article"]
    if claim.made_for:
        parts.append(f"made for {claim.made_for}")
    return " · ".join([*parts, f"judged here on {study.data}"])


def compared(study: Study, claim: Claim) -> str:
    """The difference that is judged, in words."""
    pair = claim.pair
    words = f"{study.labels[pair.a]} − {study.labels[pair.b]}, {marks.METRIC_NAMES[pair.metric]} of {pair.task}"
    return words + (f", {COMPARED[claim.compare]}" if claim.compare else "")


def margin(claim: Claim) -> str:
    """The margin in words: `margin: more than 1.0 points`."""
    points = html.points(claim.margin)
    return f"margin: within ±{points} points" if claim.kind == "equivalent" else f"margin: more than {points} points"


def cost_section(study: Study, findings: Findings) -> str:
    """Claims at equal epochs and at equal time with what each side really took; empty where none is of that kind."""
    rows = []
    for claim, verdict in zip(study.claims, findings.verdicts, strict=True):
        if claim.compare and isinstance(verdict, Verdict):
            sides = [spent(study, variant, verdict.seeds) for variant in (claim.pair.a, claim.pair.b)]
            cells = [f"{side[0]:g} epochs<br><small>{marks.duration(side[1])}</small>" for side in sides]
            gap = marks.gap_cell(verdict.difference, metric=claim.pair.metric)
            heading = f"{html.text(compared(study, claim))}<br>{marks.badge(verdict)}"
            rows.append([heading, *cells, html.text(fairness(claim, *sides)), gap])
    if not rows:
        return ""
    words = (
        "SAM takes two passes a step, so that equal epochs give it twice the time. Epochs and measured time of all stages, means "
        "over the common seeds. For equal time the variants declare their epochs; the measured times say how well that was met."
    )
    head = ["Claim", "a", "b", "Equal?", "a − b"]
    return html.section("Equal epochs, equal time", html.paragraph(words, "fine"), html.table(head, rows))


def spent(study: Study, variant: str, seeds: Sequence[int]) -> tuple[float, float | None]:
    """Mean epochs and mean seconds of a variant over seeds; seconds are None where they are not known."""
    runs = [study.runs[variant][seed] for seed in seeds]
    seconds = [run.training_seconds for run in runs if run.training_seconds is not None]
    return sum(run.epochs for run in runs) / len(runs), sum(seconds) / len(seconds) if len(seconds) == len(runs) else None


def fairness(claim: Claim, a: tuple[float, float | None], b: tuple[float, float | None]) -> str:
    """How equal the two sides were in what the claim holds equal; more than 10% apart is called unequal."""
    first, second = (a[0], b[0]) if claim.compare == "equal_epochs" else (a[1], b[1])
    if not first or not second:
        return "not known"
    ratio = first / second
    what = "epochs" if claim.compare == "equal_epochs" else "time"
    return f"{what} {ratio:.2f} : 1" + ("" if 0.9 <= ratio <= 1.1 else ", not equal")

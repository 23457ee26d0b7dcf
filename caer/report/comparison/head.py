"""The page's top: what is compared, how many seeds, what the claims came to, and what a reader must know first.

Enters: a `Study` and its `Findings`. Leaves: HTML.
"""

from collections import Counter

from caer.comparison.claims import ENOUGH_SEEDS, Verdict
from caer.comparison.contrasts import shown_seeds
from caer.comparison.study import Findings, Study
from caer.report import html


def header(study: Study, findings: Findings) -> str:
    """Title, lead, key figures, warnings."""
    kind = study.kind + (" · screening" if study.fewest_seeds < ENOUGH_SEEDS else "")
    return "".join(
        [
            html.paragraph(html.text(kind), "eyebrow"),
            f"<h1>{html.text(study.name)}</h1>",
            html.paragraph(_lead(study), "lead"),
            html.tiles(_tiles(study, findings)),
            *(html.paragraph(html.text(warning), "note") for warning in warnings(study)),
        ]
    )


def _lead(study: Study) -> str:
    answers = next(iter(study.answers.values()))
    rows, groups = len(answers.targets), len(set(answers.codes.tolist()))
    return (
        f"{len(study.variants)} variants judged on the same {rows:,} rows ({groups:,} groups) of split "
        f"{html.text(study.split)} of {html.text(study.data)}. Scores are percentages, differences are points. Brackets are 95% "
        f"intervals of a bootstrap over groups and seeds at once, paired by row and by seed; ± is one SD over seeds."
    )


def _tiles(study: Study, findings: Findings) -> list[tuple[str, str, str]]:
    seeds = sorted({len(study.runs[variant]) for variant in study.variants})
    words = Counter(verdict.word for verdict in findings.verdicts if isinstance(verdict, Verdict))
    tiles = [
        ("Variants", str(len(study.variants)), f"of {len(study.labels)} declared"),
        ("Seeds each", "–".join(map(str, sorted({seeds[0], seeds[-1]}))), f"{ENOUGH_SEEDS} carry a claim"),
    ]
    if study.claims:
        below = ", ".join(f"{words[word]} {word}" for word in ("contradicted", "undecided") if words[word])
        unjudged = len(study.claims) - words.total()
        below = ", ".join(filter(None, [below, f"{unjudged} not judged" if unjudged else ""])) or "none otherwise"
        tiles.append(("Claims supported", f'{words["supported"]}<span class="unit">of {len(study.claims)}</span>', below))
    if findings.contrasts:
        clear = sum(contrast.holm <= 0.05 for contrast in findings.contrasts)
        of = f'{clear}<span class="unit">of {len(findings.contrasts)}</span>'
        tiles.append(("Contrasts with p ≤ 0.05", of, "after Holm's correction"))
    return tiles


def warnings(study: Study) -> list[str]:
    """What a reader must know before any number, as plain sentences."""
    found = []
    fewest = study.fewest_seeds
    if fewest < ENOUGH_SEEDS:
        seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
        found.append(
            f"Screening: some variants have only {seeds}. The spread between seeds is as large as most effects in this field; "
            f"a claim needs at least {ENOUGH_SEEDS}."
        )
    if study.split == "val":
        found.append("These are validation rows: the best epochs were chosen on them, so all scores are optimistic.")
    numbers = {variant: tuple(sorted(study.runs[variant])) for variant in study.variants}
    if len(set(numbers.values())) > 1:
        each = "; ".join(f"{study.labels[variant]}: {shown_seeds(seeds)}" for variant, seeds in numbers.items())
        found.append(f"Not every variant has every seed ({each}). A difference takes only the seeds that both sides have.")
    if study.failures:
        failed = "A run has failed and is" if len(study.failures) == 1 else f"{len(study.failures)} runs have failed and are"
        found.append(f"{failed} in no table; the reasons are below.")
    return found

"""The page's end: what failed, and where the numbers come from.

Enters: a `Study`. Leaves: HTML.
"""

import json

from caer.comparison.study import Study
from caer.report import html


def failures_section(study: Study) -> str:
    """Runs without answers and why; empty where there are none."""
    if not study.failures:
        return ""
    rows = [
        [f"{html.text(study.labels[variant])}, seed {seed}", html.text(why)] for (variant, seed), why in study.failures.items()
    ]
    return html.section("Failures", html.table(["Run", "Reason"], rows))


def provenance_section(study: Study) -> str:
    """Commits, hashes, seeds, versions, and the whole config folded away."""
    config = "\n".join(map(html.text, json.dumps(study.config, indent=2, ensure_ascii=False).splitlines()))
    folded = f"<details><summary>The whole config</summary><pre>{config}</pre></details>" if study.config else ""
    words = "Every number of this page, seed by seed and unrounded, with its run, hashes and commit: results.csv beside it."
    return html.section(
        "Where these numbers come from", html.paragraph(words, "fine"), html.definitions(study.provenance), folded
    )

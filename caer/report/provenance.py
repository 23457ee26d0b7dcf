"""Where a page's numbers come from.

Enters: the content of `metrics.json`. Leaves: the page's last section.
"""

import json
from typing import Any

from caer.engine.provenance import machine_text
from caer.report import html


def provenance_section(metrics: dict[str, Any]) -> str:
    """Commits, hashes, seed, versions, and the whole config folded away."""
    run = metrics["run"]
    trained, judged = run["trained"], run["evaluated_by"]
    look = metrics["looks"]
    entries = [
        ("Trained at commit", trained.get("commit") or "unknown"),
        ("Judged at commit", judged["commit"] or "unknown"),
        ("Seed, stage, best epoch", f"{run['seed']}, {run['stage']}, {trained.get('best_epoch', 'unknown')}"),
        ("Monitor", _monitor(trained)),
        ("Weights (SHA-256)", run["weights_sha256"]),
        ("Manifest rows (hash)", ", ".join(str(value) for value in run["manifest_hashes"])),
        ("Judged rows (hash)", run["row_hash"]),
        ("Protocol (hash)", run["protocol_hash"]),
        ("Rows by status", ", ".join(f"{name} {count:,}" for name, count in metrics["rows"]["by_status"].items())),
        ("Answered by", ", ".join(f"{name} {count:,}" for name, count in metrics["rows"]["answered_by"].items())),
        ("Precision", trained.get("precision", "unknown")),
        ("Machine", machine_text(judged["machine"])),
        ("Versions", ", ".join(f"{name} {number}" for name, number in judged["versions"].items())),
    ]
    if look is not None:
        entries.append(("Ledger", f"{look['time']}, {look['earlier_looks']} earlier looks at {look['split']}"))
    config = "\n".join(map(html.text, json.dumps(run["config"], indent=2, ensure_ascii=False).splitlines()))
    folded = f"<details><summary>The whole config</summary><pre>{config}</pre></details>"
    words = (
        "An answer names an apparent expression, not what a person feels. Not for use in the workplace, in education or for "
        "surveillance (EU AI Act, Art. 5(1)(f))."
    )
    return html.section("Where these numbers come from", html.definitions(entries), folded, html.paragraph(words, "fine"))


def _monitor(trained: dict[str, Any]) -> str:
    monitor = trained.get("monitor") or {}
    score = trained.get("best_score")
    return str(monitor.get("metric", "unknown")) + (f" = {score:.4f} on val" if isinstance(score, float) else "")

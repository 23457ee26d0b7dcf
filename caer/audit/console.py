"""What `audit` prints: an `Audit` as plain lines."""

import os

from caer.audit.findings import Json
from caer.audit.run import Audit


def summary_lines(audit: Audit) -> list[str]:
    """Counts, findings, the verdict, and where the files lie."""
    found = audit.findings
    splits = ", ".join(f"{split or '(none)'} {facts['rows']:,}" for split, facts in found["splits"].items())
    status = ", ".join(f"{name} {n:,}" for name, n in found["status"].items())
    entries = [
        ("rows", f"{found['rows']:,} of {found['photos']:,} photos; {splits}; status: {status}"),
        *(("classes", f"{task} {line}") for task, line in _classes(found["splits"]).items()),
        ("copies", _repeats(found["copies"])),
        ("near duplicates", f"copies among them: {_repeats(found['near_duplicates'])}"),
        ("groups", _straddling(f"{found['groups']['groups']:,}", found["groups"])),
        ("two labels", _contradictions(found["contradictions"])),
        ("boxes", _boxes(found["boxes"])),
    ]
    if found["repeated_samples"]:
        entries.append(("samples", f"{found['repeated_samples']:,} stand more than once"))
    entries += [
        ("suspects", f"{task}: {n['suspected']:,} of {n['labels']:,} labels") for task, n in found.get("suspects", {}).items()
    ]
    if "resplit" in found:
        entries.append(("resplit", _resplit(found["resplit"])))
    lines = [f"{name:<15} {line}" for name, line in entries]
    return [*lines, _verdict(found), "written: " + ", ".join(os.path.relpath(file) for file in audit.files)]


def _classes(splits: Json) -> dict[str, str]:
    """By task the classes' counts in each split, those with names only."""
    shown: dict[str, list[str]] = {}
    for split, facts in splits.items():
        for task, counts in facts["labels"].items():
            if "numbers" not in counts:
                listed = " ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"
                shown.setdefault(task, []).append(f"{split or '(none)'}: {listed}")
    return {task: "; ".join(parts) for task, parts in shown.items()}


def _repeats(found: Json) -> str:
    if not found["repeats"]:
        return "none"
    return _straddling(f"{found['repeats']:,} photos repeat another, in {found['clusters']:,} clusters", found)


def _straddling(said: str, found: Json) -> str:
    if not found["straddling"]:
        return f"{said}; none straddles splits"
    between = ", ".join(f"{pair} {n:,}" for pair, n in found["between"].items())
    return f"{said}; {found['straddling']:,} straddle splits ({between})"


def _contradictions(found: Json) -> str:
    said = [
        f"{task}: {n['copies']:,} clusters of copies, {n['near_duplicates']:,} of near duplicates"
        for task, n in found.items()
        if n["near_duplicates"]
    ]
    return "; ".join(said) or "none"


def _boxes(found: Json) -> str:
    return f"{found['boxes']:,}; {found['outside']:,} leave their photo, {found['empty']:,} have no area"


def _resplit(facts: Json) -> str:
    rows = ", ".join(f"{split} {before:,} -> {after:,}" for split, (before, after) in facts["rows"].items())
    return (
        f"{facts['moved']:,} rows moved; {rows}; largest change of a class share {100 * facts['largest_share_change']:.2f} points"
    )


def _verdict(found: Json) -> str:
    if not found["leaks"]:
        return "clean: no cluster and no group straddles splits"
    remedy = "train on the new manifest" if "resplit" in found else "--resplit writes a manifest whose splits tear none"
    return f"LEAK: {found['leaks']:,} clusters or groups (counted once where they overlap) straddle splits; {remedy}"

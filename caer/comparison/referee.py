"""The referee: anybody's prediction files, judged on the same rows by a protocol.

Enters: named files (one a seed) and a `Protocol`. Leaves: a `Study` with every pair of them as a contrast.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from caer.comparison.answers import Answers
from caer.comparison.contrasts import Pair
from caer.comparison.files import read_answers
from caer.comparison.protocol import Protocol, codes
from caer.comparison.study import Findings, Run, Study
from caer.engine.provenance import code_and_machine
from caer.report import html
from caer.report.comparison import marks
from preprocessing.errors import UserError
from preprocessing.files import sha256_file

Entries = Mapping[str, Sequence[Path]]
"""By name the files of its seeds."""


def parse_entries(given: Sequence[str]) -> dict[str, list[Path]]:
    """`NAME=a.csv,b.csv` or a plain path, whose name is then that of the file.

    Raises:
        UserError: fewer than two entries, a name that stands twice, an entry without a file.
    """
    entries: dict[str, list[Path]] = {}
    for text in given:
        name, equals, files = text.partition("=")
        paths = [Path(part) for part in (files if equals else text).split(",") if part]
        if not paths or not name:
            raise UserError(f"{text!r}: expected a file, or NAME=FILE,FILE,... with one file a seed")
        name = name if equals else paths[0].stem
        if name in entries:
            raise UserError(f"the name {name!r} stands twice; name the files apart: {name}_2={paths[0]}")
        entries[name] = paths
    if len(entries) < 2:
        raise UserError(f"{len(entries)} prediction file given; expected at least two to compare")
    return entries


def referee(entries: Entries, protocol: Protocol, split: str, task: str | None = None) -> Study:
    """Check and align all files.

    Args:
        entries: by name the files of its seeds; files in the same place count as the same seed.
        protocol: what they are judged by.
        split: the judged split.
        task: one of the protocol's; needed where it has several.

    Raises:
        UserError: what is wrong with a file, in one line.
    """
    task = task or _only_task(protocol)
    rows = protocol.split(split, task)
    classes = protocol.tasks[task]
    found = {
        name: {seed: read_answers(path, rows, protocol.rows, task, classes) for seed, path in enumerate(paths, 1)}
        for name, paths in entries.items()
    }
    answers = Answers(
        task=task,
        classes=list(classes),
        targets=rows[f"target_{task}"].to_numpy(),
        codes=codes(rows),
        probabilities={name: {seed: one.probabilities for seed, one in by_seed.items()} for name, by_seed in found.items()},
        unscaled=frozenset(name for name, by_seed in found.items() if any(one.unscaled for one in by_seed.values())),
    )
    hashes = {"row_hash": protocol.hash(rows, task)}
    return Study(
        name=(" against " if len(entries) == 2 else ", ").join(entries),
        kind="Comparison of prediction files",
        split=split,
        data=", ".join(sorted(set(rows["source"]))),
        labels={name: name for name in entries},
        answers={task: answers},
        runs={name: {s: Run(str(path), hashes=hashes) for s, path in enumerate(paths, 1)} for name, paths in entries.items()},
        pairs=[Pair(f"{a} against {b}", a, b, task) for a, b in itertools.combinations(entries, 2)],
        provenance=_provenance(entries, protocol, split, hashes["row_hash"]),
    )


def _only_task(protocol: Protocol) -> str:
    if len(protocol.tasks) != 1:
        raise UserError(f"{protocol.place}: has the tasks {', '.join(protocol.tasks)}; name one with --task")
    return next(iter(protocol.tasks))


def _provenance(entries: Entries, protocol: Protocol, split: str, row_hash: str) -> list[tuple[str, str]]:
    facts = code_and_machine()
    files = [(f"{name}, {path.name} (SHA-256)", sha256_file(path)) for name, paths in entries.items() for path in paths]
    return [
        ("Protocol", f"{protocol.place}, split {split}"),
        ("Judged rows (hash)", row_hash),
        *files,
        ("Judged at commit", facts["commit"] or "unknown"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in facts["versions"].items())),
    ]


def summary_lines(study: Study, findings: Findings) -> list[str]:
    """What `compare` prints."""
    lines = []
    for task, scores in findings.scores.items():
        for name, found in scores.items():
            accuracy, f1 = (marks.mean_text(found.mean[key], found.sd[key]) for key in ("accuracy", "macro_f1"))
            files = f" over {len(found.by_seed)} files" if len(found.by_seed) > 1 else ""
            lines.append(f"{study.labels[name]}: {task} accuracy {accuracy}, macro-F1 {f1}{files}")
    for contrast in findings.contrasts:
        gap, p = marks.gap_text(contrast.differences["accuracy"]), marks.p_text(contrast.p)
        lines.append(
            f"{contrast.pair.name}: accuracy {gap} points, p {p}, with Holm {marks.p_text(contrast.holm)}; "
            f"smallest detectable difference {html.percent(contrast.smallest_detectable)}"
        )
    return lines

"""What `diagnose` prints.

Enters: a `Diagnosis`. Leaves: plain lines.
"""

import os
from typing import Any

from caer.diagnosis.diagnose import Diagnosis
from caer.diagnosis.words import CHANGES
from caer.evaluation.console import shown

Json = dict[str, Any]


def summary_lines(diagnosis: Diagnosis) -> list[str]:
    """What each change costs, how good the gate is, where attention lies, and where the page is."""
    facts = diagnosis.facts
    run, rows = facts["run"], facts["rows"]
    lines = [
        f"{run['name']} seed {run['seed']} stage {run['stage']} ({run['output']}), split {facts['split']}: {rows['n']} of "
        f"{rows['usable']} rows with a face and a photo"
    ]
    for name, task in facts["tasks"].items():
        lines += [f"{name}: {line}" for line in _task_lines(task)]
    if facts["attention"] is not None:
        mask = facts["attention"]["mask"]
        lines.append(
            f"attention on the mask: {_times(mask['ratio'])} of an even spread ({shown(mask['attention'])}% on "
            f"{shown(mask['area'])}% of the area)"
        )
    if facts["retrained"] is not None:
        lines += _retrained_lines(facts["retrained"])
    if facts["looks"] is not None:
        lines.append(f"looks at {facts['split']} so far: {facts['looks']['earlier_looks'] + 1} (ledger.jsonl)")
    return [*lines, f"report: {os.path.relpath(diagnosis.folder / 'report.html')}"]


def _task_lines(task: Json) -> list[str]:
    lines = [f"accuracy {shown(task['accuracy']['fused'])}"]
    lines += [f"{CHANGES[name]} costs {shown(entry['cost'])} points" for name, entry in task["reliance"].items()]
    if (gate := task["gate"]) is not None:
        known = gate["disagreements"]
        lines.append(
            f"gate: AUC {_times(known['auc'])} on {known['n']} disagreements of the branches, regret to an oracle "
            f"{shown(gate['regret'])} points"
        )
        if gate["controls"] is not None:
            difference = gate["controls"]["permuted"]["difference"]
            lines.append(f"gate: its own gates against those of other samples {shown(difference, signed=True)} points")
    return lines


def _retrained_lines(retrained: Json) -> list[str]:
    return [
        f"{task}: context branch with {name}: accuracy {shown(entry['accuracy'])}, over the most frequent class "
        f"{shown(entry['over_majority'], signed=True)}"
        for task, variants in retrained["tasks"].items()
        for name, entry in variants.items()
    ]


def _times(estimate: Json) -> str:
    """`0.80 [0.71, 0.88]`."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{value:.2f}" + ("" if low is None else f" [{low:.2f}, {high:.2f}]")

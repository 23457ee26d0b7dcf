"""Diagnose a run: does it use the context, is its gate any good, and where does it look?

Enters: RUN and a split. Leaves: `RUN/diagnose/{diagnose.json, report.html, *.png}`, of another split than val one folder deeper,
and then a line in the run's ledger, written before any number is. The page shows photos of the data set and stays with the run.

`diagnose.json` (schema_version 1): `run` (provenance), `split`, `rows` (`n` diagnosed of `usable`; with a face and a photo),
`looks`, `attention` (`caer.diagnosis.attention`), `retrained` (`caer.diagnosis.retrain`), `tasks` {T: `n`, `accuracy`, `reliance`
(`caer.diagnosis.reliance`), `sweeps` (`caer.diagnosis.sweeps`), `gate` (`caer.evaluation.gate_quality`)}; null where a run has no
such part.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from caer.data.rows import Rows, protocol_hash, row_hash
from caer.diagnosis.attention import attention_by_region
from caer.diagnosis.interventions import SCENE
from caer.diagnosis.probe import Answers, Features, Probe
from caer.diagnosis.reliance import Truth, blanked, reliance
from caer.diagnosis.retrain import Retraining, retrain, variants
from caer.diagnosis.sweeps import context_sweep, face_sweeps, step
from caer.engine.checkpoint import LoadedRun, load_run
from caer.engine.provenance import code_and_machine, commit
from caer.evaluation import statistics
from caer.evaluation.evaluate import TRAINED_ON
from caer.evaluation.gate_quality import GateRows, judge_gate
from caer.evaluation.ledger import record_look
from caer.evaluation.predictions import ONE_OF, answered_by, group_names
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, sole_writer, write_json

Json = dict[str, Any]

SCHEMA_VERSION = 1
ROWS = 2000


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosed run: its folder and the content of `diagnose.json`."""

    folder: Path
    facts: Json


def diagnose_run(run: str | Path, split: str = "val", most: int = ROWS, retraining: Retraining | None = None) -> Diagnosis:
    """Diagnose a run on a split.

    Args:
        run: as `caer.evaluation.evaluate.evaluate_run` takes it.
        split: `val`, `test`, or another split of the data.
        most: at most so many rows, chosen by the hash that their id is; 0 for all.
        retraining: also train the context branch again with these masks.

    Raises:
        UserError: for a run or split that is not there, a run without a task of classes, and what cannot be trained again.
    """
    if split == TRAINED_ON:
        raise UserError(f"--split {TRAINED_ON}: a run is not diagnosed on the rows it was trained on; give val or test")
    loaded = load_run(run)
    if retraining is not None:
        variants(loaded, retraining)
    rows = Rows(loaded.config, loaded.tasks)
    usable = usable_rows(rows, split, loaded.output)
    truths = truths_of(loaded, chosen := choose(usable, most))
    home = loaded.folder if Path(run).resolve() == loaded.folder.resolve() else loaded.folder.parent
    folder = home / "diagnose" / ("" if split == "val" else split)
    with sole_writer(folder):
        probe = Probe(loaded, chosen)
        intact, attention = probe.encode(probe.samples(probe.inputs), probe.inputs, "intact")
        facts = _provenance(loaded, rows, chosen, len(usable), split)
        facts["tasks"] = diagnose_tasks(probe, intact, truths)
        facts["attention"] = _attention(probe, attention)
        facts["looks"] = _look(facts, loaded)
        facts["retrained"] = None if retraining is None else retrain(loaded, split, retraining)
        write_json(folder / "diagnose.json", facts)
        from caer.diagnosis.page import write_page

        write_page(folder, facts, probe, truths)
    return Diagnosis(folder, facts)


def usable_rows(rows: Rows, split: str, output: str) -> pd.DataFrame:
    """Rows of a split that the run answers with all it has: there is a face, a photo, and no objection of a reviewer.

    Raises:
        UserError: no such row.
    """
    table = rows.split(split)
    use = (answered_by(table, output) == "model") & table["has_face"].to_numpy(bool) & table["image_file"].ne("").to_numpy(bool)
    if not use.any():
        raise UserError(f"split {split!r}: none of its {len(table)} labelled rows has a face and a photo; preprocess with both")
    return table[use].reset_index(drop=True)


def choose(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows (0: all), those with the lowest ids, in the order they stand in."""
    if not most or len(rows) <= most:
        return rows
    return rows.loc[sorted(rows["sample_id"].sort_values().index[:most])].reset_index(drop=True)


def truths_of(loaded: LoadedRun, rows: pd.DataFrame) -> dict[str, Truth]:
    """What each task's answers are compared with.

    Raises:
        UserError: no task of classes is labelled, or all rows belong to one group.
    """
    codes = np.unique(group_names(rows), return_inverse=True)[1]
    if codes.max() == 0:
        raise UserError(
            "all rows to diagnose belong to one group, so none can give its scene to another; take more rows or groups"
        )
    truths = {}
    for name, task in loaded.tasks.items():
        if task.kind in ONE_OF:
            targets = rows[f"target_{name}"].to_numpy(np.int64)
            truths[name] = Truth(targets, codes, targets >= 0)
    truths = {name: truth for name, truth in truths.items() if truth.known.any()}
    if not truths:
        kinds = ", ".join(f"{name} ({task.config.type})" for name, task in loaded.tasks.items())
        raise UserError(f"nothing to diagnose: expected a task of type classification or ordinal with labels; there are {kinds}")
    return truths


def diagnose_tasks(probe: Probe, intact: Features, truths: dict[str, Truth]) -> dict[str, Json]:
    """Reliance, sweeps and gate of each task; pictures that all tasks share are encoded once."""
    before, blank = probe.answer(intact), blanked(probe, intact)
    faces = face_sweeps(probe, intact, before)
    found: dict[str, Json] = {}
    for name, truth in truths.items():
        taken = {change: answers[name] for change, answers in blank.items()}
        sweeps = {kind: [step(s, answers[name], truth, truth.known) for s, answers in steps] for kind, steps in faces.items()}
        if probe.inputs & set(SCENE):
            sweeps["misleading_context"] = context_sweep(probe, intact, before[name], truth, name)
        found[name] = {
            "n": int(truth.known.sum()),
            "accuracy": _accuracy(before[name], truth),
            "reliance": reliance(probe, intact, before[name], taken, truth, name),
            "sweeps": sweeps,
            "gate": _gate(before[name], truth),
        }
    return found


def _accuracy(answers: Answers, truth: Truth) -> Json:
    named = {"fused": answers.fused, **answers.branches}
    return {
        name: statistics.share(truth.right(values)[truth.known], truth.codes[truth.known]).to_json()
        for name, values in named.items()
    }


def _gate(answers: Answers, truth: Truth) -> Json | None:
    """None without gates, or without branches that answer for themselves."""
    if answers.gates is None or answers.summed is None:
        return None
    rows = GateRows(
        truth.targets[truth.known],
        answers.fused[truth.known],
        answers.branches["face"][truth.known],
        answers.branches["context"][truth.known],
        answers.gates[truth.known],
        truth.codes[truth.known],
        (answers.logits["face"][truth.known], answers.logits["context"][truth.known]),
    )
    return judge_gate(rows)


def _attention(probe: Probe, attention: Tensor | None) -> Json | None:
    if attention is None:
        return None
    codes = np.unique(group_names(probe.rows), return_inverse=True)[1]
    return attention_by_region(attention.numpy(), probe.rows, probe.loaded.config, codes)


def _provenance(loaded: LoadedRun, rows: Rows, chosen: pd.DataFrame, usable: int, split: str) -> Json:
    return {
        "schema_version": SCHEMA_VERSION,
        "split": split,
        "run": {
            "name": loaded.config.name,
            "seed": loaded.config.seed,
            "stage": loaded.stage,
            "output": loaded.output,
            "row_hash": row_hash(chosen, loaded.tasks),
            "protocol_hash": protocol_hash(rows),
            "weights_sha256": sha256_file(loaded.folder / "best.safetensors"),
            "manifest_hashes": [manifest.meta.get("row_hash") for manifest in rows.manifests],
            "evaluated_by": code_and_machine(),
            "trained": loaded.meta,
            "config": loaded.config.model_dump(mode="json"),
        },
        "rows": {"n": len(chosen), "usable": usable, "by_status": {"ok": len(chosen)}, "answered_by": {"model": len(chosen)}},
    }


def _look(facts: Json, loaded: LoadedRun) -> Json | None:
    """The ledger's line of this look; None on val."""
    if facts["split"] == "val":
        return None
    scores = {f"{name}/accuracy": task["accuracy"]["fused"]["value"] for name, task in facts["tasks"].items()}
    known = {key: facts["run"][key] for key in ("stage", "row_hash", "weights_sha256")}
    return record_look(
        loaded.folder.parent, {"split": facts["split"], "by": "diagnose", "commit": commit(), "scores": scores, **known}
    )

"""What is known only of drawn demo scenes: the accuracies of the best rules, and whether the gate notices unreliable faces.

Enters: the judged rows, and `truth.parquet` beside their manifest or in its dataset's root. Leaves: entries for `metrics.json`.
Everything else works without this file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caer.data.rows import Rows
from caer.evaluation import statistics
from caer.evaluation.predictions import TaskRows
from caer.evaluation.summary import gate_share
from gating.gate_stats import context_share
from preprocessing.demo.ceilings import ceilings, realised

TRUTH = "truth.parquet"


def read_truth(rows: Rows) -> pd.DataFrame | None:
    """What was drawn, one row a photo, indexed by the photo's path; None where the data are not drawn."""
    tables = []
    for manifest in rows.manifests:
        folders = [manifest.folder, Path(str(manifest.meta.get("root") or manifest.folder))]
        found = next((folder / TRUTH for folder in folders if (folder / TRUTH).is_file()), None)
        if found is None:
            return None
        tables.append(pd.read_parquet(found))
    return pd.concat(tables).drop_duplicates("path").set_index("path")


def demo_facts(task: TaskRows, name: str, truth: pd.DataFrame) -> dict[str, Any]:
    """`ceilings` (accuracy of the best rule by what it sees: expected, and as these labels fell) and `gate_reliability`."""
    drawn = truth.reindex(task.rows["image"])
    if drawn["preset"].isna().any():
        return {}
    facts: dict[str, Any] = {}
    if name in ("emotion", "age"):
        seen = drawn.assign(has_face=task.detected)
        facts["ceilings"] = {"n": len(seen), "expected": ceilings(seen, name), "on_these_labels": realised(seen, name)}
    reliability = gate_reliability(task, drawn["reliable"].to_numpy(bool))
    return facts if reliability is None else facts | {"gate_reliability": reliability}


def gate_reliability(task: TaskRows, reliable: np.ndarray) -> dict[str, Any] | None:
    """Mean g_c / (g_f + g_c) on detected faces that are reliable [N] bool and that are not, and their difference.

    None without gates, or where one kind does not occur.
    """
    if task.gates is None:
        return None
    rows = task.detected & ~np.isnan(context_share(task.gates))
    if len(set(reliable[rows].tolist())) < 2:
        return None
    shares, unreliable = context_share(task.gates[rows]), ~reliable[rows]
    return {
        "n_reliable": int((~unreliable).sum()),
        "n_unreliable": int(unreliable.sum()),
        "reliable": gate_share(task, rows & reliable).to_json(),
        "unreliable": gate_share(task, rows & ~reliable).to_json(),
        "difference": statistics.contrast(shares, unreliable, task.codes[rows]).to_json(),
    }

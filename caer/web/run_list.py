"""The trained runs below a folder, as the page lists and compares them.

Enters: the folder. Leaves: one entry a stage, the numbers of its epochs, the scores of its evaluations. An entry whose files are
broken says what is wrong with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from caer.engine.checkpoint import read_provenance
from caer.report.html import Estimate
from preprocessing.errors import UserError
from preprocessing.files import read_json, stamp

_DEPTHS = ("seed*/stage*", "*/seed*/stage*", "*/*/seed*/stage*")
"""A run below `runs/NAME`, a variant below `runs/ABLATION/VARIANT`; `--runs` may name a run's own folder."""

_ANSWERING = ("best.safetensors", "config.yaml", "provenance.json")
_CALIBRATION = "eval/val/predictions.parquet"
"""The files that decide what a stage answers: weights, model, how faces are found; and how its confidence is calibrated."""

Stamps = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class StageEntry:
    """One stage of a run.

    Attributes:
        name: `NAME/seedS/stageN`, relative to the folder of runs.
        folder: the stage's.
        facts: `provenance.json`; empty where it cannot be read.
        problem: why it cannot be used; empty where it can.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether the stage can answer photos."""
        return bool(self.facts.get("finished"))

    @property
    def stamps(self) -> Stamps:
        """Other ones as soon as the stage may answer otherwise: it was trained again, or evaluated."""
        return *(stamp(self.folder / name) for name in (*_ANSWERING, _CALIBRATION)), stamp(self.seed_folder / _CALIBRATION)

    @property
    def seed_folder(self) -> Path:
        """The run's folder, `runs/NAME/seedS`."""
        return self.folder.parent


def find_stages(runs: Path) -> list[StageEntry]:
    """Every stage below a folder, by name."""
    folders = {path for depth in _DEPTHS for path in runs.glob(depth) if path.is_dir()}
    return [_entry(runs, folder) for folder in sorted(folders)]


def _entry(runs: Path, folder: Path) -> StageEntry:
    name = folder.relative_to(runs).as_posix()
    try:
        facts = read_provenance(folder)
    except UserError as error:
        missing = not (folder / "provenance.json").exists()
        return StageEntry(name, folder, {}, "not finished" if missing else str(error))
    return StageEntry(name, folder, facts, "" if facts.get("finished") else "not finished")


def summary(stages: list[StageEntry]) -> pd.DataFrame:
    """One row a stage: name, monitored score, epochs, rows, seconds, commit, what is wrong."""
    rows = [
        {
            "run": stage.name,
            "output": stage.facts.get("output", ""),
            "monitor": (stage.facts.get("monitor") or {}).get("metric", ""),
            "best": stage.facts.get("best_score"),
            "epoch": stage.facts.get("best_epoch"),
            "epochs": stage.facts.get("epochs"),
            "train rows": (stage.facts.get("rows") or {}).get("train"),
            "seconds": stage.facts.get("seconds"),
            "commit": str(stage.facts.get("commit") or "")[:8],
            "state": stage.problem or "finished",
        }
        for stage in stages
    ]
    return pd.DataFrame(rows)


def curves(stage: StageEntry) -> pd.DataFrame:
    """`metrics.csv` of a stage, one row an epoch; empty where it cannot be read."""
    try:
        table = pd.read_csv(stage.folder / "metrics.csv")
    except (OSError, ValueError):
        return pd.DataFrame({"epoch": []})
    return table if "epoch" in table else pd.DataFrame({"epoch": []})


def compared(stages: list[StageEntry], metric: str) -> pd.DataFrame:
    """A metric by epoch, one column a stage; stages without it have none."""
    columns = {}
    for stage in stages:
        table = curves(stage)
        if metric in table:
            columns[stage.name] = table.set_index("epoch")[metric]
    return pd.DataFrame(columns)


def evaluations(stage: StageEntry) -> dict[str, dict[str, Estimate]]:
    """By split, each task's scores with their intervals, of the evaluations that lie beside a stage."""
    found: dict[str, dict[str, Estimate]] = {}
    for folder in (stage.seed_folder / "eval", stage.folder / "eval"):
        for path in sorted(folder.glob("*/metrics.json")):
            try:
                scores = _scores(read_json(path, "an evaluation"))
            except (UserError, AttributeError, TypeError, KeyError):
                continue
            found[path.parent.name] = scores
    return found


def _scores(content: dict[str, Any]) -> dict[str, Estimate]:
    return {
        f"{task}/{metric}": estimate
        for task, entry in content["tasks"].items()
        for metric, estimate in entry["rows"]["all"].items()
        if isinstance(estimate, dict) and "value" in estimate
    }

"""What the run of a network tells of its training and judging.

Enters: a loaded run, the last stage of its config, and the content of its `metrics.json`. Leaves: a `Network`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caer.engine.checkpoint import LoadedRun, read_provenance
from caer.engine.history import read_csv


@dataclass(frozen=True)
class Network:
    """One of the compared networks. None stands for what its run's record does not say.

    Attributes:
        name: its run's.
        tasks: what it answers.
        monitor: the score that chose its best epoch.
        epochs, best_epoch: how many were trained, in all stages, and the one whose weights are judged.
        updates: optimizer steps of all epochs.
        seconds: training: all epochs with their validation, and the features that were computed once.
        caching_seconds: of these features.
        commits, machines: by stage, of the process that trained it (the last one where it was resumed).
        judged_by: commit of the process that judged it.
        row_hash, protocol_hash, weights_sha256, manifest_hashes: as in `metrics.json`.
    """

    name: str
    tasks: list[str]
    monitor: str
    epochs: int
    best_epoch: int
    updates: int | None
    seconds: float | None
    caching_seconds: float | None
    commits: list[str | None]
    machines: list[dict[str, Any] | None]
    judged_by: str | None
    row_hash: str
    protocol_hash: str
    weights_sha256: str
    manifest_hashes: list[str | None]


def network_facts(run: LoadedRun, judged: Mapping[str, Any]) -> Network:
    """The facts of a finished run; `judged` is `run` in its `metrics.json`."""
    folders = [run.folder.parent / f"stage{number}" for number in sorted(run.config.stages)]
    stages = [read_provenance(folder) for folder in folders]
    histories = [read_csv(folder / "metrics.csv") for folder in folders]
    caching = [_caching(run, facts) for facts in stages]
    cached = None if None in caching else sum(filter(None, caching))
    return Network(
        name=run.config.name,
        tasks=list(run.tasks),
        monitor=run.config.monitor.metric,
        epochs=sum(facts["epochs"] for facts in stages),
        best_epoch=sum(facts["epochs"] for facts in stages[:-1]) + run.meta["best_epoch"],
        updates=sum(int(history[-1]["global_step"]) for history in histories) if all(histories) else None,
        seconds=None if cached is None else round(sum(facts["seconds"] for facts in stages) + cached, 3),
        caching_seconds=cached,
        commits=[facts.get("commit") for facts in stages],
        machines=[facts.get("machine") for facts in stages],
        judged_by=judged["evaluated_by"]["commit"],
        row_hash=judged["row_hash"],
        protocol_hash=judged["protocol_hash"],
        weights_sha256=judged["weights_sha256"],
        manifest_hashes=judged["manifest_hashes"],
    )


def _caching(run: LoadedRun, facts: Mapping[str, Any]) -> float | None:
    """Seconds of a stage's features. Runs from before this was recorded have no such time; without features there was none."""
    seconds: float | None = facts.get("caching_seconds", None if run.config.stage(facts["stage"]).cache_features else 0.0)
    return seconds

"""What the run of a network tells of its training and judging.

Enters: a loaded run and the content of its `metrics.json`. Leaves: a `Network`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caer.engine.checkpoint import LoadedRun
from caer.engine.history import read_csv


@dataclass(frozen=True)
class Network:
    """One of the compared networks. None stands for what its run's record does not say.

    Attributes:
        name: its run's.
        tasks: what it answers.
        monitor: the score that chose its best epoch.
        epochs, best_epoch: how many were trained, and the one whose weights are judged.
        updates: optimizer steps of all epochs.
        seconds: training: all epochs with their validation, and the features that were computed once.
        caching_seconds: of these features.
        commit, machine: of the process that trained it (the last one where it was resumed).
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
    commit: str | None
    machine: dict[str, Any] | None
    judged_by: str | None
    row_hash: str
    protocol_hash: str
    weights_sha256: str
    manifest_hashes: list[str | None]


def network_facts(run: LoadedRun, judged: Mapping[str, Any]) -> Network:
    """The facts of a finished run; `judged` is `run` in its `metrics.json`."""
    meta, history = run.meta, read_csv(run.folder / "metrics.csv")
    # Runs from before this was recorded have no such time; without cached features there was none.
    caching = meta.get("caching_seconds", None if run.config.stage(run.stage).cache_features else 0.0)
    return Network(
        name=run.config.name,
        tasks=list(run.tasks),
        monitor=run.config.monitor.metric,
        epochs=meta["epochs"],
        best_epoch=meta["best_epoch"],
        updates=int(history[-1]["global_step"]) if history else None,
        seconds=None if caching is None else round(meta["seconds"] + caching, 3),
        caching_seconds=caching,
        commit=meta.get("commit"),
        machine=meta.get("machine"),
        judged_by=judged["evaluated_by"]["commit"],
        row_hash=judged["row_hash"],
        protocol_hash=judged["protocol_hash"],
        weights_sha256=judged["weights_sha256"],
        manifest_hashes=judged["manifest_hashes"],
    )

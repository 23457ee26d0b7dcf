"""A `Comparison` of one network with n as a Markdown page, JSON and lines on the screen."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from caer.comparison.network_facts import Network
from caer.comparison.networks import Comparison, TaskResult
from caer.config import Config
from caer.engine.provenance import code_and_machine, machine_text
from caer.evaluation.console import shown
from caer.evaluation.number_summary import in_unit
from preprocessing.files import write_atomic, write_json

NAMES = {"accuracy": "accuracy", "distance": "distance", "exact": "right in every tag"}
HASHES = ("row_hash", "protocol_hash", "manifest_hashes")
UNKNOWN = "unknown"


def write_comparison(comparison: Comparison, config: Config, folder: Path) -> Path:
    """Write `compare_tasks.md` and `compare_tasks.json`; returns the page's path.

    `commit`, `versions` and `machine` in the JSON are those of this process, which timed the inference; each network has its own.
    """
    facts, one = code_and_machine(), comparison.networks[0]
    hashes = {name: getattr(one, name) for name in HASHES}
    write_json(folder / "compare_tasks.json", to_json(comparison) | {"name": config.name, "seed": config.seed, **hashes, **facts})
    lines = [
        f"# {config.name}: one network for {len(comparison.tasks)} tasks, or one for each",
        "",
        *table(comparison),
        "",
        *[line for note in notes(comparison) for line in (note, "")],
        _how(comparison, config),
        "",
        *_networks(comparison.networks),
        "",
        f"The one network's rows {one.row_hash[:12]}, protocol {one.protocol_hash[:12]}, manifests "
        f"{', '.join(str(value)[:12] for value in one.manifest_hashes)}; each network's stand in the JSON in full.",
        "",
        f"Inference timed at commit {facts['commit'] or UNKNOWN}; {machine_text(facts['machine'])}.",
        "",
    ]
    path = folder / "compare_tasks.md"
    write_atomic(path, "\n".join(lines))
    return path


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values, with the ratios of times."""
    others = training_apart(comparison)
    one, several = comparison.inference
    return {
        "schema_version": 1,
        **asdict(comparison),
        "training_ratio": others / comparison.training if comparison.training and others is not None else None,
        "inference_ratio": several / one,
    }


def training_apart(comparison: Comparison) -> float | None:
    """Seconds that the networks for one task each took together; None where that of one is unknown."""
    known = [task.seconds for task in comparison.tasks if task.seconds is not None]
    return sum(known) if len(known) == len(comparison.tasks) else None


def table(comparison: Comparison) -> list[str]:
    """The Markdown table: a line a task, then training and inference."""
    lines = ["| | rows | one network | one for each task | difference |", "| --- | --- | --- | --- | --- |"]
    lines += [_task_line(task) for task in comparison.tasks]
    others = training_apart(comparison)
    lines.append(
        f"| training, s | | {_seconds(comparison.training)} | {_seconds(others)} | {_times(others, comparison.training)} |"
    )
    one, several = comparison.inference
    lines.append(f"| inference, ms a face | | {one:.2f} | {several:.2f} | {_times(several, one)} |")
    return lines


def notes(comparison: Comparison) -> list[str]:
    """What a reader of the table has to know: tasks that are left out, and times that do not compare."""
    found = [f"Left out: {name} ({reason})." for name, reason in comparison.left_out.items()]
    commits = dict.fromkeys(commit for network in comparison.networks for commit in _commits(network))
    machines = dict.fromkeys(machine for network in comparison.networks for machine in _machines(network))
    if len(machines) > 1:
        found.append(f"Training times do not compare: the networks were trained on different machines ({'; '.join(machines)}).")
    if len(commits) > 1:
        found.append(f"The networks were trained at different commits: {', '.join(commits)}.")
    if comparison.training is None or training_apart(comparison) is None:
        found.append("A training time is unknown where a run's record does not say how long its cached features took.")
    return found


def _how(comparison: Comparison, config: Config) -> str:
    optimistic = (
        " (each network's best epoch was chosen on it, so all scores are optimistic)" if comparison.split == "val" else ""
    )
    return " ".join(
        [
            f"Split {comparison.split}{optimistic}, seed {config.seed}. Every network has the same settings but its own monitor.",
            f"Each of the {len(comparison.tasks)} sees the rows that are labelled for its task: an epoch may be fewer updates.",
            *_schedule(config),
            "Brackets are 95% intervals (groups, else photos, resampled as a whole; differences are paired). One seed: how a "
            "retrained network would differ is not in them. Training is all epochs with their validation, and features that were "
            "computed once; starting up is not in it.",
        ]
    )


def _schedule(config: Config) -> list[str]:
    """What the same settings mean for networks of other rows and another monitor."""
    stages = config.stages.values()
    types = {stage.schedule.type for stage in stages}
    own = {"early stopping": any(stage.early_stopping for stage in stages), "falls of the rate (plateau)": "plateau" in types}
    updates = {"warm-up": any(stage.schedule.warmup for stage in stages), "falls of the rate (decay)": "decay" in types}
    found = []
    if any(own.values()):
        found.append(f"By each network's own monitor, and so not in the same epoch: {_listed(own)}.")
    if any(updates.values()):
        found.append(f"Counted in updates, not in epochs: {_listed(updates)}.")
    if config.data.sampling == "balanced":
        found.append("Sources share an epoch's draws by weight, so that a network of its own sees a row more or less often.")
    return found


def _listed(used: dict[str, bool]) -> str:
    return ", ".join(name for name, is_used in used.items() if is_used)


def _networks(networks: list[Network]) -> list[str]:
    """The Markdown table of the networks' trainings."""
    return [
        "| network | best epoch by | epochs | best epoch | updates | training, s | cached features, s | at commit | on |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *[
            f"| {network.name} | {network.monitor} | {network.epochs} | {network.best_epoch} | "
            f"{UNKNOWN if network.updates is None else f'{network.updates:,}'} | {_seconds(network.seconds)} | "
            f"{_seconds(network.caching_seconds)} | {', '.join(_commits(network))} | {'; '.join(_machines(network))} |"
            for network in networks
        ],
    ]


def _machines(network: Network) -> list[str]:
    return list(dict.fromkeys(machine_text(machine) if machine else UNKNOWN for machine in network.machines))


def _commits(network: Network) -> list[str]:
    return list(dict.fromkeys(_short(commit or UNKNOWN) for commit in network.commits))


def _short(commit: str) -> str:
    return commit[:12] + ("+changes" if commit.endswith("+changes") else "")


def _task_line(task: TaskResult) -> str:
    cells = [_value(task, estimate.to_json()) for estimate in (task.together, task.alone)]
    gap = _value(task, task.difference.to_json(), signed=True)
    return f"| {task.task}: {NAMES[task.score]} | {task.rows:,} | {cells[0]} | {cells[1]} | {gap} |"


def _value(task: TaskResult, estimate: dict[str, Any], signed: bool = False) -> str:
    return in_unit(estimate, task.unit, signed) if task.score == "distance" else shown(estimate, signed)


def _seconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds:.0f}"


def _times(slower: float | None, faster: float | None) -> str:
    if slower is None or faster is None:
        return UNKNOWN
    return f"{slower / faster:.1f} times" if faster else "undefined"

"""Where a stage's numbers come from, and whether a folder's contents belong to the settings at hand."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from caer.config import Config, load_config
from caer.engine.checkpoint import read_provenance
from caer.models.pretrained import NAMED_WEIGHTS
from preprocessing.errors import UserError
from preprocessing.files import read_json

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "albumentations",
    "simplejpeg",
)


def provenance(config: Config, stage: int, data: Any, **facts: Any) -> dict[str, Any]:
    """Everything that a report cites beside a number, as plain JSON values.

    Args:
        config: the experiment.
        stage: the stage's number.
        data: the stage's `StageData`.
        facts: what else is known (precision, parameters, init, finished, ...).
    """
    return {
        "schema_version": 1,
        "name": config.name,
        "stage": stage,
        "output": config.stage(stage).output,
        "seed": config.seed,
        **code_and_machine(),
        "command": sys.argv,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "manifests": data.manifests,
        "protocol_hash": data.protocol_hash,
        "row_hash": data.row_hash,
        "train_row_hash": data.train_row_hash,
        "rows": {"train": len(data.train_rows), "val": len(data.val_rows)},
        "class_counts": data.class_counts,
        **facts,
    }


def code_and_machine() -> dict[str, Any]:
    """`commit`, `versions` and `machine` of this process."""
    versions = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    return {"commit": commit(), "versions": versions, "machine": machine()}


@cache
def commit() -> str | None:
    """Git commit of this checkout, with `+changes` where tracked files differ from it; None outside of git.

    Asked for once a process: a training of hours runs the code that it loaded, whatever is committed meanwhile.
    """
    root = Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if dirty else "")


def machine() -> dict[str, Any]:
    """Processor, cores and GPU."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.platform(), "processor": model, "cores": os.cpu_count(), "gpu": gpu}


def machine_text(facts: Mapping[str, Any]) -> str:
    """What `machine` found, as reports write it: processor, cores, and the GPU where there is one."""
    return f"{facts['processor']}, {facts['cores']} cores" + (f", {facts['gpu']}" if facts["gpu"] else "")


def relevant(config: Config, stage: int) -> dict[str, Any]:
    """The settings that a stage's result depends on, flat: `data.batch_size` and so on."""
    settings = config.model_dump(mode="json", include={"seed", "data", "tasks", "model", "monitor", "precision"})
    for speed_only in ("workers", "in_memory"):
        settings["data"].pop(speed_only)
    output = config.stage(stage).output
    if output != "fused" and config.model.type == "two_branch":
        settings["model"] = {"type": config.model.type, output: settings["model"][output]}
    settings["stages"] = {str(stage): config.stage(stage).model_dump(mode="json")}
    settings["uses_holdout"] = config.uses_holdout
    if not config.uses_holdout:
        settings["data"].pop("holdout_fraction")
    return dict(_flatten(settings))


def weight_files(config: Config, stage: int) -> dict[str, Path]:
    """By part (`face`, `context`, or `model`, the whole network) the file of `weights: PATH` that a stage begins with.

    Weights that have a name, and parts that begin with another stage's weights, have none.
    """
    settings, init = relevant(config, stage), config.stage(stage).init
    named = {part: settings.get(f"model.{part}.weights", "none") for part in ("face", "context") if part not in init}
    if named:
        named["model"] = settings.get("model.weights", "none")
    return {part: Path(weights).expanduser() for part, weights in named.items() if weights not in NAMED_WEIGHTS}


def _flatten(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in settings.items():
        flat += _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return flat


def check_same_settings(folder: Path, config: Config, stage: int) -> None:
    """Refuse to go on in a folder that other settings or other data filled.

    Raises:
        UserError: what differs, and the two ways on.
    """
    remedy = f"give the run another name (--set name=...) or delete {folder}"
    old, new = relevant(load_config(folder / "config.yaml"), stage), relevant(config, stage)
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        shown = ", ".join(f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(f"{folder} was trained with other settings: {shown}{more}; {remedy}")
    if not (folder / "provenance.json").is_file():
        return
    for source in read_provenance(folder)["manifests"]:
        sidecar = Path(source["path"]).with_suffix(".json")
        if sidecar.is_file() and read_json(sidecar, "a manifest's sidecar").get("row_hash") != source["row_hash"]:
            raise UserError(f"{folder} was trained on another version of {source['path']}; {remedy}")

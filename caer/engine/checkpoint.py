"""Checkpoints: written whole or not at all, tensors and plain Python only, read with `weights_only=True`.

`last.ckpt` and `best.ckpt` hold {schema_version, stage, epoch, precision, model, optimizer, history, global_step};
`best.safetensors` holds the model of the best epoch for everybody else.
"""

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from caer.config import Config, load_config
from caer.engine.facts import check_facts
from caer.models import build_model
from caer.tasks import Task, build_tasks
from gating.model import TwoBranchNet
from preprocessing.errors import UserError
from preprocessing.files import read_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LoadedRun:
    """A trained stage, ready to predict.

    Attributes:
        config: the resolved config it was trained with.
        model: in eval mode on the CPU; only the parts that the stage's output needs.
        tasks: by name, those that a training row was labelled for: the heads of others know nothing, and answer nothing.
        stage: its number.
        folder: the stage's folder.
        meta: `provenance.json`.
    """

    config: Config
    model: TwoBranchNet
    tasks: dict[str, Task]
    stage: int
    folder: Path
    meta: dict[str, Any]

    @property
    def output(self) -> str:
        """`face`, `context` or `fused`."""
        return self.config.stage(self.stage).output


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save({"schema_version": SCHEMA_VERSION, **content}, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); free some space and run the command again") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project.

    Raises:
        UserError: missing, damaged, or of an unknown schema version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a checkpoint") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}); delete its folder and train again"
        ) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: checkpoint schema_version {version!r} is unknown; this code reads {SCHEMA_VERSION}")
    return content


def save_weights(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a state dict as .safetensors atomically; metadata are strings."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, temporary, metadata)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be written ({error}); free some space and run the command again") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict and metadata of a .safetensors file.

    Raises:
        UserError: missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the weights of a finished stage") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}); train that stage again") from None


def stage_folder(run: str | Path) -> Path:
    """The finished stage that RUN means.

    Args:
        run: a stage's folder, `runs/NAME/seedS` (its last finished stage), or `runs/NAME` where it has one seed.

    Raises:
        UserError: nothing there, nothing finished, or several seeds.
    """
    run = Path(run)
    if not run.is_dir():
        raise UserError(f"{run}: no such run folder; expected runs/NAME/seedS or a stage folder in it")
    if re.fullmatch(r"stage\d+", run.resolve().name):
        if not finished(run):
            raise UserError(f"{run}: this stage is not finished; run train_stage.py with its config again to resume it")
        return run
    stages = sorted(run.glob("stage*"), key=_number)
    if any(finished(stage) for stage in stages):
        return [stage for stage in stages if finished(stage)][-1]
    if stages:
        raise UserError(f"{run}: no stage is finished yet; run train_stage.py with its config")
    seeds = sorted(path for path in run.glob("seed*") if path.is_dir())
    if len(seeds) == 1:
        return stage_folder(seeds[0])
    if seeds:
        raise UserError(f"{run}: has {len(seeds)} seeds; name one of {', '.join(path.name for path in seeds)}")
    raise UserError(f"{run}: holds no stages; expected runs/NAME/seedS or a stage folder in it")


def _number(stage: Path) -> int:
    digits = stage.name.removeprefix("stage")
    return int(digits) if digits.isdigit() else -1


def finished(stage: Path) -> bool:
    """Whether a stage's folder holds a completed stage."""
    return (stage / "provenance.json").is_file() and bool(read_provenance(stage).get("finished"))


def read_provenance(stage: Path) -> dict[str, Any]:
    """What a stage's folder says of its making.

    Raises:
        UserError: missing, or not what `fit_stage` wrote.
    """
    path = stage / "provenance.json"
    facts: dict[str, Any] = read_json(path, "a stage's provenance")
    check_facts(facts, path)
    return facts


def load_run(run: str | Path) -> LoadedRun:
    """Load a trained stage with the weights of its best epoch.

    Args:
        run: see `stage_folder`.

    Raises:
        UserError: no finished stage there, or files that are missing, damaged, or of an unknown version.
    """
    # Fresh EfficientNets make denormal numbers in eval mode, ten times slower; has to be set before torch starts its threads.
    torch.set_flush_denormal(True)
    folder = stage_folder(run)
    meta = read_provenance(folder)
    config = load_config(folder / "config.yaml")
    number = meta["stage"]
    state, _ = read_weights(folder / "best.safetensors")
    model = build_model(config, pretrained=False, output=config.stage(number).output)
    fill(model, state, folder / "best.safetensors")
    untrained = untrained_tasks(meta)
    trained = {name: task for name, task in build_tasks(config).items() if name not in untrained}
    return LoadedRun(config, model.eval(), trained, number, folder, meta)


def untrained_tasks(facts: Mapping[str, Any]) -> list[str]:
    """Tasks that no training row was labelled for, by a stage's provenance: in it, nor in the stages that it began with."""
    counts = facts.get("class_counts", {})
    return list(facts.get("untrained", [name for name, rows in counts.items() if not any(rows)]))


def trained_tasks(facts: Mapping[str, Any]) -> set[str]:
    """The other tasks of a stage."""
    return set(facts["class_counts"]) - set(untrained_tasks(facts))


def fill(model: TwoBranchNet, state: dict[str, Tensor], path: Path) -> None:
    """Load a whole state dict strictly.

    Raises:
        UserError: it is another model's.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: does not fit the model of the config beside it ({reason}); train that stage again") from None

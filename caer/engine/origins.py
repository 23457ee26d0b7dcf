"""What a stage's network begins with: earlier stages' parts, weight files, or the weights that its backbones come with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caer.config import Config
from caer.engine.checkpoint import finished, read_provenance, read_weights, stage_folder, trained_tasks
from caer.engine.provenance import weight_files
from caer.engine.stages import load_part
from caer.models import build_model
from gating.model import TwoBranchNet
from preprocessing.errors import UserError
from preprocessing.files import sha256_file


def earlier_parts(config: Config, stage: int, ahead: bool = False) -> dict[str, Path]:
    """By part that `init` names, the weights of the stage that it starts from.

    Args:
        config: the experiment.
        stage: the stage's number.
        ahead: pass over stages of the same run that are not finished yet.

    Raises:
        UserError: a stage is not finished.
    """
    parts: dict[str, Path] = {}
    for part, origin in sorted(config.stage(stage).init.items(), key=lambda item: item[1]):
        folder = config.run_folder / origin
        if not (origin.startswith("stage") and origin.removeprefix("stage").isdigit()):
            folder = stage_folder(origin)
        elif not finished(folder):
            if ahead:
                continue
            raise UserError(
                f"stage {stage} starts from {origin}, which is not finished in {config.run_folder}; run "
                f"train_stage.py with the same config and --stage {origin.removeprefix('stage')} first"
            )
        parts[part] = folder / "best.safetensors"
    return parts


def starting_model(config: Config, stage: int, parts: Mapping[str, Path]) -> TwoBranchNet:
    """The network of a stage with the weights that it begins with; `parts` as `earlier_parts` gives them."""
    fresh = frozenset({"face", "context"} - set(config.stage(stage).init))
    model = build_model(config, pretrained=fresh, output=config.stage(stage).output)
    for part, path in parts.items():
        load_part(model, part, read_weights(path)[0], str(path))
    return model


def trained_before(parts: Mapping[str, Path]) -> set[str]:
    """Tasks that the stages of `earlier_parts` had training rows for, or stages before them."""
    return set().union(*(trained_tasks(read_provenance(path.parent)) for path in parts.values()))


def begun_from(config: Config, stage: int, parts: Mapping[str, Path]) -> dict[str, Any]:
    """For the record: by part each file that the stage begins with, and its hash, under `init` and `weights`."""
    files = {"init": parts, "weights": weight_files(config, stage)}
    return {
        kind: {part: {"file": str(path), "sha256": sha256_file(path)} for part, path in paths.items()}
        for kind, paths in files.items()
    }

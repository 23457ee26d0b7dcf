"""Stages that variants share are trained once: which ones are the same, and how a trained one gets into another run.

A stage's recipe is a hash of everything that its weights depend on: its resolved settings (`caer.engine.provenance.relevant`: of
the model only what the stage builds), the seed, the manifests' row hashes, and the recipes of the stages it starts from. The
commit of the code is no part of it. A stage that is taken over keeps its weights, history and provenance, bit for bit, and lies
in the other run's folder like one that was trained there.

A recipe holds what the settings say. What they meant when the stage was trained, its provenance knows: which file lay at
`weights: PATH`, which number format `precision: auto` was. A stage is the same only if they mean that here and now, too.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from caer.config import Config, load_config
from caer.engine.checkpoint import finished, read_provenance
from caer.engine.precision import resolve_device, resolve_precision
from caer.engine.provenance import relevant, weight_files
from preprocessing.files import read_json, sha256_bytes, sha256_file, write_atomic, write_json

TAKEN_OVER = ("best.safetensors", "best.ckpt", "last.ckpt", "metrics.csv")


def recipe(config: Config, stage: int, row_hashes: Mapping[str, Any] | None = None) -> str:
    """The hash of all that a stage's weights depend on.

    Args:
        config: the experiment.
        stage: the stage's number.
        row_hashes: by manifest its row hash; what lies there now where not given.
    """
    if row_hashes is None:
        row_hashes = {str(source.manifest): manifest_hash(source.manifest) for source in config.data.sources}
    settings = {key: value for key, value in relevant(config, stage).items() if not key.startswith(f"stages.{stage}.init.")}
    origins = {part: _origin(config, origin, row_hashes) for part, origin in config.stage(stage).init.items()}
    content = {"settings": settings, "rows": dict(row_hashes), "init": origins}
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def _origin(config: Config, origin: str, row_hashes: Mapping[str, Any]) -> str:
    number = origin.removeprefix("stage")
    if number != origin and number.isdigit():
        return recipe(config, int(number), row_hashes)
    weights = Path(origin) / "best.safetensors"
    return sha256_file(weights) if weights.is_file() else origin


def manifest_hash(manifest: Path) -> str | None:
    """The row hash that a manifest's sidecar states; None where there is no manifest yet."""
    sidecar = (manifest / "manifest.parquet" if manifest.is_dir() else manifest).with_suffix(".json")
    return read_json(sidecar, "a manifest's sidecar").get("row_hash") if sidecar.is_file() else None


def is_same_stage(folder: Path, config: Config, stage: int) -> bool:
    """Whether a folder holds the finished stage that training `config` here and now would give."""
    if not (folder / "config.yaml").is_file() or not finished(folder):
        return False
    facts = read_provenance(folder)
    row_hashes = {source["path"]: source["row_hash"] for source in facts["manifests"]}
    if recipe(load_config(folder / "config.yaml"), stage, row_hashes) != recipe(config, stage):
        return False
    if facts["precision"] != resolve_precision(config, resolve_device(config)):
        return False
    return _begins_with(facts, config, stage)


def _begins_with(facts: Mapping[str, Any], config: Config, stage: int) -> bool:
    """Whether the stage of a provenance began with the weights that `config` names: of its run's stages, and of files."""
    own = {part: config.run_folder / origin / "best.safetensors" for part, origin in config.stage(stage).init.items()}
    if not all(facts["init"][part]["sha256"] == sha256_file(path) for part, path in own.items() if path.is_file()):
        return False
    loaded = {part: file["sha256"] for part, file in facts.get("weights", {}).items()}
    return loaded == {part: _hash(path) for part, path in weight_files(config, stage).items()}


def _hash(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def take_over(folder: Path, config: Config, stage: int) -> Path:
    """Put the finished stage of another run into this run's folder: the same files, this run's settings beside them.

    A kill at any moment leaves either nothing or the whole stage.
    """
    target = config.run_folder / f"stage{stage}"
    arriving = config.run_folder / f".stage{stage}.arriving"
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    for name in TAKEN_OVER:
        _link(folder / name, arriving / name)
    write_atomic(arriving / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    facts = read_provenance(folder)
    trained_in = facts.get("taken_over_from", str(folder))
    write_json(arriving / "provenance.json", facts | {"name": config.name, "taken_over_from": trained_in})
    shutil.rmtree(target, ignore_errors=True)
    os.rename(arriving, target)
    return target


def _link(source: Path, target: Path) -> None:
    """The same file under another name; files of a stage are replaced, never changed. A copy where the disk is another one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

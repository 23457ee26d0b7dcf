"""A run with three stages, trained on drawn squares; once for all tests of a session."""

import shutil
from functools import cache
from pathlib import Path

import pytest
from made_manifest import made_config, made_manifest

from caer.engine.run import fit_stage


def made_run(factory: pytest.TempPathFactory):
    """The config of the finished run `made/seed3`. Tests change nothing in its folder."""
    return _trained(factory.getbasetemp() / "made_run")


def copied_run(factory: pytest.TempPathFactory) -> Path:
    """A copy of that run's folder, to evaluate and change."""
    return shutil.copytree(made_run(factory).run_folder, factory.mktemp("copied") / "made" / "seed3")


@cache
def _trained(folder: Path):
    manifest = made_manifest(folder / "data", {"train": 24, "val": 9}, no_face_every=4)
    config = made_config(manifest, holdout_fraction=0.3).model_copy(update={"runs": folder / "runs", "precision": "32"})
    for stage in config.stages:
        fit_stage(config, stage)
    return config

"""CAER-Net, Adaptive Fusion, joint fine-tuning and the SAM family train through `fit_stage` like everything else."""

import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.config import Config
from caer.engine.checkpoint import load_run
from caer.engine.run import fit_stage
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("made"), {"train": 18, "val": 6}, no_face_every=6)


def changed(config, tmp_path, **changes):
    return Config.model_validate(
        {**config.model_dump(), "runs": tmp_path / "runs", "precision": "32", "device": "cpu", **changes}
    )


def caer_config(manifest, tmp_path, streams="both", **stage):
    output = "fused" if streams == "both" else streams
    stages = {1: {"output": output, "trainable": [".*"], "epochs": 1, "optimizer": {"type": "sgd", "lr": 0.01}, **stage}}
    return changed(
        made_config(manifest), tmp_path, stages=stages, model={"type": "caer_net", "variant": "compact", "streams": streams}
    )


@pytest.mark.parametrize("streams", ["both", "face", "context"])
def test_caer_net_trains_in_one_stage_and_loads_again(manifest, tmp_path, streams):
    config = caer_config(manifest, tmp_path, streams)
    result = fit_stage(config, 1)
    loaded = load_run(config.run_folder)
    assert loaded.folder == result.folder
    assert loaded.output == ("fused" if streams == "both" else streams)
    assert sum(p.numel() for p in loaded.model.parameters()) == loaded.meta["parameters"]["total"]
    assert loaded.meta["parameters"]["trainable"] == loaded.meta["parameters"]["total"]
    with pytest.raises(UserError, match="stage 2 is not declared; made declares 1"):
        fit_stage(config, 2)


def test_caer_net_resumes_to_the_same_weights(manifest, tmp_path):
    """With SAM at an interval, whose rhythm must survive the stop."""
    optimizer = {"type": "sam", "base": "sgd", "lr": 0.01, "rho": 0.05, "interval": 2}
    whole = caer_config(manifest, tmp_path / "a", "face", epochs=2, optimizer=optimizer)
    fit_stage(whole, 1)
    parts = caer_config(manifest, tmp_path / "b", "face", epochs=2, optimizer=optimizer)
    stop_after_first_epoch(parts)
    fit_stage(parts, 1)
    one, two = (load_run(c.run_folder).model.state_dict() for c in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)


def stop_after_first_epoch(config):
    from caer.engine import run

    class Stop(Exception):
        pass

    def line(self, row, best):
        raise Stop

    original, run.Progress.line = run.Progress.line, line
    try:
        with pytest.raises(Stop):
            fit_stage(config, 1)
    finally:
        run.Progress.line = original


def test_adaptive_fusion_then_joint_fine_tuning(manifest, tmp_path):
    base = made_config(manifest, holdout_fraction=0.3)
    stages = base.model_dump()["stages"]
    stages[4] = {
        "output": "fused",
        "init": {"face": "stage3", "context": "stage3", "fusion": "stage3"},
        "trainable": [".*"],
        "epochs": 1,
        "optimizer": {"type": "sam", "base": "adam", "lr": 1.0e-4, "adaptive": True, "rho": 0.5},
    }
    model = {**base.model.model_dump(), "fusion": {"type": "adaptive", "hidden_dim": 8}}
    config = changed(base, tmp_path, model=model, stages=stages)
    for stage in (1, 2, 3):
        fit_stage(config, stage)
    third = load_run(config.run_folder / "stage3").model.state_dict()
    second = load_run(config.run_folder / "stage2").model.state_dict()
    assert all(torch.equal(third[key], second[key]) for key in second)
    fit_stage(config, 4)
    loaded = load_run(config.run_folder)
    assert loaded.stage == 4
    fourth = loaded.model.state_dict()
    for part in ("face.", "context.", "fusion."):
        assert any(not torch.equal(third[key], fourth[key]) for key in third if key.startswith(part))

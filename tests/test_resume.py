"""A run that is killed at any moment resumes from its last finished epoch to the same weights, bit for bit."""

import csv
import os
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import ROOT
from made_manifest import made_config, made_manifest
from made_stop import stopped_at

from caer.config import Config
from caer.engine import run
from caer.engine.checkpoint import read_checkpoint, read_provenance, read_weights
from caer.engine.history import read_csv
from caer.engine.run import fit_stage
from preprocessing.errors import UserError

CLOCK = ("seconds", "images_per_second")
TRAIN = """
import sys
from caer.config import load_config
from caer.engine.run import fit_stage
for path in sys.argv[1:]:
    fit_stage(load_config(path), 1)
"""
KILL = stopped_at(3, signal.SIGKILL)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("made"), {"train": 40, "val": 9}, no_face_every=8)


def config_of(manifest, runs, workers=0, **stage):
    """Everything with a state of its own: SAM over Adam, dropout, augmentation, plateau, early stopping, two groups."""
    settings = made_config(manifest, workers=workers).model_dump()
    settings["model"] |= {"face": {"backbone": "test_efficientnet", "weights": "none", "dropout": 0.3}}
    settings["stages"] = {
        1: {
            "output": "face",
            "trainable": [r"face\..*"],
            "epochs": 5,
            "optimizer": {"type": "sam", "base": "adam", "lr": 3e-3, "rho": 0.1},
            "groups": [{"pattern": r"face\.heads\..*", "lr": 1e-2}],
            "schedule": {"type": "plateau", "patience": 0, "gamma": 0.5},
            "early_stopping": 4,
            **stage,
        }
    }
    return Config.model_validate({**settings, "runs": runs, "device": "cpu", "precision": "32"})


def assert_same_run(one, two):
    a, b = (read_checkpoint(config.run_folder / "stage1" / "last.ckpt") for config in (one, two))
    assert a["epoch"] == b["epoch"]
    assert a["global_step"] == b["global_step"]
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert a["optimizer"]["param_groups"] == b["optimizer"]["param_groups"]
    for key, state in a["optimizer"]["state"].items():
        assert all(torch.equal(state[name], b["optimizer"]["state"][key][name]) for name in state)
    best = [read_weights(config.run_folder / "stage1" / "best.safetensors") for config in (one, two)]
    assert best[0][1] == best[1][1]
    assert all(torch.equal(best[0][0][name], best[1][0][name]) for name in best[0][0])
    rows = [list(csv.DictReader((config.run_folder / "stage1" / "metrics.csv").open())) for config in (one, two)]
    for row in (*rows[0], *rows[1]):
        for key in CLOCK:
            row.pop(key)
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_killed_it_ends_as_if_undisturbed(manifest, tmp_path):
    """SIGKILL to a real training process with loader workers, in the middle of its third epoch."""
    whole = config_of(manifest, tmp_path / "whole", workers=2)
    killed = config_of(manifest, tmp_path / "killed", workers=2)
    status, printed = train([killed], tmp_path, KILL + TRAIN)
    assert status == -signal.SIGKILL, printed
    status, printed = train([killed, whole], tmp_path, TRAIN)
    assert status == 0, printed
    assert "going on after epoch 2" in printed
    assert_same_run(whole, killed)


def train(configs, tmp_path, code):
    """Status and output of a process that trains stage 1 of each config, as `train_stage.py` does."""
    paths = []
    for config in configs:
        paths.append(tmp_path / f"{config.runs.name}.yaml")
        paths[-1].write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-c", code, *map(str, paths)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # ends with the last process that holds the output: the loader's workers outlive a kill for a moment
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment, check=False
    )
    return done.returncode, done.stdout


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("moment", ["before best", "between best and last", "after last", "before the end"])
def test_stopped_between_two_writes_it_ends_as_if_undisturbed(manifest, tmp_path, monkeypatch, moment):
    whole, stopped = config_of(manifest, tmp_path / "whole", epochs=3), config_of(manifest, tmp_path / "stopped", epochs=3)
    fit_stage(whole, 1)
    save, finish, calls = run.save_checkpoint, run._Fit._finish, []

    def saving(path, content):
        calls.append(path.name)
        if moment == "before best" and calls == ["best.ckpt"]:
            raise Stop
        if moment == "between best and last" and calls == ["best.ckpt", "last.ckpt"]:
            raise Stop
        save(path, content)
        if moment == "after last" and calls.count("last.ckpt") == 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(run, "save_checkpoint", saving)
        if moment == "before the end":
            patch.setattr(run._Fit, "_finish", lambda self: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            fit_stage(stopped, 1)
    assert finish is run._Fit._finish
    assert not fit_stage(stopped, 1).already_done
    assert_same_run(whole, stopped)


def test_the_number_of_workers_changes_nothing(manifest, tmp_path):
    one, two = config_of(manifest, tmp_path / "one", epochs=2), config_of(manifest, tmp_path / "two", workers=2, epochs=2)
    fit_stage(one, 1)
    fit_stage(two, 1)
    assert_same_run(one, two)


def test_a_resumed_run_keeps_its_number_format(manifest, tmp_path, monkeypatch):
    config = config_of(manifest, tmp_path, epochs=2)
    config = Config.model_validate({**config.model_dump(), "precision": "auto"})
    monkeypatch.setattr(run, "resolve_precision", lambda config, device: "bf16")
    with monkeypatch.context() as patch:
        patch.setattr(run._Fit, "_finish", lambda self: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            fit_stage(config, 1)
    monkeypatch.setattr(run, "resolve_precision", lambda config, device: "32")
    fit_stage(config, 1)
    import json

    assert json.loads((config.run_folder / "stage1" / "provenance.json").read_text())["precision"] == "bf16"


def test_a_resumed_stage_needs_no_weights_from_outside(manifest, tmp_path, monkeypatch):
    config = config_of(manifest, tmp_path, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(run._Fit, "_finish", lambda self: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            fit_stage(config, 1)
    monkeypatch.setattr("caer.models.load_weights", lambda *a: pytest.fail("asked for pretrained weights"))
    fit_stage(config, 1)


def cached_config(manifest, runs):
    """A head on the features of a frozen backbone, computed once."""
    config = config_of(manifest, runs, groups=[], schedule={"type": "none"}, early_stopping=None).model_dump()
    config["model"] = {"type": "multitask", "face": {"backbone": "test_efficientnet", "weights": "none"}}
    config["stages"][1] |= {"trainable": [r"face\.heads\..*"], "augmentation": None, "cache_features": True, "epochs": 2}
    return Config.model_validate(config)


def test_what_cached_features_took_is_kept_beside_the_epochs_and_outlives_an_interruption(manifest, tmp_path, monkeypatch):
    config = cached_config(manifest, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run._Fit, "_finish", lambda self: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            fit_stage(config, 1)
    cached = read_provenance(config.run_folder / "stage1")["caching_seconds"]
    assert cached > 0
    fit_stage(config, 1)
    facts = read_provenance(config.run_folder / "stage1")
    assert facts["caching_seconds"] == cached
    rows = read_csv(config.run_folder / "stage1" / "metrics.csv")
    assert facts["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=0.01)


def test_a_stage_without_cached_features_spent_nothing_on_them(manifest, tmp_path):
    config = config_of(manifest, tmp_path, epochs=1)
    fit_stage(config, 1)
    assert read_provenance(config.run_folder / "stage1")["caching_seconds"] == 0


def test_ctrl_c_is_passed_on_and_the_run_resumes(manifest, tmp_path, monkeypatch):
    whole, stopped = config_of(manifest, tmp_path / "whole", epochs=2), config_of(manifest, tmp_path / "stopped", epochs=2)
    fit_stage(whole, 1)
    line = run.Progress.line

    def interrupt(self, row, best):
        line(self, row, best)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell that starts tests in the background has them ignore Ctrl-C; here it is meant.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(run.Progress, "line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit_stage(stopped, 1)
    assert signal.getsignal(signal.SIGINT) is handler
    fit_stage(stopped, 1)
    assert_same_run(whole, stopped)


def test_one_writer_per_run(manifest, tmp_path):
    from preprocessing.files import sole_writer

    config = config_of(manifest, tmp_path)
    with sole_writer(config.run_folder), pytest.raises(UserError, match=rf"process {os.getpid()} on .* is writing there"):
        fit_stage(config, 1)
    assert not (config.run_folder / "stage1").exists()

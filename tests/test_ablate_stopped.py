"""An ablation that is stopped in the middle of a stage goes on from that stage's last finished epoch."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from made_ablation import made_ablation
from made_stop import stopped_at

from caer.ablation import execute as execution
from caer.ablation.config import load_ablation
from caer.ablation.execute import execute
from caer.ablation.plan import plan
from caer.engine import run as engine

ABLATE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # below a background job it is ignored
runpy.run_module("caer", run_name="__main__")
"""
COMMAND = stopped_at(1, signal.SIGINT) + ABLATE


def test_ctrl_c_ends_it_cleanly_and_it_goes_on(tmp_path, monkeypatch, capsys):
    path = made_ablation(tmp_path, variants={"face": {"stages": [1]}}, set={"stages.1.epochs": 5})
    command = [sys.executable, "-c", COMMAND, "ablate", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted; run the same command again to resume"

    stop_after_one_epoch(monkeypatch)
    ablation = load_ablation(path)
    with pytest.raises(KeyboardInterrupt):
        execute(ablation, plan(ablation))
    assert "stage 1: going on after epoch 2" in capsys.readouterr().out


def stop_after_one_epoch(monkeypatch):
    keep = engine._Fit._keep

    def kept_then_stopped(self, module, row):
        keep(self, module, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._Fit, "_keep", kept_then_stopped)


def test_stopped_between_stages_it_trains_and_judges_only_the_rest(tmp_path, monkeypatch):
    ablation = load_ablation(made_ablation(tmp_path))
    runs, calls, judged = plan(ablation), [], []
    fit, evaluate = execution.fit_stage, execution.evaluate_run

    def fit_until_killed(config, stage):
        if (config.name, stage) == ("sum", 3) and len(calls) == 2:
            raise KeyboardInterrupt
        calls.append((config.name, stage))
        return fit(config, stage)

    def evaluate_counted(run, *arguments, **options):
        judged.append(run.parent.name)
        return evaluate(run, *arguments, **options)

    monkeypatch.setattr(execution, "fit_stage", fit_until_killed)
    monkeypatch.setattr(execution, "evaluate_run", evaluate_counted)
    with pytest.raises(KeyboardInterrupt):
        execute(ablation, runs)
    assert calls == [("face", 1), ("context", 2)]
    calls.append("started again")
    assert execute(ablation, runs) == {}
    assert calls[3:] == [("sum", 3), ("gating", 3)]
    assert judged == ["face", "context", "sum", "gating"]


def test_a_stage_half_taken_over_is_taken_over_again(tmp_path, monkeypatch):
    ablation = load_ablation(made_ablation(tmp_path))
    runs = [run for run in plan(ablation) if run.variant in ("face", "gating")]
    rename = os.rename

    def killed(source, target):
        if ".arriving" in str(source):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("caer.ablation.sharing.os.rename", killed)
    with pytest.raises(KeyboardInterrupt):
        execute(ablation, runs)
    gating = next(run for run in runs if run.variant == "gating")
    assert not gating.stage(1).exists()
    monkeypatch.undo()
    assert execute(ablation, runs) == {}
    assert sorted(path.name for path in gating.folder.glob(".stage*")) == []


def test_one_writer(tmp_path):
    from preprocessing.errors import UserError
    from preprocessing.files import sole_writer

    ablation = load_ablation(made_ablation(tmp_path))
    with sole_writer(ablation.folder), pytest.raises(UserError, match="is writing there"):
        execute(ablation, plan(ablation))

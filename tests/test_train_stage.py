"""`train_stage.py` as a user calls it: all stages in one command, mistakes in one line with exit code 2."""

import csv
import json
import os
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from made_manifest import made_config, made_manifest

import train_stage
from preprocessing.errors import run_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    manifest = made_manifest(folder / "data", {"train": 24, "val": 6})
    settings = made_config(manifest.relative_to(folder)).model_dump(mode="json")
    (folder / "my.yaml").write_text(yaml.safe_dump(settings))
    return folder


def call(folder, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "train_stage.py"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_all_stages_in_one_command(folder):
    result = call(folder, "--config", "my.yaml", "--stage", "all", "--set", "device=cpu", "precision='32'")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert sum("parameters train" in line for line in lines) == 3
    assert lines[-1] == "results: runs/made/seed3; next: python -m caer evaluate runs/made/seed3"
    for number in (1, 2, 3):
        assert (folder / "runs/made/seed3" / f"stage{number}" / "best.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "no.yaml", "--stage", "1"], "no.yaml: no such file"),
        (["--config", "my.yaml", "--stage", "9"], "stage 9 is not declared; made declares 1, 2, 3"),
        (["--config", "my.yaml", "--stage", "one"], "--stage 'one': expected a number or all"),
        (["--config", "my.yaml", "--stage", "1", "--set", "seeed=3"], "unknown key 'seeed'"),
        (["--config", "my.yaml", "--stage", "3", "--set", "name=other"], "--stage 1 first"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train_stage.py", *arguments])
    with pytest.raises(SystemExit) as end:
        run_command(train_stage.main)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("error: ")


@pytest.mark.slow
def test_two_processes_train_one_run(folder):
    """The same command under torchrun: one writer, every validation row counted once."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        str(ROOT / "train_stage.py"),
    ]
    options = ["--config", "my.yaml", "--stage", "1", "--set", "name=two", "device=cpu", "precision='32'"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("stage 1 done") == 1
    done = folder / "runs/two/seed3/stage1"
    facts = json.loads((done / "provenance.json").read_text())
    assert facts["finished"]
    row = next(csv.DictReader((done / "metrics.csv").open()))
    accuracy = float(row["val/emotion/accuracy"]) * facts["rows"]["val"]
    assert accuracy == pytest.approx(round(accuracy))

"""Shipped configs whose sets are not to be had here: a small tree in the set's layout goes through the users' own commands."""

import json
import sys

import pytest
from conftest import ROOT
from made_deepfashion import FINE_TYPES, fine_tree
from made_genki4k import small_genki
from made_imdb_wiki import small_wiki

import caer.__main__
import preprocessing.__main__
import train_stage
from caer.config import load_config
from preprocessing.errors import run_command
from preprocessing.manifest import read_manifest

SMALL = ["device=cpu", "precision='32'", "data.workers=0", "data.batch_size=16", "stages.1.epochs=1"]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A command's entry with its arguments, in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(entry, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            entry()
        written = capsys.readouterr()
        assert not end.value.code, written.err
        return written.out

    return run


def preprocess(call, name, root, out, *options):
    call(preprocessing.__main__.main, "--dataset", name, "--root", root, "--out", out, "--workers", 1, *options)
    rows = read_manifest(out).rows
    assert set(rows["status"]) == {"ok"}
    return rows


def train_and_evaluate(call, name, *overrides):
    """Number of judged rows of the test split by task."""
    config = ROOT / f"configs/multitask/{name}.yaml"
    out = call(lambda: run_command(train_stage.main), "--config", config, "--stage", 1, "--set", *SMALL, *overrides)
    assert out.endswith(f"next: python -m caer evaluate runs/{name}/seed17\n")
    call(caer.__main__.main, "evaluate", f"runs/{name}/seed17", "--split", "test")
    with open(f"runs/{name}/seed17/eval/test/metrics.json") as file:
        tasks = json.load(file)["tasks"]
    return {task: metrics["rows"]["all"]["n"] for task, metrics in tasks.items()}


def test_imdb_wiki_and_genki_train_bknet(tmp_path, call):
    whole = ["--detector", "whole"]
    smiles = preprocess(call, "genki4k", small_genki(tmp_path / "genki", 10), "data/genki4k", *whole, "--set", "dataset.test=3")
    persons = preprocess(call, "imdb_wiki", small_wiki(tmp_path / "wiki_crop", 24), "data/imdb_wiki", *whole)
    assert (len(smiles), len(persons)) == (10, 44), "a tenth of the persons' photos has two faces"
    test = persons[persons["split"] == "test"]
    ages = test["label_age"].between(1, 80).sum()
    assert ages
    judged = train_and_evaluate(call, "bknet_smile_age_gender")
    assert judged == {"smile": 3, "age": ages, "gender": len(test)}


def test_deepfashion_trains_a_classifier_for_each_column(tmp_path, call):
    tree = fine_tree(tmp_path / "raw", train=16, val=8, test=8)
    rows = preprocess(call, "deepfashion", tree, "data/clothes", "--set", "dataset.annotations=fine")
    assert set(rows["label_neckline"]) == {"crew_neckline", "v_neckline", "square_neckline", "no_neckline"}
    small = ["model.face.backbone=test_efficientnet", "model.face.weights=none", "data.image_size.face=48"]
    assert train_and_evaluate(call, "dataframe_xception", *small) == {"sleeve": 8, "neckline": 8, "texture": 8}


def test_the_config_of_deepfashion_declares_the_tags_of_the_fine_annotations():
    tasks = load_config(ROOT / "configs/multitask/dataframe_xception.yaml").tasks
    texture, sleeve, _, neckline, *_ = FINE_TYPES
    declared = {name: task["classes"] for name, task in tasks.items()}
    assert declared == {"sleeve": sleeve, "neckline": neckline, "texture": texture}

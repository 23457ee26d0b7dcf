"""No command selects on test: with other test labels, and without a single test photo, everything but test scores is the same.

Two worlds differ in the test rows alone. In both an ablation trains all stages for several epochs, so that there is one to
choose, and is judged on val; then each run is judged on test.
"""

import csv
import shutil

import pytest
import torch
from made_ablation import made_ablation
from made_manifest import CLASSES, edit_manifest, made_manifest

from caer.ablation.config import load_ablation
from caer.ablation.execute import execute
from caer.ablation.plan import plan
from caer.engine.checkpoint import read_weights
from caer.evaluation.evaluate import evaluate_run
from preprocessing.files import read_json
from preprocessing.manifest import read_manifest

CHANGES = {"stages.1.epochs": 2, "stages.2.epochs": 2, "stages.3.epochs": 3}
ABOUT_THE_WHOLE = {"manifests", "protocol_hash", "command", "seconds", "caching_seconds", "written", "weights_sha256", "init"}
"""What a stage's provenance says about the data as a whole and about when it ran, and hashes of files that hold such facts."""


def other_label(row):
    """A row with the last class for its label where it is a test row."""
    return row | ({"label_emotion": CLASSES[-1]} if row["split"] == "test" else {})


def hide_test_photos(manifest, aside):
    """Move the files of the test rows away; returns how to bring them back."""
    rows = read_manifest(manifest).rows
    files = [f for column in ("face_file", "image_file") for f in rows.loc[rows["split"] == "test", column] if f]
    for file in files:
        (aside / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(manifest.parent / file, aside / file)
    return lambda: [shutil.move(aside / file, manifest.parent / file) for file in files]


def train(folder, manifest):
    """Run an ablation that is judged on val; returns the folder of its run."""
    path = made_ablation(folder, manifest, split="val", variants={"gating": {"set": CHANGES}})
    ablation = load_ablation(path)
    runs = plan(ablation)
    assert execute(ablation, runs) == {}
    return runs[0].folder


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The run's folder in the world as it is, and in the one with other test rows."""
    folders = []
    for name in ("given", "other"):
        folder = tmp_path_factory.mktemp(name)
        manifest = made_manifest(folder / "data", {"train": 30, "val": 9, "test": 9})
        if name == "other":
            edit_manifest(manifest, other_label)
            bring_back = hide_test_photos(manifest, folder / "aside")
        folders.append(train(folder, manifest))
    bring_back()
    return folders


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_weights_and_chosen_epoch_are_the_same(worlds, stage):
    weights, facts, curves = [], [], []
    for run in worlds:
        weights.append(read_weights(run / f"stage{stage}" / "best.safetensors")[0])
        facts.append(read_json(run / f"stage{stage}" / "provenance.json", "provenance"))
        curves.append(list(csv.DictReader((run / f"stage{stage}" / "metrics.csv").open())))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert facts[0]["best_epoch"] == facts[1]["best_epoch"]
    assert len(curves[0]) > 1
    scores = [[{k: v for k, v in row.items() if k.startswith(("train/", "val/"))} for row in rows] for rows in curves]
    assert scores[0][0]
    assert scores[0] == scores[1]
    same = [{key: value for key, value in f.items() if key not in ABOUT_THE_WHOLE} for f in facts]
    assert same[0] == same[1]


def test_scores_on_val_and_their_temperature_are_the_same(worlds):
    given, other = (read_json(run / "eval" / "val" / "metrics.json", "metrics")["tasks"] for run in worlds)
    assert given == other


def test_only_test_scores_differ(worlds):
    given, other = (evaluate_run(run, "test", report=False) for run in worlds)
    assert given.predictions.rows["prob_emotion"].tolist() == other.predictions.rows["prob_emotion"].tolist()
    assert given.predictions.meta["priors"] == other.predictions.meta["priors"]
    tasks = [evaluation.metrics["tasks"]["emotion"] for evaluation in (given, other)]
    assert tasks[0]["calibration"]["temperature"] == tasks[1]["calibration"]["temperature"]
    assert tasks[0]["branches"]["better"] == tasks[1]["branches"]["better"]
    assert tasks[0]["confusion"] != tasks[1]["confusion"]

"""Wrong input, damaged files and a full disk end in one line that says what to do; what was lost is made again."""

import errno
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_manifest import made_config, made_manifest
from made_predictions import made_predictions
from PIL import Image

from caer import __main__ as cli
from caer.engine.run import fit_stage
from caer.evaluation.ledger import read_ledger, record_look
from caer.evaluation.predictions import Predictions, read_predictions, write_predictions
from caer.models.pretrained import read_state_dict
from gating.fusion import build_fusion
from preprocessing.__main__ import main as preprocessing_main
from preprocessing.datasets import image_folder
from preprocessing.detectors import boxes
from preprocessing.errors import UserError, run_command
from preprocessing.pipeline import preprocess
from preprocessing.settings import Settings, apply_overrides

WHOLE = Settings(detector={"type": "whole"})


def test_override_finds_number_keys_written_as_text():
    assert apply_overrides({"stages": {"1": {"epochs": 3}}}, ["stages.1.epochs=2"]) == {"stages": {"1": {"epochs": 2}}}
    assert apply_overrides({"stages": {1: {"epochs": 3}}}, ["stages.1.epochs=2"]) == {"stages": {1: {"epochs": 2}}}
    assert apply_overrides({}, ["².a=1"]) == {"²": {"a": 1}}


@pytest.mark.parametrize(
    "text", ["x1,y1,x2,y2,path\n1,2,3,4\n", "path,x1,y1,x2,y2,score\na.jpg,1,2,3,4,7\n", "a\0.jpg,1,2,3,4\n"]
)
def test_box_lists_without_path_or_with_impossible_scores_are_refused(tmp_path, text):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(UserError, match=r"line \d|cannot be read"):
        boxes.build(boxes.Config(files=[tmp_path / "boxes.csv"]))


def test_fusion_type_that_is_no_name():
    with pytest.raises(ValueError, match="known: adaptive"):
        build_fusion({"type": [1]}, {"emotion": 3}, 4, 4)


def test_state_dict_with_numbers_as_names(tmp_path):
    torch.save({1: torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="not a plain state dict"):
        read_state_dict(tmp_path / "weights.pth")


def test_what_was_deleted_or_damaged_is_made_again(tmp_path):
    for name in "ab":
        path = tmp_path / "photos" / "train" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((40, 50, 3), ord(name), np.uint8)).save(path)
    dataset = image_folder.build(image_folder.Config(root=tmp_path / "photos"))
    out = tmp_path / "out"
    first = preprocess(dataset, WHOLE, out, workers=1)
    shutil.rmtree(out / "faces")
    again = preprocess(dataset, WHOLE, out, workers=1)
    assert again.summary["run"]["photos"] == 2
    assert len(list((out / "faces").rglob("*.jpg"))) == 2
    part = next((out / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:100])
    assert preprocess(dataset, WHOLE, out, workers=1).row_hash == again.row_hash == first.row_hash


def test_an_attempt_that_failed_before_its_first_epoch_binds_nothing(tmp_path):
    manifest = made_manifest(tmp_path / "made", {"train": 12, "val": 3})
    stage = {"output": "face", "trainable": [r"face\..*"], "epochs": 1}

    def config(**changes):
        made = made_config(manifest, stages={1: {**stage, **changes}})
        return made.model_copy(update={"runs": tmp_path / "runs", "device": "cpu", "precision": "32"})

    with pytest.raises(UserError, match="not finite"):
        fit_stage(config(optimizer={"lr": 1e30}), 1)
    assert fit_stage(config(), 1).epochs == 1


BEGUN = {"stage": 1, "finished": False, "precision": "32", "manifests": [], "class_counts": {}, "init": {}}
BEGUN["parameters"] = {"total": 1, "trainable": 1}
FINISHED = {"finished": True, "best_score": 0.5, "best_epoch": 1, "epochs": 1, "seconds": 1.0, "weights_sha256": "0" * 64}


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ([BEGUN], "given a list"),
        ("finished", "given a str"),
        ({"finished": True}, "stage: Field required"),
        (BEGUN | {"finished": True}, "best_score: Field required (and 4 more)"),
        (BEGUN | FINISHED | {"stage": "1"}, "stage: Input should be a valid integer, given '1'"),
        (BEGUN | FINISHED | {"manifests": {"path": "x"}}, "manifests: Input should be a valid list"),
        (BEGUN | FINISHED | {"manifests": ["x"]}, "manifests.0: Input should be a valid dictionary"),
        (BEGUN | FINISHED | {"manifests": [{"path": "x"}]}, "manifests.0.row_hash: Field required"),
        (BEGUN | FINISHED | {"class_counts": {"emotion": 3}}, "class_counts.emotion: Input should be a valid list, given 3"),
        (BEGUN | FINISHED | {"init": {"face": "stage1"}}, "init.face: Input should be a valid dictionary"),
        (BEGUN | FINISHED | {"precision": "16"}, "precision: Input should be '32' or 'bf16', given '16'"),
        (BEGUN | FINISHED | {"seconds": None}, "seconds: Input should be a valid number, given None"),
    ],
)
def test_a_provenance_of_another_shape_is_one_line(tmp_path, monkeypatch, capsys, command, facts, words):
    stage = tmp_path / "seed1" / "stage1"
    stage.mkdir(parents=True)
    (stage / "provenance.json").write_text(json.dumps(facts))
    (tmp_path / "photo.jpg").touch()
    photos = [str(tmp_path / "photo.jpg")] if command == "predict" else []
    monkeypatch.setattr(sys, "argv", ["caer", command, str(stage.parent), *photos])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {stage / 'provenance.json'}: ")
    assert words in error
    assert error.endswith(f"; delete {stage} and train that stage again\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "may write"),
        (errno.EEXIST, "expected a folder"),
        (errno.ENOTDIR, "expected a folder"),
        (errno.EISDIR, "expected a file"),
        (errno.ENAMETOOLONG, "shorter name"),
    ],
)
def test_disk_trouble_is_one_line(capsys, number, words):
    def command():
        raise OSError(number, "from the system", "some/file")

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert "some/file" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_id": None}, "columns sample_id are absent"),
        ({"prob_emotion": None}, "columns prob_emotion are absent"),
        ({"prob_emotion": [[0.5, 0.5]] * 3}, "other than 3 probabilities"),
        ({"prob_emotion": [[1.0, 0.0, 0.0], [1.0], [1.0, 0.0, 0.0]]}, "other than 3 probabilities"),
        ({"prob_emotion": [[1.0, 0.0, float("nan")]] * 3}, "other than 3 probabilities"),
        ({"prob_emotion": [[2.0, -1.0, 0.0]] * 3}, "other than 3 probabilities"),
        ({"target_emotion": [0, 1, 3]}, "more than its 3 classes"),
        ({"target_emotion": ["smile"] * 3}, "no numbers"),
        ({"sample_id": pd.Series(["a", None, "b"], dtype=object)}, "without a sample_id"),
    ],
)
def test_predictions_that_are_not_what_their_metadata_say_are_refused_where_they_are_read(tmp_path, changes, words):
    made, path = made_predictions([0, 1, 2], [0, 1, 1]), tmp_path / "predictions.parquet"
    write_predictions(made, path)
    assert list(read_predictions(path).rows) == list(made.rows)
    rows = made.rows.drop(columns=[name for name, values in changes.items() if values is None])
    write_predictions(Predictions(rows.assign(**{k: v for k, v in changes.items() if v is not None}), made.meta), path)
    with pytest.raises(UserError, match=words):
        read_predictions(path)


@pytest.mark.parametrize("meta", [b"\xff", b"5", b"[]", b'{"schema_version": 1, "tasks": {"emotion": 3}}'])
def test_predictions_with_damaged_metadata_are_refused(tmp_path, meta):
    path = tmp_path / "predictions.parquet"
    pq.write_table(pa.table({"sample_id": ["a"]}).replace_schema_metadata({b"caer": meta}), path)
    with pytest.raises(UserError, match=r"schema_version|name no tasks"):
        read_predictions(path)


def test_a_damaged_ledger_is_refused_and_one_with_any_name_in_it_is_read(tmp_path):
    record_look(tmp_path, {"split": "test", "by": "a\u2028b"})
    assert record_look(tmp_path, {"split": "test"})["earlier_looks"] == 1
    for content in (b"\x82\xff", b"[1]\n", b'{"split"'):
        (tmp_path / "ledger.jsonl").write_bytes(content)
        with pytest.raises(UserError, match="restore it from a backup"):
            read_ledger(tmp_path)


@pytest.mark.parametrize("arguments", [["bogus"], ["run", "--bogus"], ["run"], ["--bogus"], ["demo", "--out", "x", "--n", "0"]])
def test_wrong_options_of_preprocessing_are_one_line(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["preprocessing", *arguments])
    with pytest.raises(SystemExit) as end:
        preprocessing_main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith("(see python -m preprocessing --help)\n")
    assert error.count("\n") == 1

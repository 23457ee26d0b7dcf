"""The score that picks an epoch: what cannot have a value is known before anything is trained, and no untrained head counts."""

import csv
import math
import time

import pandas as pd
import pytest
from made_sources import TINY, made_source, made_sources, shipped

from caer.config import Config
from caer.engine.checkpoint import load_run
from caer.engine.module import StageModule
from caer.engine.monitor import scores_without_value
from caer.engine.run import fit_stage
from caer.evaluation.console import summary_lines
from caer.evaluation.evaluate import evaluate_run
from caer.tasks import build_tasks
from caer.tasks.classification import Classification
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Smiles in all splits, emotions in val and test only, ages as intervals."""
    folder = tmp_path_factory.mktemp("sources")
    made_sources(folder)
    made_source(folder / "data/emotions_to_judge_by", "fer2013", {"val": 8, "test": 8})
    return folder


def smiles(data, runs, sources=("genki4k", "emotions_to_judge_by"), **changes):
    """Smile and emotion, of which the second may lack rows."""
    config = shipped("faces_shared", data, runs, *TINY, "tasks.emotion.optional=true").model_dump()
    config["tasks"] = {name: config["tasks"][name] for name in ("emotion", "smile")}
    config["data"]["sources"] = [{"manifest": data / f"data/{name}/manifest.parquet"} for name in sources]
    config["monitor"] = {"metric": "mean", "of": ["emotion/accuracy", "smile/accuracy"]}
    return Config.model_validate(config | changes)


def test_an_untrained_head_counts_in_no_score(data, tmp_path, capsys):
    config = smiles(data, tmp_path)
    fit_stage(config, 1)
    out = capsys.readouterr().out
    assert "emotion/accuracy is not in the mean: no training row is labelled for task 'emotion'" in out
    row = next(csv.DictReader((config.run_folder / "stage1/metrics.csv").open()))
    assert row["val/mean"] == row["val/smile/accuracy"]
    assert row["val/loss"] == row["val/smile/loss"]
    assert row["train/loss"] == row["train/smile/loss"]
    assert {row[f"{part}/emotion/loss"] for part in ("train", "val")} == {"nan"}
    lines = summary_lines(evaluation := evaluate_run(config.run_folder, "test"))
    assert "not judged, no training row was labelled for it: emotion" in lines
    assert not any("no row of test" in line for line in lines)
    page = (evaluation.folder / "report.html").read_text()
    assert "No training row was labelled for emotion: that is not answered." in page


@pytest.mark.parametrize(
    ("sources", "monitor", "message"),
    [
        (["genki4k", "emotions_to_judge_by"], "emotion/accuracy", "no training row is labelled for task 'emotion'"),
        (["genki4k"], "emotion/accuracy", "no training row is labelled for task 'emotion'"),
        (["genki4k", "only_train"], "emotion/macro_f1", "no validation row is labelled for task 'emotion'"),
    ],
)
def test_a_monitor_without_rows_is_refused_before_training(data, tmp_path, sources, monitor, message):
    if "only_train" in sources and not (data / "data/only_train").exists():
        made_source(data / "data/only_train", "fer2013", {"train": 14})
    config = smiles(data, tmp_path, sources, monitor={"metric": monitor})
    with pytest.raises(UserError, match=f"monitor '{monitor}' has no value: {message}; monitor another score"):
        fit_stage(config, 1)
    assert not config.run_folder.exists()


def tasks_and_rows():
    """Of every kind a task whose validation rows leave some score undefined."""
    options = {
        "age": {"type": "regression", "range": [0, 100], "low_column": "age_low", "high_column": "age_high"},
        "tags": {"type": "multilabel", "classes": ["hat", "beard"]},
        "group": {"type": "ordinal", "classes": ["young", "grown", "old"]},
        "smile": {"type": "classification", "classes": ["no", "yes"]},
    }
    base = {"type": "multitask", "face": {"backbone": "test_efficientnet", "weights": "none", "aligned": False}}
    stages = {1: {"output": "face", "trainable": [".*"], "epochs": 1}}
    settings = {"name": "x", "data": {"sources": [{"manifest": "m"}]}, "tasks": options, "model": base, "stages": stages}
    rows = {
        "low_age": [0.0, 20.0],
        "high_age": [9.0, 29.0],
        "target_tags": [0, 0],
        "target_group": [2, 2],
        "target_smile": [0, 1],
    }
    return settings, pd.DataFrame(rows | {"target_age": [4.5, 24.5]})


def found(monitor, untrained=(), **columns):
    settings, rows = tasks_and_rows()
    config = Config.model_validate(settings | {"monitor": monitor})
    return scores_without_value(config, build_tasks(config), rows.assign(**columns), untrained)


@pytest.mark.parametrize(
    ("metric", "mode", "reason"),
    [
        ("age/mae", "min", "val has intervals only, no number that is known; monitor age/closeness"),
        ("tags/map", "max", "no tag occurs in val; monitor tags/nll"),
        ("tags/micro_f1", "max", "no tag occurs in val; monitor tags/nll"),
        ("group/quadratic_kappa", "max", "val is of one class; monitor group/accuracy"),
    ],
)
def test_a_score_that_the_rows_do_not_define_is_refused_and_its_remedy_is_not(metric, mode, reason):
    with pytest.raises(UserError, match=f"monitor '{metric}' has no value: {reason}"):
        found({"metric": metric, "mode": mode})
    remedy = reason.rpartition("monitor ")[2]
    assert not found({"metric": remedy, "mode": "min" if remedy.endswith("nll") else "max"})


def test_known_numbers_have_no_score_of_intervals_and_the_reason_says_so():
    known = {"low_age": [4.0, 24.0], "high_age": [4.0, 24.0]}
    assert not found({"metric": "age/mae", "mode": "min"}, **known)
    with pytest.raises(UserError, match="'age/inside' has no value: val has known numbers only, no interval; monitor age/mae"):
        found({"metric": "age/inside"}, **known)


def test_a_mean_says_which_of_its_parts_have_no_value():
    assert set(found({"metric": "mean", "of": ["tags/map", "smile/accuracy", "group/quadratic_kappa"]})) == {
        "tags/map",
        "group/quadratic_kappa",
    }


def test_the_loss_has_a_value_where_one_task_has_rows_on_both_sides():
    everything = {"metric": "loss", "mode": "min"}
    assert not found(everything, untrained=["age", "tags", "smile"])
    with pytest.raises(UserError, match="monitor 'loss' has no value: no training row"):
        found(everything, untrained=["age", "tags", "group", "smile"])


def test_what_an_earlier_stage_trained_counts_and_answers_in_a_later_one_without_rows(data, tmp_path, capsys):
    """Two runs stand for two stages of other rows: the second has no emotion to train on."""
    first = smiles(data, tmp_path, ["genki4k", "fer2013"])
    fit_stage(first, 1)
    second = smiles(data, tmp_path, ["genki4k", "emotions_to_judge_by"], name="second").model_dump()
    second["stages"] = {1: second["stages"][1] | {"init": {"face": str(first.run_folder / "stage1")}}}
    second = Config.model_validate(second)
    capsys.readouterr()
    fit_stage(second, 1)
    assert "untrained" not in capsys.readouterr().out
    assert set(load_run(second.run_folder).tasks) == {"emotion", "smile"}
    row = next(csv.DictReader((second.run_folder / "stage1/metrics.csv").open()))
    assert float(row["val/mean"]) == pytest.approx((float(row["val/emotion/accuracy"]) + float(row["val/smile/accuracy"])) / 2)


def test_a_part_that_an_epochs_answers_leave_without_a_value_is_not_dropped_from_the_mean(data, tmp_path, monkeypatch):
    config = smiles(data, tmp_path, ["genki4k", "fer2013"])
    scores = Classification.metrics
    monkeypatch.setattr(
        Classification, "metrics", lambda self, *a: scores(self, *a) | ({"accuracy": math.nan} if self.name == "emotion" else {})
    )
    with pytest.raises(UserError, match=r"monitor 'mean' has no value for the answers of epoch 1; monitor a score that any"):
        fit_stage(config, 1)


def test_weights_that_the_last_update_of_an_epoch_broke_are_an_error_and_not_a_score(data, tmp_path):
    """One update an epoch: its loss is finite, what it leaves is not, and the likeliest class of NaN would be the first."""
    config = smiles(data, tmp_path, ["genki4k"]).model_dump()
    config["tasks"] = {"smile": config["tasks"]["smile"]}
    config["monitor"] = {"metric": "smile/accuracy"}
    config["stages"][1] |= {"optimizer": {"type": "sgd", "lr": 1e30}, "schedule": {"type": "none"}}
    config = Config.model_validate(config)
    message = (
        r"the validation loss of task 'smile' is not finite after step 1: .* lower the learning rate, or set precision: '32'"
    )
    with pytest.raises(UserError, match=message):
        fit_stage(config, 1)
    assert not list((config.run_folder / "stage1").glob("best.*"))


def test_the_speed_is_that_of_training_without_validation(data, tmp_path, monkeypatch):
    step = StageModule.validation_step

    def slow(self, *given):
        time.sleep(2)
        step(self, *given)

    monkeypatch.setattr(StageModule, "validation_step", slow)
    config = smiles(data, tmp_path, ["genki4k"])
    fit_stage(config, 1)
    row = next(csv.DictReader((config.run_folder / "stage1/metrics.csv").open()))
    seconds = float(row["seconds"])
    assert seconds > 2
    assert 14 / float(row["images_per_second"]) < seconds - 1.9

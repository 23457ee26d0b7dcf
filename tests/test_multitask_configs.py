"""The shipped multi-task configs train an epoch on small made-up sources, are judged, compared and used like every other run."""

import csv
import math

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_manifest import DrawnFace, draw
from made_sources import TINY, made_sources, shipped

from caer.config import load_config
from caer.data.loaders import StageData
from caer.data.rows import Rows
from caer.engine.monitor import check_monitor
from caer.engine.run import fit_stage
from caer.engine.stages import trainable_parameters
from caer.evaluation.console import summary_lines
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.predictions import read_predictions
from caer.models import build_model
from caer.predict import Predictor
from caer.tasks import build_tasks
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_sources(tmp_path_factory.mktemp("sources"))


CONFIGS = {
    "bknet_smile_emotion_gender": [],
    "bknet_smile_emotion_gender_budget": [],
    "bknet_smile_age_gender": [],
    "dataframe_xception": TINY,
    "fairface_vgg16": ["model.face.backbone=test_efficientnet", "data.image_size.face=160"],
    "faces_shared": TINY,
}


def test_every_config_is_tried():
    assert {path.stem for path in (ROOT / "configs/multitask").glob("*.yaml")} == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_network_of_a_config_can_be_built_and_its_patterns_match(name):
    """With its own backbone and sizes; on the meta device, where weights take neither time nor memory."""
    config = load_config(ROOT / f"configs/multitask/{name}.yaml")
    with torch.device("meta"):
        model = build_model(config, pretrained=False)
    assert list(model.face.heads) == list(config.tasks)
    assert trainable_parameters(model, config.stages[1].trainable)
    check_monitor(config, build_tasks(config))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_config_trains_an_epoch_in_each_stage(name, data, tmp_path):
    config = shipped(name, data, tmp_path / "runs", *CONFIGS[name])
    for stage in config.stages:
        result = fit_stage(config, stage)
        assert result.epochs == 1
        assert math.isfinite(result.best_score)


@pytest.fixture(scope="module")
def faces(data, tmp_path_factory):
    config = shipped("faces_shared", data, tmp_path_factory.mktemp("runs"), *TINY)
    fit_stage(config, 1)
    return config


@pytest.fixture(scope="module")
def judged(faces):
    return evaluate_run(faces.run_folder, "test", by=["race", "gender"])


def test_numbers_travel_through_the_prediction_file(judged):
    evaluation = judged
    stored = read_predictions(evaluation.folder / "predictions.parquet")
    table = stored.rows
    assert stored.kinds == {"emotion": "classes", "smile": "classes", "gender": "classes", "age": "number"}
    assert set(stored.tasks) == {"emotion", "smile", "gender"}
    assert table["pred_age"].between(0, 100).all()
    labelled = table["source"] == "fairface"
    assert table["target_age"].notna().tolist() == labelled.tolist()
    spans = set(zip(table["low_age"][labelled], table["high_age"][labelled], strict=True))
    assert spans == {(0.0, 2.0), (10.0, 19.0), (30.0, 39.0), (70.0, 100.0)}
    assert stored.row_hash == evaluation.predictions.row_hash
    np.testing.assert_array_equal(table["pred_age"], evaluation.predictions.rows["pred_age"])


def test_an_interval_is_scored_to_its_midpoint_and_subgroups_have_their_sizes(judged):
    evaluation = judged
    age = evaluation.metrics["tasks"]["age"]
    assert age["rows"]["all"]["mae"]["value"] is None
    assert age["rows"]["all"]["mae_to_midpoint"]["value"] > 0
    assert {row["value"]: row["n"] for row in age["subgroups"]["race"]} == {"A": 3, "B": 3, "C": 2}
    assert {row["value"]: row["n"] for row in age["subgroups"]["gender"]} == {"female": 4, "male": 4}
    lines = "\n".join(summary_lines(evaluation))
    assert "age: MAE to the bin's midpoint" in lines
    assert "age: MAE " not in lines.replace("age: MAE to the bin's midpoint", "")
    page = (evaluation.folder / "report.html").read_text()
    assert "MAE to the bin&#x27;s midpoint" in page or "MAE to the bin's midpoint" in page
    assert (evaluation.folder / "scatter_age.png").stat().st_size > 1000


def test_the_predictor_answers_every_task(faces):
    (answer,) = Predictor(faces.run_folder, detector=DrawnFace()).predict(draw("val/003.jpg", 0, face=True), "val/003.jpg")
    assert set(answer.label) == {"emotion", "smile", "gender", "age"}
    assert 0 <= answer.label["age"] <= 100
    assert set(answer.probabilities) == {"emotion", "smile", "gender"}


def test_each_sample_counts_only_for_the_tasks_it_is_labelled_for(faces):
    stage = StageData(faces, 1, build_tasks(faces), {"face"})
    assert stage.class_counts["smile"] == [7, 7]
    assert stage.class_counts["emotion"] == [2] * 7
    assert stage.class_counts["age"] == [14, pytest.approx(np.median([1, 14.5, 34.5, 85] * 3 + [1, 14.5]))]


def test_training_with_one_source_only_works_where_the_other_tasks_are_optional(data, tmp_path, capsys):
    only = ["data.sources=[{manifest: data/genki4k/manifest.parquet}]"]
    with pytest.raises(UserError, match=r"task 'emotion' reads the label column 'emotion'.*tasks\.emotion\.optional=true"):
        fit_stage(shipped("bknet_smile_emotion_gender", data, tmp_path, *only), 1)
    optional = [f"tasks.{name}.optional=true" for name in ("emotion", "gender")]
    config = shipped("bknet_smile_emotion_gender", data, tmp_path, *only, *optional)
    fit_stage(config, 1)
    row = next(csv.DictReader((config.run_folder / "stage1/metrics.csv").open()))
    assert row["val/mean"] == row["val/smile/accuracy"]
    assert row["val/emotion/accuracy"] == "nan"
    assert capsys.readouterr().out.count("its head stays untrained and answers nothing") == 2
    evaluation = evaluate_run(config.run_folder, "test")
    assert list(evaluation.metrics["tasks"]) == ["smile"]
    assert "not judged, no training row was labelled for it: emotion, gender" in summary_lines(evaluation)
    assert "No training row was labelled for emotion, gender" in (evaluation.folder / "report.html").read_text()
    (answer,) = Predictor(config.run_folder, detector=DrawnFace()).predict(draw("val/003.jpg", 0, face=True), "val/003.jpg")
    assert set(answer.label) == {"smile"}


def test_an_undeclared_label_names_file_and_row(data, tmp_path):
    config = shipped("faces_shared", data, tmp_path, "tasks.smile.classes=[smiling, grinning]")
    with pytest.raises(UserError, match=r"genki4k/manifest\.parquet: row 0 \(train/000\.jpg\) has smile = 'not_smiling'"):
        Rows(config, build_tasks(config))


def test_balanced_sources_are_drawn_equally_and_a_factor_repeats_its_source(data, tmp_path):
    rows = {"genki4k": 14, "fer2013": 14, "fairface": 14}
    factor = shipped("bknet_smile_emotion_gender", data, tmp_path, weights=True)
    drawn = [count for _, count in StageData(factor, 1, build_tasks(factor), {"face"}).batches.cells]
    assert drawn == [10 * rows["genki4k"], rows["fer2013"], 5 * rows["fairface"]]
    balanced = shipped("bknet_smile_emotion_gender", data, tmp_path, "data.sampling=balanced", weights=True)
    drawn = [count for _, count in StageData(balanced, 1, build_tasks(balanced), {"face"}).batches.cells]
    assert drawn == [26, 3, 13], "42 draws shared out 10 : 1 : 5, each share rounded"

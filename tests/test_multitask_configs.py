"""The shipped multi-task configs train an epoch on small made-up sources, are judged, compared and used like every other run."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_manifest import DrawnFace, draw, manifest_row

from caer.comparison.networks import compare_networks, single_task
from caer.comparison.networks_report import write_comparison
from caer.config import Config, load_config
from caer.data.loaders import StageData
from caer.data.rows import Rows
from caer.engine.module import check_monitor
from caer.engine.run import fit_stage
from caer.engine.stages import trainable_parameters
from caer.evaluation.console import summary_lines
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.predictions import read_predictions
from caer.models import build_model
from caer.predict import Predictor
from caer.tasks import build_tasks
from preprocessing.errors import UserError
from preprocessing.manifest import write_manifest
from preprocessing.pipeline import process
from preprocessing.settings import Settings

EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
GROUPS = [(0.0, 2.0), (10.0, 19.0), (30.0, 39.0), (70.0, None)]
SMALL = ["device=cpu", "precision='32'", "data.workers=0", "data.batch_size=14", "stages.1.epochs=1", "model.face.weights=none"]


def of(names):
    return lambda i: names[i % len(names)]


SOURCES = {
    "genki4k": {"smile": of(["not_smiling", "smiling"])},
    "fer2013": {"emotion": of(EMOTIONS)},
    "fairface": {
        "gender": of(["female", "male"]),
        "race": of(["A", "B", "C"]),
        "age_low": lambda i: GROUPS[i % 4][0],
        "age_high": lambda i: GROUPS[i % 4][1],
    },
    "imdb_wiki": {"gender": of(["male", "female"]), "age": lambda i: float(3 + 11 * i % 90)},
    "clothes": {
        "sleeve": of(["long_sleeve", "short_sleeve", "sleeveless"]),
        "neckline": of(["crew_neckline", "v_neckline", "square_neckline", "no_neckline"]),
        "texture": of(["floral|striped", "none", "solid", None]),
    },
}


def made_source(folder, name, splits):
    """A manifest of drawn faces with a source's labels."""
    settings, rows, labels = Settings(min_size=8, image_short=128), [], SOURCES[name]
    for split, count in splits.items():
        for i in range(count):
            key = f"{split}/{i:03d}.jpg"
            record = process(draw(f"{name}{key}", i % 3, True), settings, DrawnFace(), key)[0]
            values = {task: value(i) for task, value in labels.items()}
            rows.append(manifest_row(folder, record, source=name, key=key, split=split, group="", labels=values))
    kinds = {task: "double" if task.startswith("age") else "string" for task in labels}
    write_manifest(folder, [rows], kinds, {"dataset": {"type": name}, "settings": settings.model_dump(), "counts": {}})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        made_source(folder / "data" / name, name, {"train": 14, "val": 8, "test": 8})
    return folder


def shipped(name, data, runs, *overrides, weights=False):
    """A shipped config on the made-up sources, each drawn once unless its weights are wanted."""
    config = load_config(ROOT / f"configs/multitask/{name}.yaml", [*SMALL, *overrides])
    sources = [
        s.model_copy(update={"manifest": data / s.manifest} | ({} if weights else {"weight": 1.0})) for s in config.data.sources
    ]
    update = {"data": config.data.model_copy(update={"sources": sources}), "runs": runs}
    return Config.model_validate(config.model_copy(update=update).model_dump())


TINY = ["model.face.backbone=test_efficientnet", "data.image_size.face=48"]
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
def test_a_shipped_config_trains_an_epoch(name, data, tmp_path):
    result = fit_stage(shipped(name, data, tmp_path / "runs", *CONFIGS[name]), 1)
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
    assert "not judged, no row of test is labelled for it: emotion, gender" in summary_lines(evaluation)
    assert "No row is labelled for emotion, gender" in (evaluation.folder / "report.html").read_text()
    (answer,) = Predictor(config.run_folder, detector=DrawnFace()).predict(draw("val/003.jpg", 0, face=True), "val/003.jpg")
    assert set(answer.label) == {"smile"}


def test_an_undeclared_label_names_file_and_row(data, tmp_path):
    config = shipped("faces_shared", data, tmp_path, "tasks.smile.classes=[smiling, grinning]")
    with pytest.raises(UserError, match=r"genki4k/manifest\.parquet: row 0 has smile = 'not_smiling'"):
        Rows(config, build_tasks(config))


def test_balanced_sources_are_drawn_equally_and_a_factor_repeats_its_source(data, tmp_path):
    rows = {"genki4k": 14, "fer2013": 14, "fairface": 14}
    factor = shipped("bknet_smile_emotion_gender", data, tmp_path, weights=True)
    drawn = [count for _, count in StageData(factor, 1, build_tasks(factor), {"face"}).batches.cells]
    assert drawn == [10 * rows["genki4k"], rows["fer2013"], rows["fairface"]]
    balanced = shipped("bknet_smile_emotion_gender", data, tmp_path, "data.sampling=balanced", weights=True)
    drawn = [count for _, count in StageData(balanced, 1, build_tasks(balanced), {"face"}).batches.cells]
    assert drawn == [35, 4, 4], "42 draws shared out 10 : 1 : 1"


def test_one_network_is_compared_with_one_for_each_task(data, tmp_path):
    config = shipped("dataframe_xception", data, tmp_path / "runs", *TINY)
    comparison = compare_networks(config, "val")
    assert [(task.task, task.score, task.rows) for task in comparison.tasks] == [
        ("sleeve", "accuracy", 8),
        ("neckline", "accuracy", 8),
        ("texture", "exact", 6),
    ]
    assert all(task.difference.value == pytest.approx(task.together.value - task.alone.value) for task in comparison.tasks)
    assert comparison.training > 0
    assert min(comparison.inference) > 0
    page = write_comparison(comparison, config, tmp_path / "reports")
    assert "| sleeve: accuracy | 8 |" in page.read_text()
    assert "all scores are optimistic" in page.read_text()
    assert "{" not in page.read_text()
    stored = json.loads((tmp_path / "reports/compare_tasks.json").read_text())
    assert stored["inference_ratio"] == pytest.approx(comparison.inference[1] / comparison.inference[0])


def test_a_task_alone_keeps_everything_but_the_other_tasks(faces):
    alone = single_task(faces, "age")
    assert list(alone.tasks) == ["age"]
    assert alone.monitor.metric == "age/closeness"
    assert alone.stages == faces.stages
    assert alone.run_folder != faces.run_folder
    assert (
        single_task(
            faces.model_copy(update={"monitor": faces.monitor.model_validate({"metric": "loss", "mode": "min"})}), "smile"
        ).monitor.mode
        == "min"
    )


def test_a_two_branch_model_cannot_be_compared_so():
    with pytest.raises(UserError, match="model of type multitask with two tasks or more"):
        compare_networks(load_config(ROOT / "configs/demo.yaml"))

"""The Predictor answers a photo as the evaluation answers the same photo's manifest row."""

from pathlib import Path

import numpy as np
import pytest
from made_manifest import CLASSES, DrawnFace, draw, made_config, made_manifest

from caer.data.rows import Rows
from caer.engine.run import fit_stage
from caer.evaluation.evaluate import evaluate_run
from caer.predict import Predictor
from preprocessing.errors import UserError
from preprocessing.images import encode_jpeg
from preprocessing.settings import Settings


def train(folder: Path, precision: str):
    manifest = made_manifest(folder / "data", {"train": 30, "val": 9}, no_face_every=4)
    config = made_config(manifest, holdout_fraction=0.3)
    config = config.model_copy(update={"runs": folder / "runs", "precision": precision})
    for stage in config.stages:
        fit_stage(config, stage)
    return config


@pytest.fixture(scope="module", params=["32", "bf16"])
def config(request, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"), request.param)


def photo_of(row) -> np.ndarray:
    return draw(row.image, CLASSES.index(row.label_emotion), row.status == "ok")


def manifest_rows(config, tasks):
    return {row.sample_id: row for row in Rows(config, tasks).split("val").itertuples()}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_predict_answers_as_evaluate_does(config, stage):
    run = config.run_folder / f"stage{stage}"
    predictor = Predictor(run, detector=DrawnFace())
    table = evaluate_run(run, "val", report=False).predictions.rows
    rows = manifest_rows(config, predictor.run.tasks)
    tolerance = 1e-5 if predictor.precision == "32" else 0.02
    assert len(table) == 9
    for expected in table.itertuples():
        row = rows[expected.sample_id]
        (answer,) = predictor.predict(photo_of(row), row.image)
        assert answer.status == row.status
        if expected.answered_by == "prior":
            assert (answer.answered_by, answer.probabilities, answer.label) == ("none", {}, {})
            continue
        assert answer.answered_by == expected.answered_by
        assert answer.probabilities["emotion"] == pytest.approx(np.array(expected.prob_emotion), abs=tolerance)
        assert answer.label["emotion"] == CLASSES[int(np.argmax(answer.probabilities["emotion"]))]
        if expected.gates_emotion is not None:
            assert answer.gates["emotion"] == pytest.approx(np.array(expected.gates_emotion), abs=tolerance)


def test_no_face_is_answered_from_the_context_and_says_so(config):
    predictor = Predictor(config.run_folder, detector=DrawnFace())
    (answer,) = predictor.predict(draw("val/000.jpg", 0, face=False))
    assert (answer.status, answer.answered_by, answer.box, answer.landmarks, answer.score) == (
        "no_face",
        "context",
        None,
        None,
        None,
    )
    assert answer.gates["emotion"][0] == 0
    assert answer.probabilities["emotion"].sum() == pytest.approx(1)
    assert answer.attention.sum() == pytest.approx(1, abs=1e-2)
    (answer,) = Predictor(config.run_folder / "stage1", detector=DrawnFace()).predict(draw("val/000.jpg", 0, face=False))
    assert (answer.status, answer.answered_by, answer.label) == ("no_face", "none", {})


def test_coordinates_are_the_photos(config):
    (answer,) = Predictor(config.run_folder, detector=DrawnFace()).predict(draw("val/003.jpg", 0, face=True), "val/003.jpg")
    assert answer.box.tolist() == [41, 25, 101, 85]
    assert answer.landmarks.shape == (5, 2)
    assert (answer.landmarks > answer.box[:2]).all()
    assert (answer.landmarks < answer.box[2:]).all()


def test_every_face_of_a_photo_is_answered_in_one_batch_as_alone(config):
    class Two(DrawnFace):
        def detect(self, image, key=""):
            return [*super().detect(image, "7"), *super().detect(image, "3")]

    photo = draw("val/003.jpg", 0, face=True)
    predictor = Predictor(config.run_folder, Settings(select="all", min_size=8, image_short=128), Two())
    answers = predictor.predict(photo)
    assert [a.rank for a in answers] == [0, 1]
    predictor.detector = DrawnFace()
    alone = {tuple(a.box): a for key in ("3", "7") for a in predictor.predict(photo, key)}
    for answer in answers:
        assert answer.probabilities["emotion"] == pytest.approx(alone[tuple(answer.box)].probabilities["emotion"], abs=0.02)


def test_files_and_arrays_alike_and_broken_ones_by_status(config, tmp_path):
    predictor = Predictor(config.run_folder, detector=DrawnFace())
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "good.jpg").write_bytes(encode_jpeg(draw("3.jpg", 0, face=True), 95))
    assert [a.status for a in predictor.predict(tmp_path / "good.jpg", "3.jpg")] == ["ok"]
    for name, status in (("empty.jpg", "empty"), ("text.jpg", "unreadable")):
        (answer,) = predictor.predict(str(tmp_path / name))
        assert (answer.status, answer.answered_by) == (status, "none")
        assert answer.reason
    with pytest.raises(UserError, match="no such file"):
        predictor.predict(tmp_path / "absent.jpg")
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match="uint8 RGB"):
            predictor.predict(array)


def test_settings_come_from_the_run(config):
    settings = Predictor(config.run_folder, detector=DrawnFace()).settings
    assert (settings.min_size, settings.image_short) == (8, 128)


def test_no_run_there_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such run folder"):
        Predictor(tmp_path / "absent")

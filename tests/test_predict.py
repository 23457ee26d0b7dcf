"""The Predictor answers a photo as the evaluation answers the same photo's manifest row."""

import shutil

import numpy as np
import pytest
from conftest import require
from made_manifest import CLASSES, DrawnFace, draw, made_config, made_manifest
from PIL import Image

from caer.data.rows import Rows
from caer.engine.run import fit_stage
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.predictions import predict_rows
from caer.predict import Predictor
from caer.predict.networks import run_settings
from preprocessing.datasets import image_folder
from preprocessing.errors import UserError
from preprocessing.files import read_json, write_json
from preprocessing.images import encode_jpeg
from preprocessing.manifest import read_manifest
from preprocessing.pipeline import build_detector, preprocess
from preprocessing.settings import Settings
from preprocessing.weights import retinaface_onnx


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    manifest = made_manifest(folder / "data", {"train": 24, "val": 9}, no_face_every=4)
    config = made_config(manifest, holdout_fraction=0.3, batch_size=8)
    config = config.model_copy(update={"runs": folder / "runs", "precision": "32"})
    for stage in config.stages:
        fit_stage(config, stage)
    return config


@pytest.fixture
def bf16_run(config, tmp_path):
    """A copy of the last stage that says it was trained in bf16."""
    run = tmp_path / "stage3"
    shutil.copytree(config.run_folder / "stage3", run)
    write_json(run / "provenance.json", read_json(run / "provenance.json", "") | {"precision": "bf16"})
    return run


def photo_of(row) -> np.ndarray:
    return draw(row.image, CLASSES.index(row.label_emotion), row.status == "ok")


def manifest_rows(config, tasks):
    return {row.sample_id: row for row in Rows(config, tasks).split("val").itertuples()}


def compare(config, run, tolerance):
    """Each validation photo through the Predictor, beside the evaluation's table; returns who answered."""
    predictor = Predictor(run, detector=DrawnFace())
    table = evaluate_run(run, "val", report=False).predictions.rows
    rows = manifest_rows(config, predictor.run.tasks)
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
    return set(table["answered_by"])


@pytest.mark.parametrize(("stage", "who"), [(1, {"model", "prior"}), (2, {"model"}), (3, {"model", "context"})])
def test_predict_answers_as_evaluate_does(config, stage, who):
    assert compare(config, config.run_folder / f"stage{stage}", 1e-5) == who


def test_a_run_trained_in_bf16_is_answered_in_float32(config, bf16_run):
    compare(config, bf16_run, 0.01)  # the evaluation rounds to bf16's 8 bits


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
        assert answer.probabilities["emotion"] == pytest.approx(alone[tuple(answer.box)].probabilities["emotion"], abs=1e-5)


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


def test_a_detector_that_reads_a_file_is_built_again_from_the_manifest(tmp_path):
    Image.fromarray(np.full((60, 80, 3), 120, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\na.png,10,10,40,40\n")
    wanted = Settings(detector={"type": "boxes", "files": [str(tmp_path / "boxes.csv")]})
    dataset = image_folder.build(image_folder.Config(type="image_folder", root=tmp_path))
    meta = read_manifest(preprocess(dataset, wanted, tmp_path / "out", workers=1).manifest).meta
    settings = run_settings({"manifests": [meta]}, tmp_path)
    (face,) = build_detector(settings).detect(np.zeros((60, 80, 3), np.uint8), "a.png")
    assert face.box.tolist() == [10, 10, 40, 40]


def test_no_run_there_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such run folder"):
        Predictor(tmp_path / "absent")


def test_real_photos_are_answered_from_their_files_as_their_rows_are(config, astronaut, tmp_path):
    """Files with EXIF orientation, PNG and JPEG; the default detector; two faces, one face, none."""
    try:
        retinaface_onnx()
    except UserError as error:
        require("weights", False, str(error))
    photos = {
        "val/smile/both.png": np.concatenate([astronaut, astronaut[:, ::-1]], axis=1),
        "val/sad/one.jpg": astronaut,
        "val/angry/none.jpg": np.full((120, 200, 3), 90, np.uint8),
    }
    for name, pixels in photos.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels if name != "val/sad/one.jpg" else np.ascontiguousarray(np.rot90(pixels)))
        exif = image.getexif()
        exif[0x0112] = 1 if name != "val/sad/one.jpg" else 6  # turned by a quarter, and the file says so
        image.save(tmp_path / "photos" / name, exif=exif)
    dataset = image_folder.build(image_folder.Config(root=tmp_path / "photos"))
    settings = Settings(select="all")
    preprocess(dataset, settings, tmp_path / "data", workers=1)
    real = made_config(tmp_path / "data" / "manifest.parquet")
    predictor = Predictor(config.run_folder, settings)
    rows = Rows(real, predictor.run.tasks).split("val")
    assert sorted(rows["status"]) == ["no_face", "ok", "ok", "ok"]
    how = {"device": predictor.network.device, "precision": "32", "priors": {"emotion": [1 / 3] * 3}}
    table = predict_rows(predictor.network.model, predictor.run.tasks, rows, real, "fused", **how)
    for image, expected in table.assign(rank=rows["rank"]).groupby("image"):
        answers = predictor.predict(tmp_path / "photos" / image)
        assert [a.rank for a in answers] == list(expected["rank"])
        for answer, row in zip(answers, expected.itertuples(), strict=True):
            assert (answer.status, answer.answered_by) == (row.status, row.answered_by)
            assert answer.probabilities["emotion"] == pytest.approx(np.array(row.prob_emotion), abs=1e-5)
            assert answer.gates["emotion"] == pytest.approx(np.array(row.gates_emotion), abs=1e-5)

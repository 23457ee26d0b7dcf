"""What stands behind the tabs Predict, Runs and Library, without a browser."""

import copy
import io
import os
import shutil
import zipfile
import zlib

import numpy as np
import pytest
from made_manifest import DrawnFace, draw
from made_predictions import made_predictions
from made_run import made_run
from PIL import Image

from caer.evaluation.predictions import Predictions, write_predictions
from caer.predict import FacePrediction, Predictor
from caer.web.cards import answer_card
from caer.web.report_list import Reports
from caer.web.run_list import compared, curves, evaluations, find_stages, summary
from caer.web.upload import MAX_BYTES, MAX_SIDE, read_upload
from caer.web.what_if import WAYS, what_if
from preprocessing.errors import UserError
from preprocessing.files import write_json


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return made_run(tmp_path_factory)


@pytest.fixture(scope="module")
def predictor(config):
    return Predictor(config.run_folder, detector=DrawnFace())


def file_of(pixels, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


PHOTO = draw("3.jpg", 1, face=True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_photos_of_each_format_are_decoded(kind):
    assert read_upload(file_of(PHOTO, kind)).shape == PHOTO.shape


def test_a_photo_is_upright_whatever_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_upload(file_of(PHOTO, "JPEG", exif=exif)).shape == (220, 150, 3)


def png_that_claims(width, height):
    def chunk(kind, content):
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, content)
    return buffer.getvalue()


HOSTILE = {
    "nothing": (b"", "no photo in a known format"),
    "text": (b"hello", "no photo in a known format"),
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>',
        "no photo in a known",
    ),
    "html": (b"<!doctype html><img src=x onerror=alert(1)>", "no photo in a known format"),
    "eps, which an interpreter would run": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "no photo in a known",
    ),
    "archive": (zipped("../../etc/cron.d/x", b"x"), "no photo in a known format"),
    "20,000 px wide": (png_that_claims(20_000, 100), "20000 x 100 pixels; at most 16384 to a side"),
    "20,000 px in a line": (file_of(np.zeros((1, 20_000, 3), np.uint8), "PNG"), "20000 x 1 pixels"),
    "20,000 px to each side": (png_that_claims(20_000, 20_000), "pixels"),
    "bomb": (png_that_claims(100_000, 100_000), "pixels"),
    "more pixels than there are bytes": (png_that_claims(5_000, 5_000), "cannot be decoded"),
    "cut off head": (file_of(PHOTO, "JPEG")[:20], "no photo in a known format"),
    "too many bytes": (b"\xff\xd8" + b"x" * MAX_BYTES, "at most 20 are taken"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_one_clear_line(name):
    content, expected = HOSTILE[name]
    with pytest.raises(UserError, match=expected) as error:
        read_upload(content)
    assert "\n" not in str(error.value)


def test_of_a_file_that_is_two_things_only_the_pixels_count():
    photo = file_of(PHOTO, "PNG")
    for rest in (b"<script>alert(1)</script>", zipped("x", b"x")):
        assert np.array_equal(read_upload(photo + rest), PHOTO)
        with pytest.raises(UserError):
            read_upload(rest + photo)
    assert MAX_SIDE < 20_000


def test_as_it_is_says_what_the_predictor_says(predictor):
    (face,) = predictor.predict(PHOTO, "3.jpg")
    imagined = what_if(predictor, PHOTO)
    # a photo without a key is searched for the face at place 0
    (face,) = predictor.predict(PHOTO)
    assert list(imagined) == [0]
    assert tuple(imagined[0]) == WAYS
    assert imagined[0]["seen"].probabilities["emotion"] == pytest.approx(face.calibrated["emotion"], abs=1e-5)
    for way in WAYS:
        assert imagined[0][way].probabilities["emotion"].sum() == pytest.approx(1)


def test_what_is_hidden_cannot_change_the_answer(predictor):
    photo = draw("0.jpg", 1, face=True)  # the face at 20, 10, 80, 70; its crop ends at 110, 100
    elsewhere, other_face = photo.copy(), photo.copy()
    elsewhere[110:, 120:] = 255 - elsewhere[110:, 120:]
    other_face[12:68, 22:78] = 255 - other_face[12:68, 22:78]
    now, scene, face = (what_if(predictor, image)[0] for image in (photo, elsewhere, other_face))

    def distance(a, b, way):
        return np.abs(a[way].probabilities["emotion"] - b[way].probabilities["emotion"]).max()

    assert distance(now, scene, "seen") > 1e-4
    assert distance(now, scene, "context hidden") < 1e-6
    assert distance(now, face, "seen") > 1e-4
    assert distance(now, face, "face hidden") < distance(now, face, "seen") / 2
    assert now["face hidden"].gates["emotion"][0] == 0


def test_nothing_is_imagined_without_a_face_or_with_one_branch(config, predictor):
    assert what_if(predictor, draw("0.jpg", 1, face=False)) == {}
    assert what_if(Predictor(config.run_folder / "stage1", detector=DrawnFace()), PHOTO) == {}


def test_a_card_shows_classes_gates_and_what_is_hidden_as_text(predictor):
    (face,) = predictor.predict(PHOTO)
    card = answer_card(face, predictor.tasks, what_if(predictor, PHOTO)[0])
    for shown in ("smile", "sad", "angry", "face gate", "context gate", "context hidden", "face hidden", "Face 1"):
        assert shown in card
    assert "context hidden" not in answer_card(face, predictor.tasks, None)


def test_a_card_escapes_what_comes_from_outside():
    face = FacePrediction("<b>x</b>", "<img src=x onerror=alert(1)>")
    card = answer_card(face, {}, None)
    assert "<img" not in card
    assert "<b>" not in card
    assert "&lt;img" in card


@pytest.fixture
def runs(config, tmp_path):
    """A folder of runs of the test's own."""
    shutil.copytree(config.runs, tmp_path / "runs")
    return tmp_path / "runs"


def test_runs_are_listed_with_what_is_wrong_with_them(runs):
    broken = runs / "broken" / "seed1" / "stage1"
    broken.mkdir(parents=True)
    (broken / "provenance.json").write_text("{")
    (runs / "begun" / "variant" / "seed1" / "stage1").mkdir(parents=True)
    stages = {stage.name: stage for stage in find_stages(runs)}
    assert list(stages) == [
        "begun/variant/seed1/stage1",
        "broken/seed1/stage1",
        *(f"made/seed3/stage{n}" for n in (1, 2, 3)),
    ]
    assert [stage.finished for stage in stages.values()] == [False, False, True, True, True]
    table = summary(list(stages.values())).set_index("run")
    assert table.loc["begun/variant/seed1/stage1", "state"] == "not finished"
    assert "cannot be read" in table.loc["broken/seed1/stage1", "state"]
    assert table.loc["made/seed3/stage3", "output"] == "fused"
    assert curves(stages["broken/seed1/stage1"]).empty


def test_a_run_that_answers_otherwise_by_now_is_opened_again(runs, monkeypatch):
    pytest.importorskip("streamlit", reason="the page's requirement is not installed")
    from caer.web.tabs import predict as tab

    monkeypatch.setattr(tab, "Predictor", lambda folder: Predictor(folder, detector=DrawnFace()))
    stage = find_stages(runs)[-1]

    def opened():
        return tab._predictor(stage.folder, stage.stamps)

    first = opened()
    assert opened() is first
    assert first.temperatures == {}
    val = made_predictions([0, 1, 2], [0, 1, 1])
    meta = val.meta | {"weights_sha256": stage.facts["weights_sha256"]}
    write_predictions(Predictions(val.rows, meta), stage.seed_folder / "eval" / "val" / "predictions.parquet")
    assert set(opened().temperatures) == {"emotion"}
    facts = copy.deepcopy(stage.facts)
    facts["manifests"][0]["settings"]["threshold"] = 0.125
    write_json(stage.folder / "provenance.json", facts)
    assert opened().settings.threshold == 0.125


def test_curves_of_chosen_runs_stand_side_by_side(config):
    stages = [stage for stage in find_stages(config.runs) if stage.finished]
    table = compared(stages, "val/emotion/accuracy")
    assert list(table.columns) == [stage.name for stage in stages]
    assert list(table.index) == [1]
    assert compared(stages, "no such metric").empty


def test_scores_of_evaluations_come_with_their_intervals(runs):
    stage = find_stages(runs)[-1]
    estimate = {"value": 0.8, "low": 0.7, "high": 0.9}
    write_json(
        stage.seed_folder / "eval/test/metrics.json", {"tasks": {"emotion": {"rows": {"all": {"accuracy": estimate, "n": 9}}}}}
    )
    write_json(stage.seed_folder / "eval/val/metrics.json", {"tasks": []})
    assert evaluations(stage) == {"test": {"emotion/accuracy": estimate}}


def test_reports_are_found_by_a_key_and_never_outside(tmp_path):
    pages = ["reports/study/report.html", "runs/a/seed1/eval/test/report.html", "runs/a/v/seed1/eval/val/report.html"]
    for page in pages:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text(page)
    (tmp_path / "secret.html").write_text("secret")
    os.symlink(tmp_path / "secret.html", tmp_path / "reports/study/link.html")
    reports = Reports(tmp_path / "reports", tmp_path / "runs")
    assert [entry.name for entry in reports.entries()] == pages
    assert all(reports.file(entry.key).read_text() == entry.name for entry in reports.entries())
    assert reports.file("../secret.html") is None

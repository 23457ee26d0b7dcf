"""`python -m caer predict`: folders, patterns, broken files; answers that do not depend on their company."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_manifest import DrawnFace, draw
from made_run import copied_run

from caer.evaluation.calibration import fit_temperature, rescale
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.predictions import task_rows
from caer.predict import Photo, Predictor, batch
from caer.predict.batch import predict_paths
from caer.predict.sources import find_sources
from preprocessing.errors import UserError
from preprocessing.files import write_atomic
from preprocessing.images import encode_png


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return copied_run(tmp_path_factory)


@pytest.fixture
def drawn(monkeypatch):
    """The command with the detector that knows where `draw` puts faces."""
    monkeypatch.setattr(batch, "Predictor", lambda run: Predictor(run, detector=DrawnFace()))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for i in range(7):
        name = folder / ("ảnh có dấu" if i % 2 else "b") / f"{i:03d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(encode_png(draw(f"{i:03d}", i % 3, face=i != 4)))
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no photo")
    (folder / "b" / "loop").symlink_to(folder, target_is_directory=True)
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("drawn")
def test_a_folder_gives_each_photo_its_lines_in_order(run, photos, tmp_path, capsys):
    status = predict_paths(run, [photos], tmp_path / "out" / "f.jsonl", tmp_path / "pictures")
    found = lines(tmp_path / "out" / "f.jsonl")
    names = [str(Path(line["path"]).relative_to(photos)) for line in found]
    assert names == sorted(names, key=lambda name: Path(name).as_posix())
    assert status == {"ok": 6, "no_face": 1, "empty": 1, "unreadable": 1}
    by_name = {Path(line["path"]).name: line for line in found}
    assert len(by_name) == 9
    assert (by_name["004.png"]["answered_by"], by_name["004.png"]["box"]) == ("context", None)
    answer = by_name["003.png"]["tasks"]["emotion"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert set(answer["gates"]) == {"face", "context"}
    assert by_name["empty.jpg"]["tasks"] == {}
    assert by_name["text.jpg"]["reason"]
    assert "1 .txt" in capsys.readouterr().err
    drawn = sorted(p.relative_to(tmp_path / "pictures").as_posix() for p in (tmp_path / "pictures").rglob("*.jpg"))
    assert drawn == sorted(f"{name}.jpg" for name in names if name.endswith(".png"))


@pytest.mark.usefixtures("drawn")
def test_parquet_holds_what_the_lines_say(run, photos, tmp_path):
    predict_paths(run, [photos], tmp_path / "f.jsonl")
    predict_paths(run, [photos], tmp_path / "f.parquet")
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    for row, line in zip(rows, lines(tmp_path / "f.jsonl"), strict=True):
        assert [row[name] for name in ("path", "status", "answered_by", "rank")] == [
            line[name] for name in ("path", "status", "answered_by", "rank")
        ]
        said = line["tasks"].get("emotion")
        assert row["emotion"] == (said and said["label"])
        if said:
            assert row["emotion_probabilities"] == pytest.approx(said["probabilities"], abs=1e-5)
            assert row["emotion_confidence"] == pytest.approx(said["confidence"], abs=1e-5)


def test_an_answer_does_not_depend_on_its_company(run):
    predictor = Predictor(run, detector=DrawnFace())
    shots = [Photo(str(i), f"{i:03d}", pixels=draw(f"{i:03d}", i % 3, face=i != 4)) for i in range(11)]
    alone = {photo.path: predictor.predict(photo.pixels, photo.key) for photo in shots}
    for size, order in ((32, shots), (3, shots), (4, shots[::-1])):
        answers = list(predictor.predict_many(iter(order), batch_size=size))
        assert [a.photo.path for a in answers] == [photo.path for photo in order]
        for answered in answers:
            for face, lone in zip(answered.faces, alone[answered.photo.path], strict=True):
                assert face.probabilities["emotion"] == pytest.approx(lone.probabilities["emotion"], abs=1e-5)
                assert face.gates["emotion"] == pytest.approx(lone.gates["emotion"], abs=1e-5)


def test_confidence_is_that_of_the_temperature_fitted_on_val(run):
    predictions = evaluate_run(run, "val", report=False).predictions
    val = task_rows(predictions, "emotion")
    looked = val.answered_by != "prior"
    temperature = fit_temperature(val.targets[looked], val.probabilities[looked])
    predictor = Predictor(run, detector=DrawnFace())
    assert predictor.temperatures["emotion"] == pytest.approx(temperature)
    (answer,) = predictor.predict(draw("003", 0, face=True), "003")
    expected = rescale(answer.probabilities["emotion"][None], temperature)[0].max()
    assert answer.confidence["emotion"] == pytest.approx(expected)
    (run / "eval" / "val" / "predictions.parquet").unlink()
    as_trained = Predictor(run, detector=DrawnFace())
    assert as_trained.temperatures == {}
    (answer,) = as_trained.predict(draw("003", 0, face=True), "003")
    assert answer.confidence["emotion"] == pytest.approx(answer.probabilities["emotion"].max())


def test_one_face_that_cannot_be_cut_costs_no_other(run):
    class Flat(DrawnFace):
        def detect(self, image, key=""):
            good = super().detect(image, "3")
            return good + [type(f)(f.box + np.float32(1), np.zeros((5, 2), np.float32), 0.95) for f in good]

    answers = Predictor(run, detector=Flat()).predict(draw("3", 0, face=True))
    assert [(a.status, a.answered_by) for a in answers] == [("ok", "model"), ("failed", "none")]
    assert "coincide" in answers[1].reason


@pytest.mark.parametrize(
    ("paths", "out", "words"),
    [
        (["absent.jpg"], None, "no such file"),
        (["*.nothing"], None, "no pattern that fits"),
        (["void"], None, "no photos found"),
        (["photos"], "out.csv", "ends in .jsonl or .parquet"),
        (["photos"], "photos/text.jpg", "ends in .jsonl"),
    ],
)
def test_wrong_paths_are_one_line_before_anything_is_loaded(photos, tmp_path, monkeypatch, paths, out, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match=words):
        predict_paths(Path("no-run"), [Path(p) for p in paths], Path(out) if out else None)


def test_a_photo_is_never_written_over(photos):
    (photos / "a.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="would be overwritten"):
        predict_paths(Path("no-run"), [photos], None, photos)


@pytest.mark.usefixtures("drawn")
def test_photos_of_one_name_get_pictures_of_their_own(run, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(encode_png(draw("1", 0, face=True)))
    predict_paths(run, [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"], tmp_path / "o.jsonl", tmp_path / "p")
    assert len(list((tmp_path / "p").rglob("*.jpg"))) == 2


@pytest.mark.usefixtures("drawn")
def test_what_stops_half_way_leaves_no_file(run, photos, tmp_path, monkeypatch):
    def stop(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "annotate", stop)
    for name in ("f.jsonl", "f.parquet"):
        with pytest.raises(OSError, match="No space"):
            predict_paths(run, [photos], tmp_path / name, tmp_path / "pictures")
        assert not [p for p in tmp_path.rglob("*") if p.name.startswith((name, f".{name}"))]


def test_patterns_folders_and_files_named_twice_count_once(photos):
    found = find_sources([photos / "b" / "*.png", photos, photos / "b" / "000.png", photos / "**" / "00[13].png"])
    names = [path.name for path, _ in found.files]
    assert sorted(names) == sorted(set(names))
    assert len(names) == 9


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems allow no such name")
def test_names_that_are_no_utf8_are_answered(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(name, "wb") as file:
        file.write(encode_png(draw("1", 0, face=True)))
    (photo,) = find_sources([tmp_path])
    assert photo.path.endswith("caf\\xe9.png")
    assert photo.read(10**6).shape == (150, 220, 3)


def test_a_write_that_fails_leaves_no_half_a_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "card.md", "words")
    assert list(tmp_path.iterdir()) == []

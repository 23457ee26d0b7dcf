"""Answers of every kind of task - classes, ordered classes, tags, numbers - as lines, table rows and pictures."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from caer.predict.annotate import annotate
from caer.predict.answers import FacePrediction, to_json
from caer.predict.predictor import Predictor
from caer.predict.sources import Photo
from caer.predict.table import answer_fields, answer_row, column_name
from caer.tasks import classification, multilabel, ordinal, regression

TASKS = {
    "emotion": classification.build(classification.Config(classes=["smile", "sad"]), "emotion"),
    "age": ordinal.build(ordinal.Config(type="ordinal", classes=["baby", "child", "senior"]), "age"),
    "wears": multilabel.build(multilabel.Config(classes=["hat", "glasses"]), "wears"),
    "years": regression.build(regression.Config(range=(0, 100)), "years"),
    "status": classification.build(classification.Config(classes=["yes", "no way"]), "status"),
}
OUTPUT = {
    "probabilities_emotion": np.array([[0.9, 0.1], [0.2, 0.8]], np.float32),
    "probabilities_age": np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32),
    "probabilities_wears": np.array([[0.9, 0.8], [0.1, 0.2]], np.float32),
    "probabilities_years": np.array([[71.5], [3.0]], np.float32),
    "probabilities_status": np.array([[0.3, 0.7], [0.5, 0.5]], np.float32),
    "gates_emotion": np.array([[0.2, 0.9], [0, 0.5]], np.float32),
}


@pytest.fixture
def faces() -> list[FacePrediction]:
    predictor = object.__new__(Predictor)
    predictor.tasks, predictor.temperatures = TASKS, {"emotion": 2.0}
    rows = predictor._decode(OUTPUT, np.array([True, False]))
    return [FacePrediction("ok", answered_by="model", rank=i, **row) for i, row in enumerate(rows)]


def test_labels_are_in_the_words_of_the_annotation(faces):
    assert [face.label["emotion"] for face in faces] == ["smile", "sad"]
    assert [face.label["age"] for face in faces] == ["senior", "baby"]
    assert [face.label["wears"] for face in faces] == ["hat|glasses", "none"]
    assert [face.label["years"] for face in faces] == [71.5, 3.0]


def test_only_one_of_k_classes_has_a_confidence_and_numbers_have_no_probabilities(faces):
    assert set(faces[0].confidence) == {"emotion", "age", "status"}
    assert set(faces[0].probabilities) == {"emotion", "age", "wears", "status"}
    # a temperature of 2 takes the square root of the odds
    assert faces[0].confidence["emotion"] == pytest.approx(3 / 4)
    assert faces[0].confidence["age"] == pytest.approx(0.7)


def test_lines_are_plain_json(faces):
    line = json.loads(json.dumps(to_json(Photo("a.jpg"), faces[0], TASKS), allow_nan=False))
    assert line["tasks"]["years"] == {"label": 71.5}
    assert line["tasks"]["wears"]["probabilities"] == {"hat": 0.9, "glasses": 0.8}
    assert line["tasks"]["emotion"]["gates"] == {"face": 0.2, "context": 0.9}


def test_rows_fit_their_table_and_no_task_hides_a_column(faces):
    schema = pa.schema(answer_fields(TASKS))
    assert len(set(schema.names)) == len(schema.names)
    table = pa.Table.from_pylist([answer_row(face, TASKS) for face in faces], schema=schema)
    assert table["years"].to_pylist() == [71.5, 3.0]
    assert table["status"].to_pylist() == ["ok", "ok"]
    assert table[column_name("status")].to_pylist() == ["no way", "yes"]
    assert table["age_probabilities"].to_pylist()[1] == pytest.approx({"baby": 0.6, "child": 0.3, "senior": 0.1})


def test_pictures_show_all_of_them(faces):
    picture = Image.open(io.BytesIO(annotate(np.zeros((400, 600, 3), np.uint8), faces, TASKS)))
    assert picture.height > 400, "five tasks need more room than the photo has"

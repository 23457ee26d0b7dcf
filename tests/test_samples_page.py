"""Learning curves and the page of sample predictions, over made-up runs of every kind of task."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_report import HOSTILE, Reader

from caer.engine.history import read_csv, write_csv
from caer.evaluation.judged import NumberRows
from caer.evaluation.number_summary import main_score, number_summary
from caer.evaluation.predictions import Predictions
from caer.report import answers, curves, galleries, numbers, samples

NAN = math.nan


def made(**columns) -> Predictions:
    """Four rows of two sources with the given columns for tasks `smile`, `age` and `look`, the last without any annotation."""
    rows = {
        "sample_id": ["d", "c", "b", "a"],
        "source": ["genki", "genki", "fairface", "fairface"],
        "image": [f"{i}.jpg" for i in range(4)],
        "status": ["ok"] * 4,
        "answered_by": ["model"] * 4,
        "target_smile": [1, 0, -1, -1],
        "prob_smile": [[0.2, 0.8], [0.3, 0.7], [0.9, 0.1], [0.6, 0.4]],
        "target_age": [NAN, 31.0, 24.5, NAN],
        "low_age": [NAN, 31.0, 20.0, NAN],
        "high_age": [NAN, 31.0, 29.0, NAN],
        "pred_age": [40.0, 28.04, 29.0, 50.0],
        "target_look": [0b01, 0b00, 0b11, -1],
        "prob_look": [[0.9, 0.1], [0.1, 0.2], [0.9, 0.4], [0.9, 0.9]],
    } | columns
    meta = {
        "tasks": {"smile": ["no", "yes"], "age": [], "look": ["hat", "beard"]},
        "kinds": {"smile": "classes", "age": "number", "look": "tags"},
        "facts": {"age": {"unit": "years", "range": [0, 100]}, "look": {"threshold": 0.5}},
    }
    return Predictions(pd.DataFrame(rows), meta)


def told(predictions, row):
    return {a.task: (a.said, a.annotated, a.right) for a in answers.answers(predictions, row)}


def test_answers_of_every_kind():
    predictions = made()
    assert told(predictions, 0) == {
        "smile": ("yes 80%", "yes", True),
        "age": ("40.0 years", None, None),
        "look": ("hat", "hat", True),
    }
    assert told(predictions, 1) == {
        "smile": ("yes 70%", "no", False),
        "age": ("28.0 years", "31 (−3.0)", None),
        "look": ("none", "none", True),
    }
    assert told(predictions, 2) == {
        "smile": ("no 90%", None, None),
        "age": ("29.0 years", "20 to 29", True),
        "look": ("hat", "hat, beard", False),
    }
    assert {right for _, _, right in told(predictions, 3).values()} == {None}


def test_samples_are_spread_over_sources_in_the_order_of_ids():
    predictions = made()
    assert samples.pick_by_source(predictions) == [3, 1, 2, 0]
    assert samples.pick_by_source(predictions, 3) == [3, 1, 2]
    assert samples.pick_by_source(made(status=["ok", "no_face", "ok", "ok"], answered_by=["prior"] + ["model"] * 3)) == [3, 2]


def page_of(predictions):
    picture = galleries.jpeg(np.full((30, 30, 3), 128, np.uint8))
    picks = samples.pick_by_source(predictions)
    shots = [galleries.Shots(picture, None, None)] * len(picks)
    return samples.samples_page("made", predictions, picks, shots)


def test_the_page_says_what_is_right_what_is_wrong_and_what_nobody_knows():
    reader = Reader(page_of(made()))
    words = " ".join(reader.words)
    assert sum(tag == "img" for tag, _ in reader.tags) == 4
    assert "genki: 2 of 2 right" in words
    assert "genki: 1 of 2 right" in words
    assert "fairface: 1 of 2 right" in words
    assert "annotated hat, beard" in words
    assert words.count("✗") == 1 + 2  # one in the explanation


def test_hostile_names_stay_text():
    predictions = made(image=[HOSTILE] * 4, source=[HOSTILE] * 4)
    predictions.meta["tasks"]["smile"] = [HOSTILE, HOSTILE]
    reader = Reader(page_of(predictions))
    assert not any(attributes.get("src") == "x" for _, attributes in reader.tags)


def number_rows(targets, answers) -> NumberRows:
    n = len(answers)
    rows = pd.DataFrame({"source": "made", "group": "", "image": [f"{i}.jpg" for i in range(n)]})
    targets = np.array(targets, float)
    return NumberRows(rows, targets, np.array(answers, float), {}, 30.0, "years", (0.0, 100.0), np.ones(n, bool), np.arange(n))


def test_the_middle_of_the_answers_to_each_interval():
    spans = [[20, 29]] * 5 + [[30, 39]] * 5 + [[70, 100]]
    found = numbers.middles(number_rows(spans, [21, 22, 23, 24, 25, 31, 31, 33, 40, 41, 75]))
    assert [(place, median) for place, (_, median, _) in found] == [(24.5, 23), (34.5, 33)]


def test_the_middle_of_the_answers_to_each_tenth_of_known_numbers():
    ages = np.arange(100.0)
    found = numbers.middles(number_rows(np.stack([ages, ages], axis=1), ages + 3))
    assert len(found) == 10
    assert all(median == pytest.approx(place + 3) for place, (_, median, _) in found)
    assert sum(len(numbers.middles(number_rows([[40.0, 40.0]] * n, [41.0] * n))) for n in (4, 5)) == 1


@pytest.mark.parametrize(
    ("targets", "heads"), [([[20, 29]] * 6, ["midpoint", "Distance", "Inside"]), ([[20, 20]] * 6, ["MAE (years)"])]
)
def test_only_scores_that_the_annotations_define_have_columns(targets, heads):
    task = number_rows(targets, [22.0] * 6)
    page = " ".join(numbers.number_sections("age", number_summary(task), numbers.scatter(task), several=False))
    words = " ".join(Reader(page).words)
    assert all(head in words for head in heads)
    assert "undefined" not in words
    assert ("Inside" in words) == ("Inside" in heads)


def test_known_numbers_and_intervals_beside_each_other_say_of_how_many_rows_each_score_is():
    task = number_rows([[20, 20]] * 3 + [[20, 29]] * 5, [22.0] * 8)
    summary = number_summary(task)
    assert (summary["rows"]["all"]["n"], summary["rows"]["all"]["known"]) == (8, 3)
    page = " ".join(Reader(" ".join(numbers.number_sections("age", summary, numbers.scatter(task), several=False))).words)
    assert page.count("(of 3)") == 2, "once for all rows, once for those with a face"
    assert "(of 5)" in page
    assert main_score(summary["rows"]["all"])[0] == "mae_to_midpoint", "most rows are intervals"
    assert main_score(number_summary(number_rows([[20, 20]] * 5 + [[20, 29]] * 3, [22.0] * 8))["rows"]["all"])[0] == "mae"


def test_answers_beyond_the_range_are_crosses_and_counted(monkeypatch):
    labels = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_ylabel", lambda self, label: labels.append(label))
    numbers.scatter(number_rows([[20, 20]] * 3, [22.0, 130.0, -4.0]))
    numbers.scatter(number_rows([[20, 20]] * 3, [22.0, 100.0, 0.0]))
    assert labels == ["predicted (years); crosses: 2 outside of the range", "predicted (years)"]


def history(tmp_path, **columns):
    """A metrics.csv of three epochs as training writes it, read back."""
    rows = [
        {
            "epoch": float(i + 1),
            "train/age/loss": 1 / (i + 1),
            "val/age/loss": 1.2 / (i + 1),
            **{k: v[i] for k, v in columns.items()},
        }
        for i in range(3)
    ]
    write_csv(tmp_path / "metrics.csv", rows)
    return read_csv(tmp_path / "metrics.csv")


def test_history_comes_back_as_training_wrote_it(tmp_path):
    assert read_csv(tmp_path / "metrics.csv") == []
    (first, *_, last) = history(tmp_path, **{"val/age/mae": [9.1, NAN, 7.0]})
    assert (first["val/age/mae"], last["epoch"]) == (9.1, 3.0)
    (tmp_path / "metrics.csv").write_text("epoch,val/age/mae\n1,\n")
    assert read_csv(tmp_path / "metrics.csv") == [{"epoch": 1.0}]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (
            {"val/age/accuracy": [0.3, 0.4, 0.5], "val/age/macro_f1": [0.3, 0.4, 0.5], "val/age/nll": [1, 1, 1]},
            ["accuracy", "macro_f1"],
        ),
        ({"val/age/mae": [NAN] * 3, "val/age/mae_to_midpoint": [9, 8, 7], "val/age/inside": [0.1, 0.2, 0]}, ["mae_to_midpoint"]),
        ({"val/age/map": [0.1, 0.2, NAN]}, ["map"]),
        ({}, []),
    ],
)
def test_curves_show_the_scores_that_there_are(tmp_path, columns, shown):
    epochs = history(tmp_path, **columns)
    assert list(curves.scores_to_show(epochs, "age")) == shown
    picture = Image.open(io.BytesIO(curves.curves(epochs, "age", best=2)))
    assert picture.width > 1.5 * picture.height


def test_the_section_of_curves(tmp_path):
    assert curves.curves_section({}, 0, None) == ""
    text = curves.curves_section({"age": curves.curves(history(tmp_path), "age", None), HOSTILE: b"\x89PNG"}, 3, 2)
    reader = Reader(text)
    assert "epoch 2, whose weights are evaluated here" in " ".join(reader.words)
    assert not any(attributes.get("src") == "x" for _, attributes in reader.tags)

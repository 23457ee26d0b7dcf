"""The page: self-contained, escaped, complete; pictures for ordinary and for odd scores."""

import io
import re

import cv2
import numpy as np
import pytest
from made_predictions import made_predictions
from page_reader import HOSTILE, Reader
from PIL import Image

from caer.evaluation import summary
from caer.evaluation.predictions import task_rows
from caer.report import galleries, html, page, plots, sections, sheets
from caer.report.galleries import Sample
from caer.report.provenance import provenance_section
from caer.report.scored_rows import subgroups_section


def made_metrics(classes: list[str] | None = None) -> dict:
    """The content of a metrics.json over made-up predictions with branches and gates."""
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, 60).tolist()
    answers, face, context = (
        np.where(rng.random(60) < skill, targets, rng.integers(0, 3, 60)).tolist() for skill in (0.8, 0.7, 0.4)
    )
    gates = [(0.6, 0.3)] * 60
    predictions = made_predictions(targets, answers, face=face, context=context, gates=gates, classes=classes)
    task = summary.summarize(predictions, predictions)["emotion"]
    task["subgroups"] = {HOSTILE: [{"value": HOSTILE, **summary.scores(task_rows(predictions, "emotion"), np.ones(60, bool))}]}
    views = {"face": 0.7, "context": 0.4, "both": 0.75, "both_with_cue": 0.9}
    task["ceilings"] = {"n": 60, "expected": views, "on_these_labels": views}
    versions = {"python": "3"}
    run = {
        "name": "made",
        "seed": 1,
        "stage": 3,
        "output": "fused",
        "row_hash": "r" * 64,
        "protocol_hash": "p" * 64,
        "weights_sha256": "w" * 64,
        "manifest_hashes": ["m" * 64],
        "evaluated_by": {"commit": "c" * 40, "machine": {"processor": "x", "cores": 2, "gpu": None}, "versions": versions},
        "trained": {"commit": "t" * 40, "precision": "32", "best_epoch": 2, "monitor": {"metric": "emotion/accuracy"}},
        "config": {"name": HOSTILE},
    }
    rows = {"all": 60, "detected": 60, "by_status": {"ok": 60}, "answered_by": {"model": 60}, "rejected_in_review": 0}
    looks = {"time": "2026-01-01T00:00:00+00:00", "split": "test", "earlier_looks": 2}
    return {"schema_version": 1, "run": run, "split": "test", "rows": rows, "looks": looks, "tasks": {"emotion": task}}


def whole_page(metrics: dict) -> str:
    task = metrics["tasks"]["emotion"]
    parts = [page.header(metrics), *page.task_sections("emotion", task, page.draw(task), several=False)]
    return html.page(page.title(metrics), *parts, provenance_section(metrics))


def picture(width: int = 40, height: int = 30) -> bytes:
    return galleries.jpeg(np.full((height, width, 3), 128, np.uint8))


def sample(**changes) -> Sample:
    facts = {
        "face": picture(30),
        "scene": picture(60),
        "target": "sad",
        "predicted": "smile",
        "confidence": 0.91,
        "gates": (0.7, 0.2),
        "peak": 3.2,
        "image": "photos/1.jpg",
        "answered_by": "model",
    }
    return Sample(**{**facts, **changes})


def test_the_page_is_well_formed_and_needs_nothing_from_outside():
    text = whole_page(made_metrics())
    reader = Reader(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    sources = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    assert len(sources) == 4
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r'src="data:[^"]*"', "", text))
    assert all(attributes.get("alt") for tag, attributes in reader.tags if tag == "img")
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)


def test_hostile_names_stay_text_everywhere():
    metrics = made_metrics([HOSTILE, "sad", "$x^2"])
    gallery = sheets.attention_section([sample(image=HOSTILE, target=HOSTILE, predicted=HOSTILE)])
    reader = Reader(whole_page(metrics) + gallery)
    assert not any(attributes.get("src") == "x" for _, attributes in reader.tags)
    assert any(HOSTILE in words for words in reader.words)
    assert html.text("a\x1b[31m\nb") == "a\\x1b[31m\\x0ab"


def test_the_page_shows_the_numbers_of_metrics_json():
    metrics = made_metrics()
    words = " ".join(Reader(whole_page(metrics)).words)
    task = metrics["tasks"]["emotion"]
    assert f"{100 * task['rows']['all']['accuracy']['value']:.1f}" in words
    assert "Look number 3" in words
    assert "Both, with the cue" in words
    for fact in ("c" * 40, "t" * 40, "r" * 64, "p" * 64, "m" * 64, "w" * 64):
        assert fact in words


def test_validation_pages_say_that_they_are_optimistic():
    assert "optimistic" in page.header({**made_metrics(), "looks": None, "split": "val"})


def test_numbers_as_written():
    assert html.interval({"value": 0.7816, "low": 0.741, "high": 0.82}) == "78.2 [74.1, 82.0]"
    assert html.interval({"value": -0.0004, "low": -0.031, "high": 0.02}, signed=True) == "0.0 [−3.1, +2.0]"
    assert html.interval({"value": None, "low": None, "high": None}) == "–"
    assert html.percent(None) == html.number(float("nan")) == "–"
    assert "track" not in html.estimate_cell({"value": 0.5, "low": None, "high": None})


def test_runs_of_one_branch_have_no_empty_sections():
    predictions = made_predictions([0, 1, 2, 0], [0, 1, 1, 0], face=[0, 1, 1, 0])
    task = summary.summarize(predictions, None)["emotion"]
    drawn = page.draw(task)
    assert set(drawn) == {"confusion", "reliability"}
    assert (
        sections.branches_section(task, drawn) == sections.gates_section(task, drawn) == subgroups_section(task, [], list) == ""
    )


@pytest.mark.parametrize("count", [2, 3, 12])
def test_plots_are_pictures_for_any_number_of_classes(count):
    classes = [f"a rather long class name {i}" for i in range(count)]
    drawn = plots.confusion(classes, np.eye(count, dtype=int).tolist())
    assert Image.open(io.BytesIO(drawn)).size[0] > 600


def test_samples_are_picked_as_said():
    predictions = made_predictions(
        [0, 0, 0, 1, 1, 2], [0, 1, 0, 1, 0, 0], status=["ok", "ok", "ok", "ok", "no_face", "ok"], confidence=0.7
    )
    task = task_rows(predictions, "emotion")
    assert galleries.pick_by_class(task, 4) == [0, 3, 5, 1]
    assert galleries.pick_mistakes(task) == [1, 4, 5]


def test_an_even_attention_colours_nothing_and_a_peak_colours_its_place():
    photo = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    even = galleries.overlay(photo, np.full((4, 6), 1 / 24))
    expected = 0.55 * cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None] + 0.25 * photo
    np.testing.assert_allclose(even, expected, atol=1)
    peaked = np.full((4, 6), 0.001)
    peaked[0, 0] = 1 - 0.023
    shown = galleries.overlay(photo, peaked)
    assert np.abs(shown[:10, :10].astype(int) - even[:10, :10]).mean() > 40
    np.testing.assert_allclose(shown[45:, 60:], even[45:, 60:], atol=1)


def test_gallery_cards_and_contact_sheets():
    samples = [sample(), sample(face=None, answered_by="context", gates=(0.0, 0.4)), sample(scene=None, peak=None)]
    card = Reader(sheets.attention_section(samples))
    assert sum(tag == "img" for tag, _ in card.tags) == 3
    assert "no face: context only" in " ".join(card.words)
    assert sheets.attention_section([sample(peak=None)]) == ""
    assert Image.open(io.BytesIO(sheets.contact_sheet(samples))).size == (1620, 270)
    assert sheets.headline(sample(target="smile")) == "smile 91%"


def test_a_run_that_looked_at_no_row_has_a_reliability_diagram_that_says_so():
    assert plots.reliability({"bins": [], "ece": None}, None).startswith(b"\x89PNG")


@pytest.mark.parametrize("scores", [(0.92, 0.957), (0.61, 0.614), (0.61, 0.66), (0.2, 0.9)])
def test_no_two_ticks_of_an_axis_in_percent_say_the_same(scores):
    figure, (axes,) = plots.new_figure(2.7)
    axes.plot([1, 2], scores)
    plots.in_percent(axes.yaxis)
    plots.png(figure)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) > 2
    assert len(set(labels)) == len(labels)

"""The photo store behind the tab Library: choices become one safe condition."""

import pytest

pytest.importorskip("duckdb", reason="the photo store's requirement is not installed")

import os

import pyarrow as pa

from caer.library.store import Library, write_library
from caer.web.photo_store import Choices, PhotoStore
from preprocessing.errors import UserError

ROWS = [
    ("a.jpg", "smile", 0.9, [0.0, 0.0, 9.0, 9.0]),
    ("b.jpg", "it's <b>", 0.6, [0.0, 0.0, 9.0, 9.0]),
    ("c.jpg", "smile", 0.4, None),
    ("../outside.jpg", "sad", 0.8, [0.0, 0.0, 9.0, 9.0]),
]


@pytest.fixture
def store(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("photos/a.jpg", "outside.jpg"):
        (tmp_path / name).write_bytes(b"x")
    os.symlink(tmp_path / "outside.jpg", tmp_path / "photos" / "b.jpg")
    rows = [
        {
            "path": path,
            "rank": 0,
            "status": "ok" if box else "no_face",
            "answered_by": "model",
            "box": box,
            "score": 0.99,
            "emotion": label,
            "emotion_confidence": sure,
            "emotion_gates": [0.5, 0.5],
        }
        for path, label, sure, box in ROWS
    ]
    write_library(tmp_path / "l.parquet", Library(pa.Table.from_pylist(rows), str(tmp_path / "photos"), {}))
    return PhotoStore(tmp_path / "l.parquet")


def found(store, **choices):
    return [row["path"] for row in store.page(store.where(Choices(**choices)), 0, 10)]


def test_choices_leave_what_they_name(store):
    assert store.tasks == ["emotion"]
    assert store.answers["emotion"] == ["it's <b>", "sad", "smile"]
    assert found(store) == ["../outside.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert found(store, answers={"emotion": ("smile",)}) == ["a.jpg", "c.jpg"]
    assert found(store, answers={"emotion": ("it's <b>", "sad")}) == ["../outside.jpg", "b.jpg"]
    assert found(store, answers={"emotion": ("smile",)}, confidence=0.5) == ["a.jpg"]
    assert found(store, faces="no") == ["c.jpg"]
    assert found(store, faces="yes", condition="emotion_confidence > 0.7 OR path = 'b.jpg'") == [
        "../outside.jpg",
        "a.jpg",
        "b.jpg",
    ]


def test_pages_follow_each_other(store):
    pages = [[row["path"] for row in store.page("true", number, 3)] for number in (0, 1)]
    assert [*pages[0], *pages[1]] == found(store)
    assert store.count("true") == 4


@pytest.mark.parametrize(
    "condition", ["1; DROP TABLE library", "path IN (SELECT 1)", "read_text('/etc/passwd') = ''", "nonsense"]
)
def test_conditions_that_ask_for_more_are_refused(store, condition):
    with pytest.raises(UserError):
        store.count(store.where(Choices(condition=condition)))


def test_photos_outside_the_folder_are_not_shown(store):
    rows = {row["path"]: row for row in store.page("true", 0, 10)}
    shown = {path: store.file(row) is not None for path, row in rows.items()}
    assert shown == {"a.jpg": True, "b.jpg": False, "c.jpg": False, "../outside.jpg": False}


def test_headlines_say_the_answer(store):
    assert [store.headline(row) for row in store.page("true", 0, 2)] == ["sad 80%", "smile 90%"]

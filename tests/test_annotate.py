"""Annotated pictures: readable at any size, for any number of faces, whatever names the classes have."""

import io

import numpy as np
import pytest
from PIL import Image

from caer.predict.annotate import SMALLEST, annotate, picture_name
from caer.predict.answers import FacePrediction
from caer.predict.sources import Photo
from caer.tasks import classification

CLASSES = ["smile", "<b>sad</b>", "a class whose name is longer than any card is wide, by far"]
TASKS = {"emotion": classification.build(classification.Config(classes=CLASSES), "emotion")}


def answer(rank: int, box, chosen: int = 0, **changes) -> FacePrediction:
    values = np.full(3, 0.1)
    values[chosen] = 0.8
    said = {"probabilities": {"emotion": values}, "calibrated": {"emotion": values}, "confidence": {"emotion": 0.8}}
    said |= {"label": {"emotion": CLASSES[chosen]}, "gates": {"emotion": np.array([0.2, 0.9])}}
    box = None if box is None else np.array(box, np.float32)
    return FacePrediction(**{"status": "ok", "answered_by": "model", "rank": rank, "box": box, **said, **changes})


def drawn(size: tuple[int, int], faces) -> np.ndarray:
    width, height = size
    content = annotate(np.full((height, width, 3), 128, np.uint8), faces, TASKS)
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (3000, 30), (30, 3000), (640, 480), (4000, 3000)])
def test_any_size_gets_its_cards_beside_the_whole_photo(size):
    width, height = size
    box = [0.3 * width, 0.3 * height, 0.6 * width, 0.6 * height]
    picture = drawn(size, [answer(0, box)])
    scale = max(1, SMALLEST / max(size))
    assert picture.shape[0] >= round(scale * height)
    cards = picture.shape[1] - round(scale * width)
    assert cards >= 200
    ink = picture[:, -cards:].min(axis=2) < 100
    assert ink.any(axis=1).sum() > 40, "the card holds text"


def test_the_box_is_drawn_where_the_face_is():
    plain, boxed = (drawn((800, 600), [answer(0, box)]) for box in (None, [200, 150, 400, 350]))
    rows, columns = np.nonzero((plain[:, :800].astype(int) - boxed[:, :800]).any(axis=2))
    changed = np.abs(plain[:, :800].astype(int) - boxed[:, :800]).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert 195 <= columns.min() <= 205
    assert 395 <= columns.max() <= 405
    assert 345 <= rows.max() <= 355
    assert not changed[200:300, 250:350].any()


def test_a_crowd_keeps_the_size_of_the_picture():
    crowd = [answer(i, [10 * i, 5, 10 * i + 8, 13], i % 3) for i in range(70)]
    assert drawn((800, 600), crowd).shape[0] == 600


def test_without_a_face_the_card_says_who_answered():
    pictures = [
        drawn((640, 480), [face])
        for face in (
            answer(0, None, answered_by="context", status="no_face"),
            FacePrediction("no_face", "no face with a score of at least 0.9"),
            FacePrediction("too_small", "x " * 400, box=np.array([5, 5, 9, 9], np.float32)),
        )
    ]
    assert len({picture[:480, 640:].tobytes() for picture in pictures}) == 3


def test_names_of_pictures_keep_folders_and_do_not_meet():
    photos = [Photo("x", key) for key in ("a/b.jpg", "a/b.png", "a/b.PNG", "c/b.jpg")]
    frames = [Photo("x", "film.mp4", frame=k) for k in (3, 12)]
    names = [picture_name(photo) for photo in photos + frames]
    assert names[:2] == ["a/b.jpg", "a/b.png.jpg"]
    assert names[4:] == ["film.mp4/frame0000003.jpg", "film.mp4/frame0000012.jpg"]
    assert len(set(names)) == len(names)
    assert all(name.endswith(".jpg") for name in names)

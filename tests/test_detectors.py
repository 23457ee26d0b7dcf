"""Detectors: decoding and suppression against plain definitions, boxes from lists, and the real network on a real face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import require
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.detectors import boxes, retinaface, whole
from preprocessing.detectors.base import Detector, decode, iou, non_maximum_suppression
from preprocessing.errors import UserError
from preprocessing.lookup import plugin_config
from preprocessing.types import Face


def plain_iou(a, b) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


@given(
    st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.integers(0, 6)), max_size=25), st.floats(0.05, 0.95, allow_subnormal=False)
)
@settings(max_examples=60, deadline=None)
def test_suppression_is_the_greedy_rule(rows, threshold):
    boxes_ = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], dtype=np.float64).reshape(-1, 4)
    scores = np.array([s / 6 for *_, s in rows])
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -scores[i]):
        if all(plain_iou(boxes_[i], boxes_[j]) <= threshold for j in kept):
            kept.append(i)
    assert non_maximum_suppression(boxes_, scores, threshold).tolist() == kept


def test_iou_by_hand():
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 10, 20, 20], [3, 3, 3, 3]], dtype=np.float64)
    assert np.allclose(iou(box, others), [1, 50 / 150, 0, 0])


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (400, 712)])
def test_decoding_inverts_encoding(size):
    anchors = retinaface.anchors(*size)
    assert len(anchors) == 2 * sum(-(-size[0] // s) * -(-size[1] // s) for s in (8, 16, 32))
    rng = np.random.default_rng(0)
    center = rng.uniform(0, 300, (len(anchors), 2))
    sides = rng.uniform(5, 200, (len(anchors), 2))
    points = rng.uniform(0, 300, (len(anchors), 5, 2))
    side = anchors[:, 2:]
    offsets = np.concatenate([(center - anchors[:, :2]) / (0.1 * side), np.log(sides / side) / 0.2], axis=1)
    shifts = ((points - anchors[:, None, :2]) / (0.1 * side[:, None])).reshape(-1, 10)
    found = decode(anchors, offsets, np.ones(len(anchors)), shifts, min_score=0.5, variances=(0.1, 0.2))
    assert np.allclose(found[0], np.concatenate([center - sides / 2, center + sides / 2], axis=1), atol=1e-2)
    assert np.allclose(found[1], points, atol=1e-2)


def test_anchor_order_is_grid_row_column_size():
    first = retinaface.anchors(16, 24)[:8].tolist()
    assert first == [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32], [20, 4, 16], [20, 4, 32], [4, 12, 16], [4, 12, 32]]


def test_whole_is_the_frame():
    (face,) = whole.build(whole.Config()).detect(np.zeros((48, 40, 3), np.uint8))
    assert face.box.tolist() == [0, 0, 40, 48]
    assert face.landmarks is None
    assert face.score == 1


def listed(tmp_path: Path, text: str, **options) -> boxes.Boxes:
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    return boxes.build(boxes.Config(files=tmp_path / "list.csv", **options))


IMAGE = np.zeros((100, 200, 3), np.uint8)


def test_boxes_without_header_are_clipped_to_the_frame(tmp_path):
    detector = listed(tmp_path, "train/Anger/1.png,0,-10,20,50,130\ntrain/Anger/2.png,Anger,10,20,300,90\n")
    (face,) = detector.detect(IMAGE, "train/Anger/1.png")
    assert face.box.tolist() == [0, 20, 50, 100]
    assert detector.detect(IMAGE, "train/Anger/2.png")[0].box.tolist() == [10, 20, 200, 90]
    assert detector.detect(IMAGE, "train/Anger/3.png") == []


def test_boxes_with_header_scores_and_landmarks(tmp_path):
    header = "file,x1,y1,x2,y2,score," + ",".join(boxes.LANDMARK_NAMES)
    lines = [
        "é a.png,1,2,30,40,0.5,1,2,3,4,5,6,7,8,9,10",
        "é a.png,5,5,60,60,0.9" + "," * 10,
        "é a.png,300,5,400,60,0.9" + "," * 10,
    ]
    text = "\n".join([header, *lines])
    faces = listed(tmp_path, text).detect(IMAGE, "e\u0301 a.png")
    assert [face.score for face in faces] == pytest.approx([0.9, 0.5])  # the third lies outside the frame
    assert faces[0].landmarks is None
    assert faces[1].landmarks.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b,c\n", "no column x1"),
        ("x1,y1,x2,y2,z,w,v\n", "no path column"),
        ("p.png,1,2,3,4\nq.png,1,2,x,4\n", "line 2"),
        ("p.png,1,2,3,nan\n", "line 1"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        listed(tmp_path, text)


def test_boxes_line_by_line_with_their_photos(tmp_path):
    (tmp_path / "photos.txt").write_text("a/1.png\na/2.png\n")
    (tmp_path / "boxes.txt").write_text("001 2 30 40\n 5 6 70 80 \n")
    one = {"files": [tmp_path / "boxes.txt"], "photos": [tmp_path / "photos.txt"]}
    detector = boxes.build(boxes.Config(**one))
    assert [detector.detect(IMAGE, f"a/{i}.png")[0].box.tolist() for i in (1, 2)] == [[1, 2, 30, 40], [5, 6, 70, 80]]
    with pytest.raises(ValueError, match="a list for each of the 1 `files`"):
        boxes.Config(**one | {"photos": [tmp_path / "photos.txt"] * 2})
    for lines, message in [(["1 2 3 4"], "1 boxes for the 2 photos"), (["1 2 3 4", "1 2 3"], "line 2: expected numbers")]:
        (tmp_path / "boxes.txt").write_text("\n".join(lines))
        with pytest.raises(UserError, match=message):
            boxes.build(boxes.Config(**one))


def test_an_absent_list_and_unknown_options_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv"):
        boxes.build(boxes.Config(files=[tmp_path / "absent.csv"]))
    with pytest.raises(UserError, match=r"unknown detector 'x'; known: .*retinaface"):
        plugin_config("preprocessing.detectors", {"type": "x"}, "detector")
    with pytest.raises(UserError, match="unknown key 'treshold'"):
        plugin_config("preprocessing.detectors", {"type": "retinaface", "treshold": 1}, "detector")


def test_landmarks_come_from_the_detection_that_overlaps_enough(tmp_path):
    class Two:
        def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
            spots = [([0, 0, 10, 10], 1.0), ([0, 0, 20, 20], 2.0), ([100, 50, 120, 70], 3.0)]
            return [Face(np.array(box, np.float32), np.full((5, 2), value, np.float32), 0.9) for box, value in spots]

    detector = listed(tmp_path, "a.png,0,0,18,18\na.png,110,60,160,100\n")
    detector.helper = Two()
    near, far = detector.detect(IMAGE, "a.png")
    assert near.landmarks is not None
    assert near.landmarks[0, 0] == 2
    assert far.landmarks is None


@pytest.fixture(scope="module")
def detector() -> Detector:
    try:
        return retinaface.build(retinaface.Config())
    except UserError as error:
        require("weights", False, str(error))
        raise


def test_a_real_face_is_found(detector, astronaut):
    faces = [face for face in detector.detect(astronaut) if face.score >= 0.9]
    assert len(faces) == 1
    x1, _, x2, y2 = faces[0].box
    assert np.abs(faces[0].box - [178, 70, 268, 190]).max() < 30
    left, right, nose, mouth_left, mouth_right = faces[0].landmarks
    assert x1 < left[0] < nose[0] < right[0] < x2
    assert left[1] < nose[1] < mouth_left[1] < y2
    assert mouth_left[0] < mouth_right[0]
    assert (detector.detect(astronaut)[0].box == faces[0].box).all()


def test_faces_do_not_depend_on_the_photo_being_big(detector, astronaut):
    (small,) = [face for face in detector.detect(astronaut) if face.score >= 0.9]
    (big,) = [face for face in detector.detect(cv2.resize(astronaut, None, fx=5, fy=5)) if face.score >= 0.9]
    assert iou(small.box * 5, big.box[None])[0] > 0.75
    assert np.abs(big.landmarks / 5 - small.landmarks).max() < 8


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (2000, 2, 3), (37, 53, 3)])
def test_any_size_is_accepted(detector, shape):
    assert [f for f in detector.detect(np.full(shape, 127, np.uint8)) if f.score >= 0.9] == []

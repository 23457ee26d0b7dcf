"""Which face becomes the sample."""

import numpy as np
import pytest

from preprocessing.select import select_faces
from preprocessing.types import Face


def face(x1, y1, x2, y2, score=0.95) -> Face:
    return Face(np.array([x1, y1, x2, y2], np.float32), None, score)


BIG, MIDDLE, SURE = face(0, 0, 30, 40, 0.91), face(45, 45, 55, 55, 0.95), face(80, 80, 95, 95, 0.99)
FACES = [SURE, MIDDLE, BIG]


@pytest.mark.parametrize(
    ("mode", "expected"), [("largest", [BIG]), ("central", [MIDDLE]), ("best", [SURE]), ("all", [BIG, SURE, MIDDLE])]
)
def test_modes(mode, expected):
    assert [f.box.tolist() for f in select_faces(FACES, mode, 100, 100)] == [f.box.tolist() for f in expected]
    assert select_faces([], mode, 100, 100) == []


def test_ties_do_not_depend_on_the_order_of_detection():
    twins = [face(50, 0, 60, 10), face(0, 0, 10, 10)]
    for mode in ("largest", "best"):
        assert select_faces(twins, mode, 60, 10)[0] is select_faces(twins[::-1], mode, 60, 10)[0]


def test_a_review_chooses_by_overlap():
    assert select_faces(FACES, "largest", 100, 100, np.array([44, 44, 56, 56], np.float32)) == [MIDDLE]
    assert select_faces(FACES, "largest", 100, 100, np.array([60, 0, 70, 5], np.float32)) == [BIG]  # overlaps none

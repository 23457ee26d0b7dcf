"""Masking hides every pixel that a box touches and no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.mask import mask_faces


# Training in the same process flushes subnormal numbers, which hypothesis would complain about.
def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


coordinate = numbers(-30, 90)
IMAGE = np.random.default_rng(3).integers(1, 256, (40, 60, 3), dtype=np.uint8)


@given(x1=coordinate, y1=coordinate, w=numbers(0, 60), h=numbers(0, 60), margin=numbers(0, 1))
@settings(max_examples=80, deadline=None)
def test_hidden_is_exactly_what_the_grown_box_touches(x1, y1, w, h, margin):
    result = mask_faces(IMAGE, np.array([[x1, y1, x1 + w, y1 + h]]), "black", margin)
    left, right, top, bottom = x1 - margin * w, x1 + w + margin * w, y1 - margin * h, y1 + h + margin * h
    x, y = np.arange(60), np.arange(40)
    inside = ((y + 1 > top) & (y < bottom))[:, None] & ((x + 1 > left) & (x < right))[None]
    assert ((result == 0).all(axis=2) == inside).all()
    assert (result[~inside] == IMAGE[~inside]).all()


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
def test_the_photo_is_not_changed_and_no_box_hides_nothing(fill):
    before = IMAGE.copy()
    result = mask_faces(IMAGE, np.zeros((0, 4)), fill, 0.5)
    assert (result == IMAGE).all()
    mask_faces(IMAGE, np.array([[5, 5, 20, 20]]), fill, 0.0)[:] = 0
    assert (before == IMAGE).all()


def test_mean_is_that_of_what_stays_visible():
    image = np.full((20, 20, 3), 100, np.uint8)
    image[5:10, 5:10] = 255
    result = mask_faces(image, np.array([[5, 5, 10, 10]]), "mean", 0.0)
    assert (result == 100).all()
    assert (mask_faces(image, np.array([[-1, -1, 30, 30]]), "mean", 0.0) == 0).all()


def test_blur_stays_inside_and_removes_detail():
    box = np.array([[10, 5, 42, 37]])
    result = mask_faces(IMAGE, box, "blur", 0.0)
    changed = (result != IMAGE).any(axis=2)
    assert not changed[:5].any()
    assert not changed[:, 42:].any()
    assert result[5:37, 10:42].std() < 0.3 * IMAGE[5:37, 10:42].std()


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
def test_boxes_of_one_pixel_and_overlapping_boxes(fill):
    boxes = np.array([[3, 3, 3.5, 3.5], [10, 10, 20, 20], [15, 15, 25, 25]])
    assert mask_faces(IMAGE, boxes, fill, 0.0).shape == IMAGE.shape

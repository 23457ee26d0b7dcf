"""The one warp from stored crop to input: it puts landmarks on the template and boxes in the middle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.align import TEMPLATE, alignment, cut, warp_face
from preprocessing.errors import UserError


@given(
    scale=st.floats(0.2, 5, allow_subnormal=False),
    angle=st.floats(-3, 3, allow_subnormal=False),
    shift=st.tuples(st.floats(-200, 200, allow_subnormal=False), st.floats(-200, 200, allow_subnormal=False)),
    size=st.integers(32, 384),
    margin=st.floats(0, 1, allow_subnormal=False),
)
@settings(max_examples=50, deadline=None)
def test_alignment_inverts_any_similarity(scale, angle, shift, size, margin):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = TEMPLATE @ turn.T + shift
    matrix = alignment(landmarks, size, margin)
    mapped = landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(mapped, (TEMPLATE / 112 + margin) * size / (1 + 2 * margin), atol=1e-6 * size)


def test_alignment_is_the_least_squares_similarity():
    rng = np.random.default_rng(0)
    landmarks = TEMPLATE + rng.normal(0, 6, TEMPLATE.shape)
    matrix = alignment(landmarks, 112, 0)
    # x' = a x - b y + c, y' = b x + a y + d as one linear system
    x, y = landmarks.T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, c, d = np.linalg.lstsq(system, TEMPLATE.T.ravel(), rcond=None)[0]
    assert np.allclose(matrix, [[a, -b, c], [b, a, d]], atol=1e-8)


def test_box_cut_is_centred_with_the_longer_side():
    box = np.array([10.0, 20.0, 50.0, 100.0])
    matrix = cut(box, 64, 0.25)
    center = matrix[:, :2] @ [30, 60] + matrix[:, 2]
    top = matrix[:, :2] @ [30, 20 - 0.25 * 80] + matrix[:, 2]
    assert np.allclose(center, 32)
    assert np.allclose(top, [32, 0])


def test_a_cut_at_scale_one_copies_pixels():
    crop = np.random.default_rng(1).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    result = warp_face(crop, np.array([10, 20, 42, 52]), None, 32, aligned=False, margin=0.0)
    assert (result == crop[20:52, 10:42]).all()


@pytest.mark.parametrize("size", [24, 48, 96, 200])
def test_shrinking_keeps_the_mean_and_the_place(size):
    crop = np.zeros((256, 256, 3), np.uint8)
    crop[64:192, 64:128] = 255  # left half of the box white, right half black
    result = warp_face(crop, np.array([64, 64, 192, 192]), None, size, aligned=False, margin=0.0).astype(float)
    assert abs(result.mean() - 127.5) < 4
    inner = result[3:-3]
    assert (inner[:, 3 : size // 2 - 2] > 250).all()
    assert (inner[:, size // 2 + 2 :] < 5).all()


def test_beyond_the_crop_is_black():
    crop = np.full((40, 40, 3), 200, np.uint8)
    result = warp_face(crop, np.array([-40, 0, 40, 40]), None, 40, aligned=False, margin=0.0)
    assert result[20, 0].tolist() == [0, 0, 0]
    assert result[20, 30].tolist() == [200, 200, 200]


def test_aligned_needs_landmarks_that_differ():
    crop = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(UserError, match="aligned: false"):
        warp_face(crop, np.array([0, 0, 20, 20]), None, 16, aligned=True, margin=0.0)
    with pytest.raises(UserError, match="coincide"):
        warp_face(crop, np.array([0, 0, 20, 20]), np.full((5, 2), 7.0), 16, aligned=True, margin=0.0)

"""Near duplicates: close hashes are those that comparing all pairs finds; a photo's edits are found, other photos are not."""

import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_photos import photo
from PIL import Image

from preprocessing import hamming
from preprocessing.fingerprint import DISTANCE, copies, fingerprint, near_duplicates
from preprocessing.hamming import close_pairs
from preprocessing.images import decode_jpeg, encode_jpeg
from preprocessing.registration import agreement


def pairs_of(hashes, probes, distance):
    found = [pair for i, j in close_pairs(hashes, probes, distance) for pair in zip(i.tolist(), j.tolist(), strict=True)]
    assert len(found) == len(set(found))
    return set(found)


def brute_force(hashes, probes, distance):
    near = np.bitwise_count(hashes[:, None] ^ probes[None, :]) <= distance
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True) if i < j}


@st.composite
def hash_arrays(draw):
    """Hashes of which many differ in a few bits only."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    members = draw(st.lists(st.tuples(st.sampled_from(centres), st.lists(st.integers(0, 63), max_size=9)), max_size=30))
    values = [centre ^ sum(1 << bit for bit in set(bits)) for centre, bits in members]
    return np.array(values, dtype=np.uint64)


@given(hash_arrays(), st.integers(0, 11), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_close_pairs_are_those_of_all_pairs(hashes, distance, random):
    assert pairs_of(hashes, hashes, distance) == brute_force(hashes, hashes, distance)
    probes = hashes.copy()
    random.shuffle(probes)
    assert pairs_of(hashes, probes, distance) == brute_force(hashes, probes, distance)


def test_full_buckets_are_compared_in_pieces(monkeypatch):
    monkeypatch.setattr(hamming, "_AT_ONCE", 50)
    hashes = np.array([7] * 40 + [7 << 32] * 3, dtype=np.uint64)
    pieces = [len(i) for i, _ in close_pairs(hashes, hashes, 4)]
    assert max(pieces) <= 50
    assert pairs_of(hashes, hashes, 4) == brute_force(hashes, hashes, 4)


EDITS = {
    "copy": lambda x: x.copy(),
    "resaved": lambda x: decode_jpeg(encode_jpeg(x, 40)),
    "half the size": lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brighter": lambda x: np.clip(x.astype(int) + 25, 0, 255).astype(np.uint8),
    "less contrast": lambda x: (x * 0.7 + 40).astype(np.uint8),
    "cropped by 3%": lambda x: x[2:-3, 3:-4],
    "mirrored": lambda x: x[:, ::-1],
    "mirrored and resaved": lambda x: decode_jpeg(encode_jpeg(np.ascontiguousarray(x[:, ::-1]), 60)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_photo_is_a_duplicate(edit):
    prints = [fingerprint(photo(seed)) for seed in range(8)] + [fingerprint(EDITS[edit](photo(5)))]
    assert near_duplicates(prints).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 5]
    assert copies(prints)[-1] == (5 if edit == "copy" else 8)


def test_duplicates_of_a_duplicate_are_one_cluster():
    shifted = [np.ascontiguousarray(photo(1)[:, k : 220 + k]) for k in range(0, 20, 2)]
    prints = [fingerprint(image) for image in [photo(0), *shifted]]
    assert near_duplicates(prints).tolist() == [0] + [1] * 10
    assert near_duplicates([prints[1], prints[-1]]).tolist() == [0, 1]  # the ends alone are no duplicates


def test_faces_framed_and_lit_alike_are_no_duplicates():
    """One large soft shape, its details different: thumbnails correlate by more than 0.97, their details do not."""
    shape = cv2.resize(np.outer(np.hanning(9), np.hanning(9)), (240, 180))[..., None] * 200
    images = [np.clip(shape + photo(seed) * 0.25, 0, 255).astype(np.uint8) for seed in (1, 2)]
    prints = [fingerprint(x) for x in images]
    assert np.corrcoef(*(p.thumbnail.ravel() for p in prints))[0, 1] > 0.97
    assert near_duplicates(prints).tolist() == [0, 1]


def test_scenes_in_one_frame_are_no_duplicates():
    """A strong frame in common, another middle: hash and rough comparison take them for one."""
    frame = np.clip(photo(9).astype(int) * 4 - 400, 0, 255).astype(np.uint8)
    images = [frame.copy(), frame.copy()]
    for image, seed in zip(images, (1, 2), strict=True):
        image[40:140, 55:185] = 100 + photo(seed)[40:140, 55:185] // 3
    prints = [fingerprint(x) for x in images]
    assert (prints[0].hash ^ prints[1].hash).bit_count() <= DISTANCE
    assert agreement(prints[0].thumbnail, prints[0].thumbnail) == pytest.approx(1, abs=1e-3)
    assert near_duplicates(prints).tolist() == [0, 1]


def test_pictures_without_contrast_are_copies_or_nothing():
    flat = [np.full((20, 20, 3), value, np.uint8) for value in (0, 0, 90)]
    assert near_duplicates([*map(fingerprint, flat), None, None]).tolist() == [0, 0, 2, 3, 4]


def test_pixels_of_another_shape_are_another_picture():
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    assert fingerprint(pixels).pixels != fingerprint(pixels.reshape(5, 20, 3)).pixels


def test_the_hash_is_imagehash_of_the_thumbnail():
    print_ = fingerprint(photo(3))
    bits = imagehash.phash(Image.fromarray(print_.thumbnail)).hash
    mine = np.unpackbits(np.frombuffer(print_.hash.to_bytes(8, "little"), np.uint8)).reshape(8, 8)
    assert (mine == bits).all()

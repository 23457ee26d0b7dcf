"""UTKFace: labels from names, names that do not fit reported one by one, splits that keep copies together."""

from collections import Counter

import pytest

from preprocessing.ages import six_groups
from preprocessing.datasets.utkface import Config, build
from preprocessing.errors import UserError

BAD = ["39_1_20170116174525125.jpg.chip.jpg", "53__0_20170116184028385.jpg", "34_2_0_20170116184028385.jpg", "me.jpg"]
"""The first two are in the set as published."""


def tree(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def read(root, **options):
    dataset = build(Config(root=root, **options))
    return list(dataset.samples()), dataset.notes


def test_labels_stand_in_the_name(tmp_path):
    names = [
        "part1/1_0_2_20161219140530307.jpg",
        "UTKFace/116_1_4_20170120134921760.jpg.chip.jpg",
        "24_0_1_20170116220224657 .jpg",
    ]
    samples, _ = read(tree(tmp_path, names))
    assert {s.image: dict(s.labels) for s in samples} == {
        names[0]: {"age": 1.0, "age_group": "baby", "gender": "male", "race": "Asian"},
        names[1]: {"age": 116.0, "age_group": "senior", "gender": "female", "race": "Others"},
        names[2]: {"age": 24.0, "age_group": "ten-twenty", "gender": "male", "race": "Black"},
    }


def test_each_name_that_does_not_fit_is_reported_and_keeps_its_row(tmp_path):
    samples, notes = read(tree(tmp_path, ["20_0_0_20170116184028385.jpg", *BAD]))
    assert {s.image for s in samples if not s.labels} == set(BAD)
    (named,) = (note for key, note in notes.items() if key.startswith("without labels"))
    assert named == sorted(BAD)


def test_mistyped_endings_as_published_are_read(tmp_path):
    mistyped = ["55_0_0_20170116232725357jpg.chip.jpg", "44_1_4_20170116235150272.pg.chip.jpg", "30_1_0_20170116232725358.JPG"]
    samples, notes = read(tree(tmp_path, [*mistyped, "30_1_0_20170116232725358.JPG.chip.jpg"]))
    assert [s.labels["age"] for s in samples] == [30, 30, 44, 55]
    assert [bool(s.group) for s in samples] == [True, True, False, False]
    assert not any(key.startswith("without labels") for key in notes)


def test_splits_keep_an_original_and_its_aligned_copy_together(tmp_path):
    stems = [f"{age}_{age % 2}_{age % 5}_2017011618402{age:04d}" for age in range(1, 101)]
    names = [f"{folder}/{stem}{end}" for stem in stems for folder, end in (("wild", ".jpg"), ("chip", ".jpg.chip.jpg"))]
    samples, notes = read(tree(tmp_path, names))
    splits = {}
    for s in samples:
        splits.setdefault(s.image.split("/")[1].split(".")[0], set()).add(s.split)
    assert all(len(found) == 1 for found in splits.values())
    assert abs(Counter(s.split for s in samples)["test"] - 20) <= 6
    assert all(s.labels["age_group"] == six_groups(s.labels["age"]) for s in samples)
    assert "by hash" in notes["splits"]
    assert read(tmp_path)[0] == samples


@pytest.mark.parametrize("names", [[], ["a/me.jpg", "b/you.jpg"]])
def test_another_folder_is_refused(tmp_path, names):
    with pytest.raises(UserError, match=r"expected UTKFace's names, \[age\]_\[gender 0\|1\]"):
        read(tree(tmp_path, names))

"""FairFace in the exact layouts of its two tables: splits, nested age groups, and errors that name the line."""

import cv2
import numpy as np
import pytest
from conftest import unpack

from preprocessing import ages
from preprocessing.ages import RANGES, six_groups
from preprocessing.datasets.fairface import Config, build
from preprocessing.errors import UserError

HEADER = "file,age,gender,race,service_test"
GROUPS = {
    "train": [f"train/{i}.jpg,{age},{'Male' if i % 2 else 'Female'},East Asian,True" for i, age in enumerate(RANGES, 1)],
    "val": ["val/1.jpg,3-9,Male,East Asian,False", "val/2.jpg,more than 70,Female,Latino_Hispanic,True"],
}
YEARS = {
    "train": ["train/1.jpg,59,Male,East Asian,True", "train/2.jpg,39,Female,Indian,False", "train/3.jpg,11,Female,Black,False"],
    "val": ["val/1.jpg,2,Male,White,False", "val/2.jpg,70,Female,Middle Eastern,True"],
}


def tree(root, tables, pattern="fairface_label_{}.csv"):
    """Tables and drawn photos as the set has them."""
    for split, lines in tables.items():
        (root / pattern.format(split)).write_text("\n".join([HEADER, *lines]) + "\n")
        (root / split).mkdir(exist_ok=True)
        for line in lines:
            assert cv2.imwrite(str(root / line.split(",")[0]), np.full((32, 32, 3), 90, np.uint8))
    return root


def samples(root, **options):
    return list(build(Config(root=root, **options)).samples())


def test_groups_as_published(tmp_path):
    found = samples(tree(tmp_path, GROUPS), val_fraction=0)
    assert [s.image for s in found][:2] == ["train/1.jpg", "train/2.jpg"]
    assert [s.split for s in found] == ["train"] * 9 + ["test"] * 2
    first, last = found[0].labels, found[-1].labels
    assert first == {
        "age_group": "baby",
        "age_range": "0-2",
        "age_low": 0.0,
        "age_high": 2.0,
        "gender": "male",
        "race": "East Asian",
    }
    assert (last["age_group"], last["age_low"], "age_high" in last) == ("senior", 70.0, False)
    assert (last["gender"], last["race"]) == ("female", "Latino_Hispanic")
    assert all((tmp_path / s.image).is_file() for s in found)


def test_years(tmp_path):
    found = samples(tree(tmp_path, YEARS, "fairface-labels-{}.csv"), val_fraction=0)
    assert [s.labels["age"] for s in found] == [59.0, 39.0, 11.0, 2.0, 70.0]
    assert [s.labels["age_group"] for s in found] == ["fifty", "thirty-forty", "ten-twenty", "baby", "senior"]
    assert all("age_range" not in s.labels for s in found)


def test_the_nine_groups_nest_in_the_six():
    for name, group in RANGES.items():
        low, _, high = name.removeprefix("more than ").partition("-")
        assert six_groups(float(low)) == group
        assert six_groups(float(high or 100)) == group
    assert set(RANGES.values()) == set(ages.GROUPS)
    assert six_groups(2.9) == "baby"


def test_published_val_is_test_unless_asked_for_otherwise(tmp_path):
    many = {**GROUPS, "train": [f"train/{i}.jpg,20-29,Male,White,True" for i in range(40)]}
    root = tree(tmp_path, many)
    counts = {split: sum(s.split == split for s in samples(root)) for split in ("train", "val", "test")}
    assert counts == {"train": 36, "val": 4, "test": 2}
    assert {s.split for s in samples(root, published_val="val")} == {"train", "val"}
    assert samples(root) == samples(root)


def test_both_kinds_of_tables_need_a_choice(tmp_path):
    tree(tree(tmp_path, GROUPS), YEARS, "fairface-labels-{}.csv")
    with pytest.raises(UserError, match=r"dataset\.layout"):
        samples(tmp_path)
    assert len(samples(tmp_path, layout="years")) == 5


def test_missing_cells_are_missing_labels(tmp_path):
    found = samples(tree(tmp_path, {**GROUPS, "train": ["train/1.jpg,,Male,,True", "train/2.jpg,3-9,,Black,"]}), val_fraction=0)
    assert found[0].labels == {"gender": "male"}
    assert set(found[1].labels) == {"age_group", "age_range", "age_low", "age_high", "race"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/1.jpg,old,Male,White,True", r"fairface_label_train\.csv: line 2: age 'old'.*more than 70"),
        ("train/1.jpg,-4,Male,White,True", "age '-4'"),
        ("train/1.jpg,nan,Male,White,True", "age 'nan'"),
        ("train/1.jpg,3-9,X,White,True", "line 2: gender 'X'; expected female or male"),
        (",3-9,Male,White,True", "line 2: the file name is empty"),
        ("train/1.jpg", r"fairface_label_train\.csv: line 2: 1 cells; expected 5; is the file cut off"),
        ("train/1.jpg,3-9,Male,White", "line 2: 4 cells; expected 5"),
        ("train/1.jpg,3-9,Male,White,True,1", "line 2: 6 cells; expected 5"),
    ],
)
def test_a_wrong_line_names_file_and_line(tmp_path, line, message):
    root = tree(tmp_path, GROUPS)
    (root / "fairface_label_train.csv").write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UserError, match=message):
        samples(root)


def test_what_is_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"fairface_label_train\.csv.*fairface-labels-val\.csv"):
        samples(tmp_path)
    root = tree(tmp_path, GROUPS)
    (root / "fairface_label_val.csv").unlink()
    with pytest.raises(UserError, match=r"no fairface_label_val\.csv"):
        samples(root)
    (root / "fairface_label_val.csv").write_text("file,age\nval/1.jpg,3-9\n")
    with pytest.raises(UserError, match="no column gender, race"):
        samples(root)


def test_on_the_real_set(tmp_path):
    found = samples(unpack("fairface6k.zip", tmp_path))
    counts = {split: sum(s.split == split for s in found) for split in ("train", "val", "test")}
    assert counts == {"train": 4500, "val": 500, "test": 1500}
    assert {s.labels["age_group"] for s in found} == set(RANGES.values())
    assert all((tmp_path / "fairface6k" / s.image).is_file() for s in found)


def test_what_is_not_the_published_set_is_noted(tmp_path):
    tree(tmp_path, GROUPS)
    (tmp_path / "fairface_label_train.csv").write_text("\n".join([HEADER, *GROUPS["train"][:7]]) + "\n")
    dataset = build(Config(root=tmp_path))
    assert len(list(dataset.samples())) == 9
    assert dataset.notes["counts"] == "not the published set: train 7, val 2; expected train 86,744, val 10,954"
    assert dataset.notes["photos that no table names"] == 2
    (tmp_path / "fairface_label_train.csv").write_text(HEADER + "\n")
    with pytest.raises(
        UserError, match=r"fairface_label_train\.csv: a header and no line; expected a line for each photo of train/"
    ):
        samples(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "cell", "message"),
    [
        ("fairface_label_{}.csv", "8", r"age '8'; expected one of 0-2, .* \(years stand in fairface-labels-\*\.csv\)"),
        (
            "fairface-labels-{}.csv",
            "10-19",
            r"age '10-19'; expected years from 0 to 130 \(groups stand in fairface_label_\*\.csv\)",
        ),
    ],
)
def test_ages_of_the_other_layout_are_refused(tmp_path, pattern, cell, message):
    """Codes of groups, as some copies have them, would pass for years: 8, more than 70, for a child."""
    line = "{}/1.jpg," + cell + ",Male,Black,True"
    with pytest.raises(UserError, match=message):
        samples(tree(tmp_path, {split: [line.format(split)] for split in ("train", "val")}, pattern))

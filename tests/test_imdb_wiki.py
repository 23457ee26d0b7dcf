"""IMDB-WIKI's Matlab tables: ages from dates, filters that count what they leave out, persons never torn between splits."""

import datetime
import math
from collections import Counter

import numpy as np
import pytest
from made_imdb_wiki import day_number, row, table

from preprocessing.datasets.imdb_wiki import Config, age_of, build
from preprocessing.errors import UserError


def read(root, **options):
    dataset = build(Config(root=root, **options))
    return list(dataset.samples()), dataset.notes


def test_age_is_counted_to_the_first_of_july():
    assert age_of(day_number(1980, 7, 1), 2010) == 30.0
    assert age_of(day_number(1980, 1, 1), 2010) == 30.5
    assert age_of(day_number(1980, 12, 31), 2010) == 29.5
    assert math.isnan(age_of(math.nan, 2010))
    assert math.isnan(age_of(day_number(1980, 7, 1), 0))


def test_age_of_agrees_with_the_calendar():
    random = np.random.default_rng(0)
    for born in random.integers(day_number(1900, 1, 1), day_number(2010, 1, 1), 200):
        birthday = datetime.date.fromordinal(int(born) - 366)
        whole = 2015 - birthday.year - ((birthday.month, birthday.day) > (7, 1))
        assert whole - 0.01 <= age_of(float(born), 2015) <= whole + 1.01


def test_labels(tmp_path):
    rows = [row("00/1.jpg"), row("01/2.jpg", gender=0.0, born=(2008, 7, 1), name=""), row("02/3.jpg", gender=math.nan)]
    samples, notes = read(table(tmp_path, rows))
    assert [dict(s.labels) for s in samples] == [
        {"age": 30.0, "age_group": "thirty-forty", "gender": "male"},
        {"age": 2.0, "age_group": "baby", "gender": "female"},
        {"age": 30.0, "age_group": "thirty-forty"},
    ]
    assert [s.group for s in samples] == ["A", "", "A"]
    assert [s.image for s in samples] == ["00/1.jpg", "01/2.jpg", "02/3.jpg"]
    assert (notes["without gender"], notes["without age"]) == (1, 0)


def test_what_the_filters_leave_out_is_counted(tmp_path):
    rows = [
        row("00/ok.jpg"),
        row("00/none.jpg", score=-math.inf),
        row("00/weak.jpg", score=0.5),
        row("00/unknown.jpg", score=math.nan),
        row("00/two.jpg", second=2.5),
        row("00/faint.jpg", second=-1.0),
        row(""),
    ]
    samples, notes = read(table(tmp_path, rows))
    assert [s.image for s in samples] == ["00/ok.jpg", "00/faint.jpg"]
    assert notes["left out"] == {"face score below 1": 3, "no path": 1, "second face above 0": 1}
    assert len(read(tmp_path, min_face_score=0, max_second_face_score=9)[0]) == 4
    message = r"none of its 7 photos is left \(face score below 50: 6, no path: 1\); lower dataset\.min_face_score"
    with pytest.raises(UserError, match=message):
        read(tmp_path, min_face_score=50)
    table(tmp_path, [row(second=2.5)])
    with pytest.raises(UserError, match=r"\(second face above 0: 1\); raise dataset\.max_second_face_score"):
        read(tmp_path)
    table(tmp_path, [row("")])
    with pytest.raises(UserError, match=r"\(no path: 1\); fetch the table again"):
        read(tmp_path)


def test_ages_from_old_to_young_are_refused(tmp_path):
    with pytest.raises(ValueError, match="from 50 to 10 there is no age; swap them"):
        read(table(tmp_path, [row()]), ages=(50, 10))


def test_a_photo_of_two_persons_is_noted(tmp_path):
    rows = [row(f"0{i}/nm000{i}_rm77_1950-1-1_2000.jpg", name=f"person {i}") for i in range(2)]
    _, notes = read(table(tmp_path, [*rows, row("03/nm0001_rm78_1950-1-1_2000.jpg", name="person 1")], "imdb"))
    assert notes["photos of several persons, who may be in different splits"] == 1


def test_ages_that_cannot_be_are_missing(tmp_path):
    rows = [row("00/1.jpg", born=(1700, 1, 1)), row("00/2.jpg", born=(2015, 1, 1)), row("00/3.jpg")]
    samples, notes = read(table(tmp_path, rows))
    assert [s.labels.get("age") for s in samples] == [None, None, 30.0]
    assert notes["without age"] == 2


def test_a_person_is_in_one_split(tmp_path):
    rows = [row(f"00/{i}.jpg", name=f"person {i % 40}", born=(1930 + i % 40, 1, 1)) for i in range(400)]
    samples, _ = read(table(tmp_path, rows, "imdb"))
    splits = {}
    for s in samples:
        splits.setdefault(s.group, set()).add(s.split)
    assert all(len(found) == 1 for found in splits.values())
    counts = Counter(s.split for s in samples)
    assert set(counts) == {"train", "val", "test"}
    assert counts["train"] >= 280


def test_a_person_of_both_tables_is_in_one_split_of_both(tmp_path):
    names = [f"person {i}" for i in range(300)]
    table(tmp_path, [row(f"00/{i}.jpg", name=name) for i, name in enumerate(names)], "imdb")
    few = [row(f"01/{i}.jpg", name=name, born=(1950, 1, 1)) for i, name in enumerate(names[::3]) for _ in range(1 + i % 4)]
    table(tmp_path, few, "wiki")
    imdb, notes = read(tmp_path / "imdb.mat")
    wiki, _ = read(tmp_path / "wiki.mat", name="wiki")
    splits = {s.group: s.split for s in imdb}
    assert [s.split for s in wiki] == [splits[s.group] for s in wiki]
    assert set(splits.values()) == {"train", "val", "test"}
    assert notes["splits"].startswith("train/val/test by the hash of the person's name, shares about 0.8/0.1/0.1")


def test_what_is_absent_or_broken_is_named(tmp_path):
    with pytest.raises(UserError, match=r"expected imdb\.mat or wiki\.mat beside .* found neither"):
        read(tmp_path)
    table(tmp_path, [row()])
    assert len(read(tmp_path / "wiki.mat")[0]) == 1
    table(tmp_path, [row()], "imdb")
    with pytest.raises(UserError, match=r"found imdb\.mat and wiki\.mat"):
        read(tmp_path)
    for content in (b"not a table", (tmp_path / "imdb.mat").read_bytes()[:200]):
        (tmp_path / "imdb.mat").write_bytes(content)
        with pytest.raises(UserError, match=r"imdb\.mat: cannot be read as a Matlab table"):
            read(tmp_path / "imdb.mat")
    table(tmp_path, [row()], "imdb", gender=np.zeros((1, 2)))
    with pytest.raises(UserError, match=r"columns differ in length .*gender 2"):
        read(tmp_path / "imdb.mat")

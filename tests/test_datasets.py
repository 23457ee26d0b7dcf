"""Raw layouts -> samples: nothing dropped in silence, names of any kind, splits that anybody can repeat."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_genki4k import small_genki
from PIL import Image

from preprocessing.datasets import dataframe, genki4k, image_folder
from preprocessing.datasets.base import locate
from preprocessing.errors import UserError
from preprocessing.fingerprint import clusters
from preprocessing.split import fixed_split, hash_split, split_off, stratifying_task, take, unit_key, units
from preprocessing.types import RawSample


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def folder(root: Path, **options) -> tuple[list[RawSample], dict]:
    dataset = image_folder.build(image_folder.Config(root=root, **options))
    return list(dataset.samples()), dataset.notes


def test_split_class_file(tmp_path):
    touch(tmp_path, "Train/happy/a.jpg", "Train/happy/deeper/b.PNG", "validation/sad/c.jpeg", "test/sad/d.webp")
    samples, _ = folder(tmp_path)
    assert [(s.split, s.labels["emotion"], s.image) for s in samples] == [
        ("train", "happy", "Train/happy/a.jpg"),
        ("train", "happy", "Train/happy/deeper/b.PNG"),
        ("test", "sad", "test/sad/d.webp"),
        ("val", "sad", "validation/sad/c.jpeg"),
    ]


def test_class_file_is_split_by_hash(tmp_path):
    touch(tmp_path, *[f"{c}/{i}.jpg" for c in ("happy", "sad", "train") for i in range(40)])
    samples, notes = folder(tmp_path, task="mood", fractions=(0.5, 0.25, 0.25))
    assert Counter((s.labels["mood"], s.split) for s in samples) == {
        (c, s): n for c in ("happy", "sad", "train") for s, n in (("train", 20), ("val", 10), ("test", 10))
    }
    assert "by hash" in notes["splits"]
    assert folder(tmp_path, task="mood", fractions=(0.5, 0.25, 0.25))[0] == samples


def test_a_missing_val_is_taken_from_train(tmp_path):
    touch(tmp_path, *[f"train/{c}/{i}.jpg" for c in "ab" for i in range(20)], *[f"test/a/{i}.jpg" for i in range(5)])
    assert Counter(s.split for s in folder(tmp_path)[0]) == {"train": 36, "val": 4, "test": 5}
    assert Counter(s.split for s in folder(tmp_path, val_fraction=0)[0]) == {"train": 40, "test": 5}


def test_files_in_the_root_have_no_label_and_odd_files_are_counted(tmp_path):
    touch(tmp_path, "a.JPG", "b.pgm", "notes.txt", "labels.csv", ".hidden.jpg", ".cache/x.jpg", "README")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.data", "PNG")
    samples, notes = folder(tmp_path)
    assert [s.image for s in samples] == ["a.JPG", "b.pgm", "empty.png", "photo.data"]
    assert all(not s.labels for s in samples)
    assert notes["ignored_files"] == {".csv": 1, ".txt": 1, "hidden": 1, "no suffix": 1}


def test_loops_of_links_and_own_output_are_left_out(tmp_path):
    touch(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "out/preprocess.json", "out/faces/3.jpg")
    os.symlink(tmp_path / "photos", tmp_path / "photos" / "a" / "loop")
    touch(tmp_path / "elsewhere", "4.jpg")
    os.symlink(tmp_path / "elsewhere", tmp_path / "photos" / "b")
    samples, _ = folder(tmp_path / "photos")
    assert [s.image for s in samples] == ["a/1.jpg", "a/2.jpg", "b/4.jpg"]


def test_any_name_is_found_again(tmp_path):
    names = ["ein Ort/Grüße 1.jpg", "e\u0301te\u0301/a\u0308.jpg", "日本/写真.jpg", 'b/quo\'te "x".jpg']
    touch(tmp_path, *names)
    raw = os.fsencode(tmp_path) + b"/b/\xff\xfe.jpg"
    with open(raw, "wb") as file:
        file.write(b"x")
    samples, _ = folder(tmp_path)
    assert len(samples) == 5
    assert "été/ä.jpg" in {s.image for s in samples}
    for sample in samples:
        sample.image.encode()
        assert locate(tmp_path, sample.image).is_file(), sample.image


@pytest.mark.parametrize("name", ["absent", "."])
def test_no_photos(tmp_path, name):
    with pytest.raises(UserError, match="no such folder" if name == "absent" else "no photos found in"):
        folder(tmp_path / name)


def table(root: Path, text: str, **options) -> list[RawSample]:
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return list(dataframe.build(dataframe.Config(root=root, **options)).samples())


def test_csv_with_its_columns(tmp_path):
    text = "path,split,group,emotion,age\na/1.jpg,train,g1,happy,31\nb\\2.jpg,valid,,,\nc/../3.jpg,test,g2,NA,4.5\n"
    a, b, c = table(tmp_path, text)
    assert (a.image, a.split, a.group, dict(a.labels)) == ("a/1.jpg", "train", "g1", {"emotion": "happy", "age": 31.0})
    assert (b.image, b.split, b.group, dict(b.labels)) == ("b/2.jpg", "val", "", {})
    assert (c.image, c.split, dict(c.labels)) == ("3.jpg", "test", {"emotion": "NA", "age": 4.5})


def test_a_split_stands_in_all_lines_or_in_none(tmp_path):
    lines = "".join(f"{i}.jpg,{{}}\n" for i in range(10))
    made = table(tmp_path, "path,split\n" + lines.format(*[""] * 10))
    assert Counter(s.split for s in made) == {"train": 8, "val": 1, "test": 1}
    message = r"labels\.csv: line 5: the split \('split'\) is empty, as in 2 of 10 lines; fill it"
    with pytest.raises(UserError, match=message):
        table(tmp_path, "path,split\n" + lines.format(*["train"] * 3, "", " ", *["test"] * 5))


def test_split_names_in_capitals_are_the_same_splits_and_others_are_noted(tmp_path):
    text = "path,split\n1.jpg,Train\n2.jpg,VAL\n3.jpg,Test\n4.jpg,Validation\n"
    assert [s.split for s in table(tmp_path, text)] == ["train", "val", "test", "val"]
    (tmp_path / "labels.csv").write_text("path,split\n1.jpg,train\n2.jpg,val\n3.jpg,Fold1\n")
    dataset = dataframe.build(dataframe.Config(root=tmp_path))
    assert [s.split for s in dataset.samples()] == ["train", "val", "Fold1"]
    assert dataset.notes["splits of other names, which only `--split NAME` reads"] == ["Fold1"]


def test_a_column_without_a_name_is_no_task(tmp_path):
    pd.DataFrame({"path": ["1.jpg", "2.jpg"], "emotion": ["sad", "happy"]}).to_csv(tmp_path / "labels.csv")
    dataset = dataframe.build(dataframe.Config(root=tmp_path))
    assert [dict(s.labels) for s in dataset.samples()] == [{"emotion": "sad"}, {"emotion": "happy"}]
    assert dataset.notes["tasks"] == ["emotion"]
    assert "without a name" in dataset.notes["left out"]


def test_marks_of_missing_numbers_are_missing_among_numbers_only(tmp_path):
    text = "path,age,smile,all\n1.jpg,31,NA,NA\n2.jpg,NA,yes,NA\n3.jpg,?,no,NA\n4.jpg,4,no,NA\n"
    found = [dict(s.labels) for s in table(tmp_path, text)]
    assert found[0] == {"age": 31.0, "smile": "NA", "all": "NA"}
    assert [labels.get("age") for labels in found] == [31.0, None, None, 4.0]


def made_labels(n, **tasks):
    return [
        RawSample("s", f"{i}.jpg", "", labels={name: label for name, of in tasks.items() if (label := of(i)) is not None})
        for i in range(n)
    ]


@pytest.mark.parametrize(
    "useless",
    [
        lambda i: f"name {i}",
        lambda i: "x" if i < 3 else None,
        lambda i: "everywhere",
        lambda i: f"2026-01-{i % 28:02d}" if i < 120 else None,
    ],
)
def test_a_task_that_cannot_part_samples_alike_gives_way_to_the_next(useless):
    assert stratifying_task(made_labels(200, first=useless, mood=lambda i: "ab"[i % 2])) == "mood"


def test_the_task_to_split_by_is_the_same_for_test_and_val():
    """30 classes of 10 are just enough; of the 270 rows that test leaves they would not be."""
    config = dataframe.Config(root=Path())
    split = config.complete(made_labels(300, mood=lambda i: f"mood {i % 30}"), notes := {})
    assert {Counter(s.split for s in split if s.labels["mood"] == f"mood {i}")["val"] for i in range(30)} == {1}
    assert notes["splits"].endswith("alike in each value of mood")


def test_a_column_of_numbers_with_a_text_is_noted(tmp_path):
    (tmp_path / "labels.csv").write_text("path,age\n1.jpg,31\n2.jpg,NA\n3.jpg,old\n4.jpg,4\n5.jpg,5\n")
    dataset = dataframe.build(dataframe.Config(root=tmp_path))
    assert [s.labels["age"] for s in dataset.samples()] == ["31", "NA", "old", "4", "5"]
    assert dataset.notes["age: numbers, but taken for texts"] == "line 4 has 'old'"


def test_names_and_dates_do_not_decide_the_splits(tmp_path):
    rows = [f"{i}.jpg,{mood}_{i:03d},{mood}" for i, mood in enumerate(["angry", "fear", "happy", "sad"] * 50)]
    text = "path,id,emotion\n" + "\n".join(rows) + "\n"
    found = Counter((s.split, s.labels["emotion"]) for s in table(tmp_path, text))
    assert found == {
        (split, mood): n for split, n in (("train", 40), ("val", 5), ("test", 5)) for mood in ("angry", "fear", "happy", "sad")
    }
    dataset = dataframe.build(dataframe.Config(root=tmp_path))
    list(dataset.samples())
    assert dataset.notes["splits"].endswith("alike in each value of emotion")
    assert Counter(s.split for s in table(tmp_path, text, tasks=["id"])) == {"train": 160, "val": 20, "test": 20}


@pytest.mark.parametrize("cells", [("4_6", "8_13"), ("inf", "3"), ("1e400", "2")])
def test_names_that_python_would_read_as_numbers_stay_names(tmp_path, cells):
    samples = table(tmp_path, "path,age\n1.jpg,{}\n2.jpg,{}\n".format(*cells))
    assert [s.labels["age"] for s in samples] == list(cells)


def test_parquet_reads_like_csv(tmp_path):
    frame = pd.DataFrame({"path": ["1.jpg", "2.jpg"], "split": ["train", "test"], "age": [3, None], "mood": ["a", None]})
    frame.to_parquet(tmp_path / "t.parquet")
    parquet = list(dataframe.build(dataframe.Config(root=tmp_path / "t.parquet", val_fraction=0)).samples())
    assert [dict(s.labels) for s in parquet] == [{"age": 3.0, "mood": "a"}, {}]
    frame.set_index("path").to_parquet(tmp_path / "t.parquet")
    assert list(dataframe.build(dataframe.Config(root=tmp_path / "t.parquet", val_fraction=0)).samples()) == parquet


def test_named_columns_and_absolute_paths(tmp_path):
    text = f"img,part,person,smile,other\n{tmp_path}/x/1.jpg,train,p,1,z\n"
    options = {"path_column": "img", "split_column": "part", "group_column": "person", "tasks": ["smile"], "table": "labels.csv"}
    (sample,) = table(tmp_path, text, **options)
    assert (sample.image, sample.split, sample.group, dict(sample.labels)) == ("x/1.jpg", "train", "p", {"smile": 1.0})


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, "no path column .*the table has 'a', 'b'"),
        ("path,b\n1,2\n", {"tasks": ["age"]}, "no column 'age'.*'path', 'b'"),
        ("path,b\n1,2\n", {"group_column": "g"}, r"no column 'g' \(dataset.group_column\)"),
        ("path,b\n", {}, "no photos found"),
        ("path,b\n ,2\n", {}, "line 2: the path"),
        ("path,b\n1,2\n", {"table": "x.csv"}, "no such table"),
        ('path,b\n"1,2\n', {}, "cannot be read as a table"),
        ("path,b\n1,2,\n3,4,\n", {}, "its lines have more cells than its first, the header"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, options, message):
    with pytest.raises(UserError, match=message):
        table(tmp_path, text, **options)


def test_a_table_that_is_not_utf_8_says_the_remedy(tmp_path):
    (tmp_path / "labels.csv").write_bytes("path,b\n1.jpg,\u00e9\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"cannot be read as a table .* save it as UTF-8"):
        dataframe.build(dataframe.Config(root=tmp_path))


def test_two_tables_need_a_name(tmp_path):
    touch(tmp_path, "other.csv")
    with pytest.raises(UserError, match=r"found labels.csv, other.csv"):
        table(tmp_path, "path\n1.jpg\n")


def made(n: int, groups: int = 0) -> list[RawSample]:
    return [
        RawSample("s", f"{i}.jpg", "", group=f"g{i % groups}" if groups and i % 2 else "", labels={"t": "a" if i % 3 else "b"})
        for i in range(n)
    ]


def test_splits_keep_shares_groups_and_do_not_depend_on_order():
    samples = made(900, groups=40)
    split = {s.image: s.split for s in hash_split(samples, (0.7, 0.1, 0.2), by="t", salt="x")}
    assert Counter(split.values()) == {"train": 630, "val": 90, "test": 180}
    test = Counter(s.labels["t"] for s in samples if split[s.image] == "test")
    assert abs(test["b"] - 60) <= 10  # a group of both classes goes as a whole
    together: dict[str, set[str]] = {}
    for s in samples:
        together.setdefault(unit_key(s), set()).add(split[s.image])
    assert all(len(splits) == 1 for splits in together.values())
    assert {s.image: s.split for s in hash_split(samples[::-1], (0.7, 0.1, 0.2), by="t", salt="x")} == split
    assert {s.image: s.split for s in hash_split(samples, (0.7, 0.1, 0.2), by="t", salt="y")} != split


def test_a_fixed_split_depends_on_the_unit_alone_and_has_about_its_shares():
    samples = made(3000, groups=700)
    split = {unit_key(s): s.split for s in fixed_split(samples, (0.7, 0.1, 0.2), "x")}
    assert {unit_key(s): s.split for s in fixed_split(samples[::5], (0.7, 0.1, 0.2), "x")}.items() <= split.items()
    assert {unit_key(s): s.split for s in fixed_split(samples, (0.7, 0.1, 0.2), "y")} != split
    found = Counter(s.split for s in fixed_split(samples, (0.7, 0.1, 0.2), "x"))
    assert all(abs(found[name] / 3000 - share) < 0.03 for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)))
    assert {s.split for s in fixed_split(samples, (1.0, 0.0, 0.0), "x")} == {"train"}
    assert {s.split for s in fixed_split(samples, (0.0, 0.0, 1.0), "x")} == {"test"}


def test_numbers_of_many_values_are_split_over_their_whole_range():
    ages = [RawSample("s", f"{i}.jpg", "", labels={"age": 20 + i / 10}) for i in range(500)]
    test = [s.labels["age"] for s in hash_split(ages, (0.8, 0.1, 0.1), by="age", salt="x") if s.split == "test"]
    assert len(test) == 50
    assert Counter(int((age - 20) // 5) for age in test) == dict.fromkeys(range(10), 5)


def test_take_is_exact_and_bounded():
    everything = units(made(101), "t")
    assert len(take(everything, 10, "x")) == 10
    assert len(take(everything, 1000, "x")) == 101
    assert take([], 5, "x") == set()


def test_splitting_off_leaves_other_splits_alone():
    samples = hash_split(made(100), (0.5, 0.0, 0.5), by="t", salt="x")
    after = split_off(samples, "train", "val", 10, by="t", salt="v")
    assert Counter(s.split for s in after) == {"train": 40, "val": 10, "test": 50}
    assert [s.image for s in after] == [s.image for s in samples]


def test_near_duplicates_are_clustered(tmp_path):
    rng = np.random.default_rng(0)
    photos = [
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)
        for _ in range(3)
    ]
    kinds = [
        ("a.jpg", photos[0], {"quality": 95}),
        ("b.jpg", photos[1], {"quality": 95}),
        ("a2.jpg", photos[0].resize((90, 70)), {"quality": 40}),
        ("c.png", photos[2], {}),
        ("mirror.png", photos[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT), {}),
        ("flat.png", Image.new("RGB", (20, 20)), {}),
        ("flat2.png", Image.new("RGB", (20, 20)), {}),
    ]
    for name, image, options in kinds:
        image.save(tmp_path / name, **options)
    (tmp_path / "broken.jpg").write_bytes(b"x")
    paths = [tmp_path / name for name, *_ in kinds] + [tmp_path / "broken.jpg", tmp_path / "absent.jpg"]
    assert clusters(paths).tolist() == [0, 1, 0, 3, 0, 5, 5, 7, 8]


def test_genki_protocol_on_a_small_tree(tmp_path):
    root = small_genki(tmp_path / "g", 80)
    dataset = genki4k.build(genki4k.Config(root=root, test=20))
    samples = list(dataset.samples())
    assert Counter((s.split, s.labels["smile"]) for s in samples if s.split == "test") == {
        ("test", "smiling"): 10,
        ("test", "not_smiling"): 10,
    }
    assert Counter(s.split for s in samples) == {"train": 54, "val": 6, "test": 20}
    assert samples[0].split == samples[-1].split
    assert samples[0].group == samples[-1].group != ""
    assert samples[1].labels["pitch"] == -0.2
    assert dataset.notes["counts"] == "not the published set: 80; expected 4,000"


def test_genki_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"expected labels.txt and files/"):
        genki4k.build(genki4k.Config(root=tmp_path))
    root = small_genki(tmp_path / "g", 10)
    with pytest.raises(UserError, match="more than the 1000"):
        list(genki4k.build(genki4k.Config(root=root)).samples())
    (root / "labels.txt").write_text("1 0 0 0\n2 0 0\n")
    with pytest.raises(UserError, match="line 2"):
        list(genki4k.build(genki4k.Config(root=root)).samples())


@pytest.mark.parametrize(
    "line", ["-1 0 0 0", "2 0 0 0", "01 0 0 0", "1 nan 0 0", "1 0 inf 0", "1 0 0 4_6", "1 0 0", "1 0 0 0 0", ""]
)
def test_genki_takes_no_line_for_what_it_is_not(tmp_path, line):
    """An empty line, too: the photos are numbered by lines."""
    root = small_genki(tmp_path / "g", 4)
    (root / "labels.txt").write_text(f"1 0 0 0\n{line}\n0 0 0 0\n0 0 0 0\n")
    with pytest.raises(UserError, match=rf"labels\.txt: line 2: expected `smile yaw pitch roll` .* found '{line}'$"):
        list(genki4k.build(genki4k.Config(root=root, test=2)).samples())


def test_genki_needs_a_line_for_each_photo(tmp_path):
    root = small_genki(tmp_path / "g", 10)
    text = (root / "labels.txt").read_text()
    (root / "labels.txt").write_text(text + "\n \n")
    assert len(list(genki4k.build(genki4k.Config(root=root, test=2)).samples())) == 10
    (root / "labels.txt").write_text(text[: text.rindex("\n", 0, -1) + 1])
    with pytest.raises(UserError, match=r"labels\.txt: 9 lines for the 10 photos of files/; .* fetch the set again"):
        list(genki4k.build(genki4k.Config(root=root, test=2)).samples())


def test_a_genki_photo_that_is_missing_is_a_sample_still(tmp_path):
    root = small_genki(tmp_path / "g", 10)
    (root / "files/file0003.jpg").unlink()
    assert len(list(genki4k.build(genki4k.Config(root=root, test=2)).samples())) == 10


def test_genki_protocol_on_the_real_set(genki4k):
    from preprocessing.datasets.genki4k import Config, build

    dataset = build(Config(root=genki4k))
    samples = list(dataset.samples())
    counts = Counter((s.split, s.labels["smile"]) for s in samples)
    assert sum(n for (split, _), n in counts.items() if split == "test") == 1000
    assert sum(n for (split, _), n in counts.items() if split == "val") == 300
    for split in ("train", "val", "test"):
        share = counts[split, "smiling"] / (counts[split, "smiling"] + counts[split, "not_smiling"])
        assert abs(share - 2162 / 4000) < 0.002
    assert dataset.notes["near duplicates"].startswith("14 ")
    assert dataset.notes["counts"] == "complete: 4,000"

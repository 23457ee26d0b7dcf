"""FER-2013 as folders and as Kaggle's table: one split rule, duplicates together, errors that name file and line."""

import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from conftest import unpack

from preprocessing.__main__ import _run
from preprocessing.datasets.fer2013 import EMOTIONS, PUBLISHED, Config, build
from preprocessing.errors import UserError

FOLDERS = {"train": "Training", "public_test": "PublicTest", "private_test": "PrivateTest"}
CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def folders(root):
    """Two pictures of each emotion in each split, named as in the set; the first happy one of train again in the private test."""
    for n, (split, usage) in enumerate(FOLDERS.items()):
        for m, emotion in enumerate(EMOTIONS):
            (root / split / emotion).mkdir(parents=True)
            for i in range(2):
                assert cv2.imwrite(
                    str(root / split / emotion / f"{usage}_{100 * n + 10 * m + i}.jpg"), picture(100 * n + 10 * m + i)
                )
    shutil.copy(root / "train/happy/Training_30.jpg", root / "private_test/sad/PrivateTest_999.jpg")
    return root


def table(root, lines=None, header="emotion,pixels,Usage"):
    if lines is None:
        usages = [usage for usage in FOLDERS.values() for _ in CODES]
        lines = [f"{n % 7},{' '.join(map(str, picture(n).ravel()))},{usage}" for n, usage in enumerate(usages)]
    (root / "fer2013.csv").write_text("\n".join([header, *lines]) + "\n")
    return root


def read(root, **options):
    dataset = build(Config(root=root, **options))
    return list(dataset.samples()), dataset


def test_public_test_is_val_and_private_test_is_test(tmp_path):
    samples, dataset = read(folders(tmp_path))
    assert Counter(s.split for s in samples) == {"train": 14, "val": 14, "test": 15}
    assert {(s.image.split("/")[0], s.split) for s in samples} == {
        ("train", "train"),
        ("public_test", "val"),
        ("private_test", "test"),
    }
    assert all(s.labels == {"emotion": s.image.split("/")[1]} for s in samples)
    assert dataset.notes["counts"].startswith("not the published set: train 14, val 14, test 15; expected train 28,709")


def test_duplicates_share_a_group_across_splits(tmp_path):
    samples, dataset = read(folders(tmp_path))
    grouped = {s.image: s.group for s in samples if s.group}
    assert set(grouped) == {"train/happy/Training_30.jpg", "private_test/sad/PrivateTest_999.jpg"}
    assert len(set(grouped.values())) == 1
    assert dataset.notes["exact duplicates"] == (
        "1 files repeat another, in 1 groups; 1 groups straddle splits, 1 have two emotions"
    )


def test_the_table_gives_its_pixels_and_the_same_splits(tmp_path):
    samples, dataset = read(table(tmp_path))
    assert Counter((s.split, s.labels["emotion"]) for s in samples) == {(s, e): 1 for s in PUBLISHED for e in EMOTIONS}
    for sample in samples:
        stored = cv2.imread(str(dataset.root / sample.image), cv2.IMREAD_UNCHANGED)
        number = int(sample.image.rsplit("/", 1)[1].removesuffix(".png"))
        assert np.array_equal(stored, picture(number))
        assert CODES[number % 7] == sample.labels["emotion"]


def test_columns_in_another_order(tmp_path):
    pixels = " ".join(["7"] * 2304)
    lines = [f"3, {usage}, {pixels}" for usage in FOLDERS.values()]
    samples, _ = read(table(tmp_path, lines, "emotion, Usage, pixels"))
    assert [(s.split, s.labels["emotion"]) for s in samples] == [("test", "happy"), ("val", "happy"), ("train", "happy")]


def test_unpacking_goes_on_after_a_kill_and_is_not_repeated(tmp_path, monkeypatch):
    from preprocessing.datasets import _fer2013_table

    table(tmp_path)
    whole, written = _fer2013_table._png, []

    def killed(pixels):
        written.append(1)
        if len(written) == 5:
            raise KeyboardInterrupt
        return whole(pixels)

    monkeypatch.setattr(_fer2013_table, "_png", killed)
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path)
    assert len(read(tmp_path)[0]) == 21
    written.clear()
    assert len(read(tmp_path)[0]) == 21
    assert not written


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "mine.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds other files; name an empty folder with dataset\.unpacked"):
        read(table(tmp_path), unpacked=other)
    assert [p.name for p in other.iterdir() if p.name != ".lock"] == ["mine.jpg"]
    read(tmp_path)
    (tmp_path / "fer2013.csv").write_text((tmp_path / "fer2013.csv").read_text().replace("Training", "PublicTest", 1))
    with pytest.raises(UserError, match="pictures of another table"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("9,1 2 3,Training", r"fer2013\.csv: line 2: emotion '9'; expected a code from 0 to 6"),
        ("3,1 2 3,Training", "line 2: expected 2304 grey values from 0 to 255, found '1 2 3'"),
        (f"3,{'300 ' * 2304},Training", "line 2: expected 2304 grey values"),
        (f"3,{'7 ' * 2304},Test", "line 2: Usage 'Test'; expected Training, PublicTest, PrivateTest"),
        ("3,1 2", "line 2: 2 cells; expected 3; is the file cut off"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        read(table(tmp_path, [line]))


def test_a_table_that_was_none_and_is_mended_is_read(tmp_path):
    with pytest.raises(UserError, match="no column emotion"):
        read(table(tmp_path, header="a,b,c"))
    assert len(read(table(tmp_path))[0]) == 21


def test_what_is_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"expected train/, public_test/, private_test/ .* or fer2013\.csv"):
        read(tmp_path)
    folders(tmp_path)
    shutil.rmtree(tmp_path / "public_test")
    with pytest.raises(UserError, match="no pictures in public_test; expected train/, public_test/"):
        read(tmp_path)
    table(tmp_path)
    with pytest.raises(UserError, match=r"dataset\.layout"):
        read(tmp_path)
    assert len(read(tmp_path, layout="csv")[0]) == 21
    (tmp_path / "train" / "bored").mkdir()
    (tmp_path / "train" / "bored" / "1.jpg").write_bytes(b"x")
    (tmp_path / "public_test" / "happy").mkdir(parents=True)
    (tmp_path / "public_test" / "happy" / "1.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"bored.*known: angry, disgust"):
        read(tmp_path, layout="folders")


@pytest.mark.parametrize(("asked", "used"), [({}, "whole"), ({"detector": {"type": "mtcnn"}}, "mtcnn")])
def test_the_whole_picture_is_the_face_unless_another_detector_is_asked_for(tmp_path, monkeypatch, asked, used):
    class Reached(Exception):
        pass

    def stop(_dataset, settings, *_):
        raise Reached(settings.detector["type"])

    monkeypatch.setattr("preprocessing.pipeline.preprocess", stop)
    with pytest.raises(Reached, match=used):
        _run({"dataset": {"type": "fer2013", "root": str(folders(tmp_path))}, **asked}, tmp_path / "out", 1, False, None)


def test_on_the_real_set(tmp_path):
    samples, dataset = read(unpack("fer2013.zip", tmp_path))
    assert Counter(s.split for s in samples) == PUBLISHED
    assert dataset.notes["counts"] == "complete: train 28,709, val 3,589, test 3,589"
    assert {s.labels["emotion"] for s in samples} == set(EMOTIONS)
    assert dataset.notes["exact duplicates"].startswith("1855 files repeat another")
    assert cv2.imread(str(dataset.root / samples[-1].image), cv2.IMREAD_UNCHANGED).shape == (48, 48)


def test_copies_with_one_test_folder_are_split_by_their_names(tmp_path):
    folders(tmp_path)
    for name in ("public_test", "private_test"):
        shutil.copytree(tmp_path / name, tmp_path / "test", dirs_exist_ok=True)
        shutil.rmtree(tmp_path / name)
    samples, _ = read_folders = read(tmp_path)
    assert Counter(s.split for s in samples) == {"train": 14, "val": 14, "test": 15}
    assert all(s.split == {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}[usage(s)] for s in samples)
    assert read_folders[1].notes["exact duplicates"].startswith("1 files repeat another")
    (tmp_path / "test/happy/mine.jpg").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"mine\.jpg: which test it is of is not known; expected a name that begins with PublicTest_"
    ):
        read(tmp_path)


def usage(sample):
    return sample.image.rsplit("/", 1)[1].split("_")[0]


def test_blank_lines_are_passed_over_and_a_table_without_lines_claims_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"fer2013\.csv: a header and no line"):
        read(table(tmp_path, []))
    table(tmp_path)
    (tmp_path / "fer2013.csv").write_text((tmp_path / "fer2013.csv").read_text() + "\n\n")
    assert len(read(tmp_path)[0]) == 21


def test_pictures_that_were_deleted_are_unpacked_again(tmp_path):
    samples, dataset = read(table(tmp_path))
    (dataset.root / samples[3].image).unlink()
    assert read(tmp_path)[0] == samples

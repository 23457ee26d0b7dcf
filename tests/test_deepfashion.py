"""DeepFashion's attribute benchmark in the exact layout of its list files: boxes become crops, lists a table."""

import shutil

import cv2
import pytest
from made_deepfashion import BOXES, IMAGES, fine_tree, tree

from preprocessing.__main__ import _run
from preprocessing.datasets.deepfashion import Config, build
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest


def read(root, **options):
    dataset = build(Config(root=root, **options))
    return list(dataset.samples()), dataset


@pytest.mark.parametrize("folder", ["Anno_coarse", "Anno"])
def test_all_tags_of_the_benchmark(tmp_path, folder):
    samples, dataset = read(tree(tmp_path, folder))
    assert all((dataset.root / s.image).is_file() for s in samples)
    assert [(s.image, s.split) for s in samples] == list(zip(IMAGES, ["train", "val", "train", "test"], strict=True))
    assert samples[0].labels == {
        "category": "Blouse",
        "category_type": "upper_body",
        "shape": "a-line",
        "texture": "floral",
        "fabric": "none",
        "style": "boho",
    }
    assert samples[1].labels["texture"] == "abstract chevron print|floral"
    assert samples[1].labels["part"] == "none"
    assert dataset.notes["photos with unknown tags"] == {"part": 1}
    assert samples[0].group == samples[1].group != samples[2].group


def test_fine_annotations_come_with_their_own_lists(tmp_path):
    samples, _ = read(fine_tree(tree(tmp_path)), annotations="fine")
    assert [s.split for s in samples] == ["train", "train", "val", "test"]
    assert samples[0].labels == {
        "category": "Blouse",
        "category_type": "upper_body",
        "texture": "floral",
        "sleeve": "long_sleeve",
        "length": "maxi_length",
        "neckline": "crew_neckline",
        "fabric": "denim",
        "fit": "tight",
    }
    assert [s.labels["neckline"] for s in samples[1:]] == ["v_neckline", "square_neckline", "no_neckline"]


def test_a_photo_of_the_lists_that_the_partition_lacks_is_noted_and_one_listed_twice_is_an_error(tmp_path):
    root = tree(tmp_path)
    partition, attributes = root / "Eval/list_eval_partition.txt", next(root.glob("Anno*/list_attr_img.txt"))
    lines = partition.read_text().splitlines()
    partition.write_text("\n".join([str(int(lines[0]) - 1), *lines[1:-1]]))
    samples, dataset = read(root)
    assert len(samples) == 3
    assert dataset.notes["listed photos that the partition leaves out"] == 1
    lines = attributes.read_text().splitlines()
    attributes.write_text("\n".join([str(int(lines[0]) + 1), *lines[1:], lines[2]]))
    with pytest.raises(UserError, match=r"list_attr_img\.txt: line 7: 'img/.*' is listed a second time"):
        read(root)


@pytest.mark.parametrize("value", ["65537", "-32768"])
def test_a_value_that_would_not_fit_in_two_bytes_is_none_of_the_three(tmp_path, value):
    attributes = next(tree(tmp_path).glob("Anno*/list_attr_img.txt"))
    lines = attributes.read_text().splitlines()
    image, _, states = lines[2].partition(" ")
    lines[2] = " ".join([image, value, *states.split()[1:]])
    attributes.write_text("\n".join(lines))
    with pytest.raises(UserError, match=rf"line 3: an attribute is {value}; expected 1, -1 or 0"):
        read(tmp_path)


def test_only_the_named_tags(tmp_path):
    samples, _ = read(tree(tmp_path), attributes=["floral", "collar"])
    assert [s.labels.get("texture") for s in samples] == ["floral", "floral", "none", "none"]
    assert [s.labels.get("part") for s in samples] == [None, "none", "collar", "none"]
    assert all("shape" not in s.labels for s in samples)
    with pytest.raises(UserError, match=r"no attribute 'plaid' \(dataset\.attributes\)"):
        read(tmp_path, attributes=["plaid"])


def test_boxes_become_crops_and_lists_a_table(tmp_path):
    root = tree(tmp_path / "raw", photos="Img/img")
    dataset = {"type": "deepfashion", "root": str(root)}
    _run({"dataset": dataset}, tmp_path / "out", 1, False, None)
    rows = read_manifest(tmp_path / "out").rows
    assert list(rows["status"]) == ["ok"] * 4
    assert list(rows["box"][0]) == [72, 79, 232, 273]
    assert list(rows["label_category"]) == ["Blouse", "Blouse", "Dress", "Jeans"]
    crop = cv2.imread(str(tmp_path / "out" / rows["face_file"][1]))
    assert crop.shape[:2] == (102, 102), "as wide as the box"
    _run({"dataset": dataset, "face_scale": 2.0}, tmp_path / "wide", 1, False, None)
    crop = cv2.imread(str(tmp_path / "wide" / read_manifest(tmp_path / "wide").rows["face_file"][1]))
    assert crop.shape[:2] == (204, 204), "what the user says wins"


def test_the_boxes_of_the_fine_annotations_go_line_by_line_with_the_photos(tmp_path):
    root, options = fine_tree(tmp_path / "raw"), {"type": "deepfashion", "annotations": "fine"}
    _run({"dataset": {**options, "root": str(root)}}, tmp_path / "out", 1, False, None)
    rows = read_manifest(tmp_path / "out").rows
    assert [tuple(box) for box in rows["box"]] == [tuple(map(int, box.split())) for box in BOXES]
    assert list(rows["split"]) == ["train", "train", "val", "test"]
    assert list(rows["label_category"]) == ["Blouse", "Blouse", "Dress", "Jeans"]


def test_photos_that_a_list_lacks_are_counted(tmp_path):
    edit(tree(tmp_path) / "Anno_coarse/list_attr_img.txt", IMAGES[2], IMAGES[2].replace("img_", "photo_"))
    samples, dataset = read(tmp_path)
    assert samples[2].labels == {"category": "Dress", "category_type": "full_body"}
    assert dataset.notes["photos that are not listed"] == {"attributes": 1}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Anno_coarse/list_category_img.txt", "4\n", "9\n", r"list_category_img\.txt: says 9 entries and has 4"),
        ("Anno_coarse/list_category_img.txt", "4\nimage", "image", "line 1: expected the number of entries"),
        ("Anno_coarse/list_category_img.txt", " 3\n", " 7\n", r"line 5: category 7; expected a number from 1 to 3"),
        ("Anno_coarse/list_category_cloth.txt", " 2\n", " 8\n", r"type 8; expected 1 \(upper_body\)"),
        ("Anno_coarse/list_attr_img.txt", " 0\n", "\n", r"list_attr_img\.txt: line 3: expected a photo and 6 values"),
        ("Anno_coarse/list_attr_img.txt", " 0\n", " x\n", "line 3: expected a photo and 6 values"),
        ("Anno_coarse/list_attr_img.txt", " 0\n", " 5\n", "line 3: an attribute is 5; expected 1, -1 or 0"),
        ("Anno_coarse/list_attr_cloth.txt", " 5\n", " five\n", "line 7: expected a name and the number of its type"),
        ("Eval/list_eval_partition.txt", "val\n", "dev\n", r"line 4: split 'dev'; expected train, val, test"),
    ],
)
def test_a_wrong_entry_names_file_and_line(tmp_path, file, old, new, message):
    edit(tree(tmp_path) / file, old, new)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train_cate.txt", "1\n1", "1", r"train_cate\.txt: 1 lines for the 2 photos of train\.txt; fetch both again"),
        ("val_cate.txt", "3", "9", r"val_cate\.txt: line 1: category 9; expected a number from 1 to 3"),
        ("train_attr.txt", "\n0 1", "\n1", r"train_attr\.txt: line 2: expected 26 values, found '1 0 0 0 0 0 0 1 0 "),
        ("test_attr.txt", "1 0", "x 0", r"test_attr\.txt: line 1: expected 26 values"),
    ],
)
def test_a_wrong_line_of_the_fine_annotations_names_file_and_line(tmp_path, file, old, new, message):
    edit(fine_tree(tmp_path) / "Anno_fine" / file, old, new)
    with pytest.raises(UserError, match=message):
        read(tmp_path, annotations="fine")


def test_what_is_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no folder Anno or Anno_coarse; expected it with list_category_cloth\.txt"):
        read(tmp_path)
    tree(tmp_path)
    with pytest.raises(UserError, match="no folder Anno_fine"):
        read(tmp_path, annotations="fine")
    (fine_tree(tmp_path) / "Anno_fine/val_bbox.txt").unlink()
    with pytest.raises(UserError, match=r"no Anno_fine/val_bbox\.txt; fetch DeepFashion's annotations again"):
        read(tmp_path, annotations="fine")
    (tmp_path / "Anno_coarse/list_bbox.txt").unlink()
    shutil.rmtree(tmp_path / "Eval")
    with pytest.raises(UserError, match=r"no Anno_coarse/list_bbox\.txt, Eval/list_eval_partition\.txt"):
        read(tmp_path)

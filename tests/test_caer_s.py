"""CAER-S: the published layout, lists in both spellings, protocols with expected counts, and the whole way to a manifest."""

import zipfile
from collections import Counter, defaultdict

import numpy as np
import pytest
from conftest import DATA, require
from PIL import Image

from preprocessing.datasets import caer_s
from preprocessing.datasets.caer_s import CLASSES, LAST, PROTOCOLS, STRETCHES, Config, Frame
from preprocessing.errors import UserError

LISTED = {
    "train": """train/Angry/0009.png,0,235,75,344,184
train/Disgust/6137.png,1,199,73,321,195
train/Happy/0007.png,3,-27,40,120,187
train/Surprise/0980.png,6,415,110,486,180
train/Surprise/3215.png,6,364,71,510,218
train/Sad/0012.png,5,300,-80,500,120
""",
    "test": """test/Anger/0001.png,0,284,120,386,222
test/Happy/0048.png,3,287,84,372,169
test/Neutral/1715.png,4,393,71,540,218
test/Sad/0157.png,5,191,300,293,437
""",
}
"""Lines as the hand-checked lists have them: Angry in train, Anger in test, boxes that leave the 712 x 400 frame."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Drawn frames in the published layout: those listed, and one that is not."""
    root = tmp_path_factory.mktemp("CAER-S")
    rng = np.random.default_rng(0)
    for line in (LISTED["train"] + LISTED["test"] + "train/Fear/0003.png").split():
        path = root / line.split(",")[0].replace("Angry", "Anger")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (50, 89, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(pixels).save(path, compress_level=1)
    return root


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "boxes"
    folder.mkdir()
    for split, text in LISTED.items():
        (folder / f"{split}.txt").write_text(text)
    return folder


def samples_of(root, **options):
    dataset = caer_s.build(Config(root=root, **options))
    return list(dataset.samples()), dataset.notes


def published():
    """The names of all published frames."""
    return {
        Frame(folder, emotion, f"{n:04d}.png")
        for folder, last in LAST.items()
        for emotion, highest in last.items()
        for n in range(1, highest + 1)
    }


@pytest.fixture
def complete(monkeypatch, tree):
    """The drawn tree, as if every published frame were in it."""
    frames = published()
    monkeypatch.setattr(caer_s, "_frames", lambda root, folders: set(frames))
    return tree


def test_folders_as_they_are(tree):
    samples, notes = samples_of(tree, protocol="folders", val_fraction=0)
    assert [s.image for s in samples] == sorted(s.image for s in samples)
    assert Counter(s.split for s in samples) == {"train": 7, "test": 4}
    assert {s.labels["emotion"] for s in samples} == set(CLASSES)
    assert all((tree / s.image).is_file() for s in samples)
    assert notes["protocol"]["name"] == "folders"


def test_lists_in_both_spellings(tree, lists):
    samples, notes = samples_of(tree, protocol="lists", lists=lists, val_fraction=0)
    by_image = {s.image: s for s in samples}
    assert by_image["train/Anger/0009.png"].labels == {"emotion": "Anger"}
    assert Counter(s.split for s in samples) == {"train": 6, "test": 4}
    assert notes["left out"] == {"train": 1}
    assert "listed but absent" not in notes


def test_a_tree_that_is_spelt_as_the_list(tree, lists, tmp_path):
    """The path is the one on disk, the label the canonical one, and the protocol the same."""
    other = tmp_path / "tree"
    for path in tree.rglob("*.png"):
        copy = other / path.relative_to(tree).as_posix().replace("train/Anger", "train/Angry")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.hardlink_to(path)
    samples, notes = samples_of(other, protocol="lists", lists=lists)
    angry = next(s for s in samples if s.image == "train/Angry/0009.png")
    assert angry.labels == {"emotion": "Anger"}
    assert notes["protocol"]["sha256"] == samples_of(tree, protocol="lists", lists=lists)[1]["protocol"]["sha256"]


def test_zip_folder_and_order_of_lines_give_one_hash(tree, lists, tmp_path):
    archive = tmp_path / "boxes.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for split, text in LISTED.items():
            file.writestr(f"caers_boxes/{split}.txt", "\ufeff" + "\r\n".join(reversed(text.split())))
        file.writestr("__MACOSX/._train.txt", b"\x00\xff")
    first, notes = samples_of(tree, protocol="lists", lists=lists)
    second, again = samples_of(tree, protocol="lists", lists=archive)
    assert first == second
    assert notes["protocol"] == again["protocol"]
    changed = LISTED["train"].replace("6137", "6138")
    (lists / "train.txt").write_text(changed)
    assert samples_of(tree, protocol="lists", lists=lists)[1]["protocol"]["sha256"] != notes["protocol"]["sha256"]


def test_a_listed_frame_that_is_absent_stays(tree, lists):
    (lists / "test.txt").write_text(LISTED["test"] + "test/Fear/0002.png,2,1,1,50,50\n")
    samples, notes = samples_of(tree, protocol="lists", lists=lists)
    assert "test/Fear/0002.png" in {s.image for s in samples}
    assert notes["listed but absent"] == {"test": 1}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.txt", "train/Angry/0009.png,0,1,2,3,4\ntrain/Anger/0009.png,0,1,2,3,4\n", "listed twice"),
        ("train.txt", "train/Bored/0009.png,0,1,2,3,4\n", r"line 1.*Anger, .*Angry"),
        ("train.txt", "path,label\n", "line 1"),
        ("train.txt", "train/Happy/../../secret.png\n", "line 1"),
        ("val.txt", "test/Happy/0001.png\n", "expected lists of train, test, found test, train, val"),
        ("train_2.csv", "train/Happy/0001.png\n", "more than one list of the split train"),
        ("train.txt", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_bad_lists(tree, lists, name, text, message):
    (lists / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        samples_of(tree, protocol="lists", lists=lists)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [name for name, p in PROTOCOLS.items() if p.lists])
def test_unavailable_without_lists(tree, tmp_path, protocol):
    with pytest.raises(UserError, match=f"protocol {protocol} is unavailable without its lists.*dataset.lists"):
        samples_of(tree, protocol=protocol)
    with pytest.raises(UserError, match=r"dataset\.lists"):
        samples_of(tree, protocol=protocol, lists=tmp_path / "absent.zip")
    with pytest.raises(UserError, match="found none"):
        samples_of(tree, protocol=protocol, lists=tmp_path)


def test_other_counts_are_not_the_protocol(tree, lists):
    with pytest.raises(UserError, match="expected train 47,966, test 20,868, found train 6, test 4"):
        samples_of(tree, protocol="hand_checked", lists=lists)
    with pytest.raises(UserError, match="expected train 49,007, test 20,992, found train 7, test 4"):
        samples_of(tree, protocol="published")
    with pytest.raises(UserError, match="group_disjoint is unavailable"):
        samples_of(tree, protocol="group_disjoint")


@pytest.mark.parametrize(("name", "form"), [("ndkhanh360", "{1}/{2}"), ("efficientface", "{0}/{1}/{2}")])
def test_protocols_by_lists_of_the_right_counts(complete, tmp_path, name, form):
    """Lists as the repositories have them: relative to the set, or to its train and test folders; val is cut from test/."""
    rng = np.random.default_rng(0)
    left = {folder: [f for f in sorted(published()) if f.folder == folder] for folder in LAST}
    left = {folder: [frames[i] for i in rng.permutation(len(frames))] for folder, frames in left.items()}
    expected = PROTOCOLS[name].expected
    for split, n in expected.items():
        pool = left["train" if split == "train" else "test"]
        taken, pool[:] = pool[:n], pool[n:]
        (tmp_path / f"{split}.txt").write_text("\n".join(form.format(*frame) + ",0,1,2,30,40" for frame in taken))
    samples, notes = samples_of(complete, protocol=name, lists=tmp_path)
    counts = Counter(s.split for s in samples)
    if "val" in expected:
        assert counts == expected
        assert {s.image.split("/")[0] for s in samples if s.split == "val"} == {"test"}
    else:
        assert counts["test"] == expected["test"]
        assert counts["train"] + counts["val"] == expected["train"]
        assert counts["val"] == pytest.approx(0.1 * expected["train"], rel=0.02)
    assert notes["protocol"]["sha256"]


def test_published_counts(complete):
    samples, notes = samples_of(complete)
    counts = Counter(s.split for s in samples)
    assert counts["train"] + counts["val"] == 49_007
    assert counts["test"] == 20_992
    assert "left out" not in notes


def test_val_takes_whole_groups_of_train(complete):
    groups = defaultdict(set)
    for s in samples_of(complete)[0]:
        if s.image.startswith("train"):
            groups[s.group].add(s.split)
    assert all(len(splits) == 1 for splits in groups.values())
    assert sum(splits == {"val"} for splits in groups.values()) == 70


def test_group_disjoint(complete):
    """No group straddles, neighbours in the order of a class stay 5% apart, every class is in every split."""
    samples, notes = samples_of(complete, protocol="group_disjoint")
    assert Counter(s.split for s in samples) == PROTOCOLS["group_disjoint"].expected
    splits = defaultdict(set)
    for s in samples:
        splits[s.group].add(s.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {(s.labels["emotion"], s.split) for s in samples} == {(c, s) for c in CLASSES for s in STRETCHES}
    # both folders feed each split
    assert {(s.split, s.image.split("/")[0]) for s in samples} == {(s, f) for s in STRETCHES for f in LAST}
    edges = sorted(edge for stretch in STRETCHES.values() for edge in stretch)
    assert all(b - a > 0.0499 for a, b in zip(edges[1:-1:2], edges[2:-1:2], strict=True))
    assert sum(notes["left out"].values()) == 49_007 + 20_992 - len(samples)


def test_wrong_folder(tmp_path):
    (tmp_path / "CAER-S").mkdir()
    with pytest.raises(UserError, match="one level off"):
        caer_s.build(Config(root=tmp_path))
    for name in ("Anger", "Angry"):
        (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(UserError, match="Anger and Angry are one class"):
        caer_s.build(Config(root=tmp_path))
    (tmp_path / "train" / "Angry").rmdir()
    with pytest.raises(UserError, match="no photos found"):
        samples_of(tmp_path)


def test_real_lists(complete):
    archive = DATA / "caers_boxes.zip"
    require("data", archive.is_file(), f"{archive} is absent; CAER_TEST_DATA names another folder")
    samples, notes = samples_of(complete, protocol="hand_checked", lists=archive, val_fraction=0)
    assert Counter(s.split for s in samples) == {"train": 47_966, "test": 20_868}
    assert notes["left out"] == {"test": 20_992 - 20_868, "train": 49_007 - 47_966}
    assert "listed but absent" not in notes
    assert Counter(s.labels["emotion"] for s in samples)["Anger"] == 6_856 + 2_988


def test_from_the_tree_to_a_manifest(tree, lists, tmp_path):
    """Boxes from the lists, in both spellings, cut to the frame; every listed frame has its row."""
    from preprocessing.manifest import read_manifest
    from preprocessing.pipeline import preprocess
    from preprocessing.settings import Settings

    dataset = caer_s.build(Config(root=tree, protocol="lists", lists=lists))
    files = [str(lists / f"{split}.txt") for split in LISTED]
    preprocess(dataset, Settings(detector={"type": "boxes", "files": files}), tmp_path / "out", workers=1)
    rows = read_manifest(tmp_path / "out").rows.set_index("image")
    assert len(rows) == 10
    assert set(rows["status"]) == {"ok"}
    assert rows.loc["train/Anger/0009.png", "box"].tolist() == [235, 75, 344, 184]
    assert rows.loc["train/Happy/0007.png", "box"].tolist() == [0, 40, 120, 187]
    assert rows.loc["train/Sad/0012.png", "box"].tolist() == [300, 0, 500, 120]
    assert rows.loc["test/Sad/0157.png", "box"].tolist() == [191, 300, 293, 400]
    assert rows.loc["train/Anger/0009.png", "label_emotion"] == "Anger"
    assert set(rows["width"]) == {712}
    assert set(rows["height"]) == {400}

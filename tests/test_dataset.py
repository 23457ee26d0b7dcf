"""Rows, targets and pictures: who is trained on, who is held out, and that training and prediction see the same pixels."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from made_manifest import CLASSES, edit_manifest, made_config, made_manifest

from caer.data import dataset, memory
from caer.data.dataset import SampleDataset, SampleError, collate, decode_sample, is_labelled, resize_square
from caer.data.loaders import StageData, eval_loader
from caer.data.rows import Rows, holdout_mask, protocol_hash, row_hash
from caer.tasks import build_tasks
from preprocessing.errors import UserError

ALL = {"face", "context", "image"}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("made"), {"train": 40, "val": 12, "test": 12}, no_face_every=6)


@pytest.fixture
def manifest(original, tmp_path):
    """A copy of the manifest to spoil."""
    shutil.copytree(original.parent, tmp_path / "copy")
    return tmp_path / "copy" / original.name


def stage_data(config, number=1, inputs=frozenset({"face"})):
    return StageData(config, number, build_tasks(config), set(inputs))


def rows_of(config):
    return Rows(config, build_tasks(config))


def test_face_stages_drop_rows_without_a_face_and_context_stages_keep_them(original):
    rows = rows_of(made_config(original))
    assert rows.training("face", "train")["has_face"].all()
    assert not rows.training("context", "train")["has_face"].all()
    assert not rows.validation("fused")["has_face"].all()
    assert rows_of(made_config(original, no_face="drop")).training("fused", "train")["has_face"].all()
    assert len(rows.split("test")) == 12, "an evaluation's denominator has every labelled row"


def test_a_face_that_is_too_small_counts_as_none_and_a_rejected_row_is_not_trained_on(manifest):
    status = {"train/001.jpg": "too_small", "train/002.jpg": "rejected", "train/003.jpg": "unreadable"}

    def change(row):
        if row["image"] not in status:
            return row
        return row | {"status": status[row["image"]], "image_file": "" if "003" in row["image"] else row["image_file"]}

    edit_manifest(manifest, change)
    rows = rows_of(made_config(manifest, stages={1: {"output": "context", "trainable": [".*"], "epochs": 1}}))
    used = set(rows.training("context", "train")["image"])
    assert used & set(status) == {"train/001.jpg"}
    assert not set(status) & set(rows.training("face", "train")["image"])
    assert set(status) < set(rows.split("train")["image"])


def test_holdout_is_group_disjoint_and_the_same_for_every_seed_output_and_order(tmp_path):
    path = made_manifest(tmp_path, {"train": 90, "val": 3}, group_of=3, no_face_every=4)
    parts = {}
    for seed in (1, 2):
        rows = rows_of(made_config(path, seed=seed))
        for output in ("face", "fused"):
            train, held = rows.training(output, "train"), rows.training(output, "holdout")
            assert not set(train["group"]) & set(held["group"])
            parts[seed, output] = set(held["sample_id"])
            if output == "fused":
                assert len(train) + len(held) == 90
                assert len(held) == 9
    assert parts[1, "face"] == parts[2, "face"] < parts[1, "fused"] == parts[2, "fused"]
    shuffled = rows.split("train").sample(frac=1, random_state=0)
    assert set(shuffled["sample_id"][holdout_mask(shuffled, 0.1)]) == parts[1, "fused"]


def test_nothing_is_held_out_where_no_stage_asks_for_it(original):
    config = made_config(original, stages={1: {"output": "context", "trainable": [".*"], "epochs": 1}})
    assert len(rows_of(config).training("context", "train")) == 40


def test_groups_that_exceed_the_share_are_passed_over_and_one_group_is_an_error():
    rows = pd.DataFrame({"source": "s", "source_index": 0, "manifest": "m", "image": [str(i) for i in range(20)]})
    rows["group"] = ["big"] * 18 + ["a", "b"]
    assert set(rows["group"][holdout_mask(rows, 0.1)]) == {"a", "b"}
    rows["group"] = ["big"] * 10 + ["bigger"] * 10
    assert holdout_mask(rows, 0.1).sum() == 10, "where every group exceeds the share, the smallest is taken"
    with pytest.raises(UserError, match="one group"):
        holdout_mask(rows.assign(group="only"), 0.1)


def test_sources_with_different_labels_train_together(original, tmp_path):
    other = made_manifest(tmp_path, {"train": 8, "val": 4}, source="other", task="smile", classes=["no", "yes"])
    config = made_config(original, other)
    config = config.model_copy(update={"tasks": config.tasks | {"smile": {"type": "classification", "classes": ["no", "yes"]}}})
    data = stage_data(config, 2, {"context"})
    batch = collate([SampleDataset(data.train_rows, config, {"context"})[i] for i in range(len(data.train_rows))])
    theirs = torch.tensor([source == "other" for source in batch["source"]])
    assert torch.equal(batch["labelled"]["smile"], theirs)
    assert torch.equal(batch["labelled"]["emotion"], ~theirs)
    assert (batch["targets"]["smile"][~theirs] == -1).all()
    assert data.class_counts["smile"] == [4, 4] or sum(data.class_counts["smile"]) == theirs.sum()


def test_missing_targets_of_both_kinds():
    assert is_labelled(np.array([0, -1, 2])).tolist() == [True, False, True]
    assert is_labelled(np.array([-1.0, np.nan, 2.5])).tolist() == [True, False, True]


def test_hashes_are_of_rows_and_rule_and_not_of_seed_or_model(original, manifest):
    config = made_config(original)
    data = stage_data(config)
    other = stage_data(made_config(original, seed=99, image_size={"face": 64, "context": 64}))
    assert (data.row_hash, data.protocol_hash) == (other.row_hash, other.protocol_hash)
    assert row_hash(data.val_rows.iloc[::-1], ["emotion"]) == data.row_hash != data.train_row_hash
    edit_manifest(manifest, lambda row: row | {"split": "val" if row["image"] == "test/000.jpg" else row["split"]})
    assert protocol_hash(rows_of(made_config(manifest))) != data.protocol_hash


def spoil(manifest, change=None, **data):
    if change:
        edit_manifest(manifest, change)
    return made_config(manifest, **data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r | {"split": "train"}, r"no labelled rows of split 'val'; there are train \(64\)"),
        (lambda r: r | {"label_emotion": "smile" if r["split"] == "train" else "sad"}, "at least two classes.*found smile"),
        (lambda r: r | {"label_emotion": "bored"} if r["image"] == "train/007.jpg" else r, "row 7.*bored"),
        (lambda r: r | {"label_emotion": None}, "no row is labelled"),
        (lambda r: r | {"face_landmarks": None}, "lack landmarks.*aligned=false"),
        (lambda r: r | {"face_file": "gone.jpg"} if r["image"] == "train/007.jpg" else r, r"gone.jpg: no such file.*1 of"),
        (lambda r: r | {"sample_id": "x"}, "stand more than once"),
        (lambda r: r | {"status": "no_face"}, "no usable row in train.*no_face"),
    ],
)
def test_what_cannot_be_trained_on_is_named(manifest, change, message):
    with pytest.raises(UserError, match=message) as caught:
        stage_data(spoil(manifest, change))
    assert "\n" not in str(caught.value)


def test_unknown_label_column_lists_those_there_are(original):
    config = made_config(original)
    config = config.model_copy(update={"tasks": {"mood": {"type": "classification", "classes": CLASSES}}})
    with pytest.raises(UserError, match=r"'mood'; the label columns there are: emotion; .*tasks\.mood\.column"):
        stage_data(config)


@pytest.mark.parametrize("optional", [False, True])
def test_half_an_interval_is_a_misspelt_column_not_an_open_interval(manifest, optional):
    config = spoil(manifest, lambda row: row | {"label_age_low": 20.0, "label_age_high": 29.0})
    age = {"type": "regression", "range": [0, 100], "low_column": "age_low", "high_column": "age_hihg", "optional": optional}
    config = config.model_copy(update={"tasks": {**config.tasks, "age": age}})
    message = r"task 'age' reads 'age_low' with 'age_hihg', and 'age_hihg' is no label column; .* there are: age_high, age_low"
    with pytest.raises(UserError, match=message):
        stage_data(config)


def test_unaligned_crops_need_no_landmarks(manifest):
    config = spoil(manifest, lambda row: row | {"face_landmarks": None})
    face = config.model.face.model_copy(update={"aligned": False})
    config = config.model_copy(update={"model": config.model.model_copy(update={"face": face})})
    assert next(iter(stage_data(config).train_loader(0)))["face"].shape == (4, 3, 48, 48)


@pytest.mark.parametrize(("content", "workers"), [(None, 0), (b"\xff\xd8 no jpeg", 0), (None, 1)])
def test_a_file_that_breaks_later_is_one_clear_line_from_any_process(manifest, workers, content):
    config = made_config(manifest, workers=workers)
    rows = rows_of(config).validation("face")
    path = manifest.parent / rows["face_file"][0]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(SampleError, match=rows["sample_id"][0]) as caught:
        list(eval_loader(config, rows, {"face"}))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("sample ")


def test_a_batch_holds_what_its_samples_hold_one_by_one(original):
    config = made_config(original)
    rows = rows_of(config).validation("fused")
    samples = SampleDataset(rows, config, ALL)
    batches = list(eval_loader(config, rows, ALL))
    assert [len(b["sample_id"]) for b in batches] == [4, 4, 4]
    for i, row in rows.iterrows():
        batch, j = batches[i // 4], i % 4
        assert batch["sample_id"][j] == row["sample_id"]
        assert bool(batch["has_face"][j]) == row["has_face"]
        assert int(batch["targets"]["emotion"][j]) == CLASSES.index(row["label_emotion"])
        for name in ALL:
            assert batch[name].dtype == torch.uint8
            assert torch.equal(batch[name][j], samples[i]["pictures"][name])
    assert not batches[0]["face"][~batches[0]["has_face"]].any(), "no face: black, not somebody else's"


def test_only_what_is_asked_for_is_read(original, monkeypatch):
    config = made_config(original)
    rows = rows_of(config).training("face", "train")
    read, seen = SampleDataset._read, []
    monkeypatch.setattr(SampleDataset, "_read", lambda self, i, path, kind: seen.append(kind) or read(self, i, path, kind))
    assert set(SampleDataset(rows, config, {"face"})[0]["pictures"]) == {"face"}
    assert seen == ["face crop"]


@pytest.mark.parametrize("workers", [0, 2])
def test_in_memory_gives_the_same_batches_and_reads_each_file_once(manifest, workers):
    epochs = {}
    for in_memory in (False, True):
        data = stage_data(made_config(manifest, workers=workers, in_memory=in_memory), 2, ALL)
        loaders = [data.train_loader(0), data.train_loader(1), data.val_loader()]
        epochs[in_memory] = [list(loader) for loader in loaders]
        if in_memory:
            for path in list(manifest.parent.rglob("*.jpg")):
                path.unlink()
            epochs["without files"] = [list(loader) for loader in loaders]
        data.close()
    assert len(epochs[False][0]) > 1
    for other in (True, "without files"):
        for wanted, given in zip(epochs[False], epochs[other], strict=True):
            for a, b in zip(wanted, given, strict=True):
                assert a["sample_id"] == b["sample_id"]
                assert all(torch.equal(a[name], b[name]) for name in ALL)
    assert not torch.equal(epochs[False][0][0]["face"], epochs[False][1][0]["face"]), "augmentation is not kept"


@pytest.mark.parametrize(("memory_of", "ranks", "refused"), [(4, 1, False), (3.9, 1, True), (8, 2, False), (7.9, 2, True)])
def test_in_memory_is_refused_before_anything_else_where_it_would_not_fit(original, monkeypatch, memory_of, ranks, refused):
    plain = stage_data(made_config(original))
    samples = len(plain.train_rows) + len(plain.val_rows)
    side = plain.config.data.image_size.face
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(memory_of / 2 * samples * 3 * side * side))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    if not refused:
        stage_data(made_config(original, in_memory=True))
        return
    with pytest.raises(UserError, match=rf"in_memory needs 0\.00 GB for {samples} samples.*set it to false"):
        stage_data(made_config(original, in_memory=True))


def test_memory_is_the_containers_share_where_it_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    whole = memory.memory_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.memory_bytes() == whole
    (tmp_path / "memory.max").write_text(f"{whole // 3}\n")
    assert memory.memory_bytes() == whole // 3


def test_memory_of_a_process_that_was_not_forked_is_its_own():
    kept = memory.PictureMemory(2, {"face": 4})
    kept.put(1, {"face": np.full((4, 4, 3), 7, np.uint8)})
    assert (kept.get(1)["face"] == 7).all()
    other = pickle.loads(pickle.dumps(kept))
    assert other.get(0) is None
    assert other.get(1) is None


def decode(config, inputs=frozenset({"context", "image"}), photo=None, monkeypatch=None, boxes=((30, 20, 60, 50),)):
    boxes = np.array(boxes, np.float32)
    monkeypatch.setattr(dataset, "decode_jpeg", lambda content: photo)
    return decode_sample(
        None, b"", face_box=None, face_landmarks=None, image_box=boxes[0], image_boxes=boxes, config=config, inputs=set(inputs)
    )


def test_the_context_knows_nothing_of_the_hidden_face(original, monkeypatch):
    rng = np.random.default_rng(0)
    for mask in ({"fill": "black"}, {"fill": "mean", "margin": 0.2}):
        config = made_config(original, mask=mask)
        photo = rng.integers(0, 256, (128, 180, 3), dtype=np.uint8)
        first = decode(config, photo=photo, monkeypatch=monkeypatch)
        changed = photo.copy()
        changed[20:50, 30:60] = rng.integers(0, 256, (30, 30, 3))
        second = decode(config, photo=changed, monkeypatch=monkeypatch)
        assert np.array_equal(first["context"], second["context"])
        assert not np.array_equal(first["image"], second["image"])
        assert np.array_equal(first["image"][32:], first["context"][32:]), "the same geometry outside the mask"


def test_subject_or_all_faces_are_masked(original, monkeypatch):
    photo = np.full((64, 64, 3), 200, np.uint8)
    boxes = ((0, 0, 16, 16), (40, 40, 56, 56))
    for faces, hidden in (("subject", 16 * 16), ("all", 2 * 16 * 16)):
        context = decode(made_config(original, mask={"faces": faces}), photo=photo, monkeypatch=monkeypatch, boxes=boxes)[
            "context"
        ]
        assert (context == 0).all(axis=2).sum() == hidden


def test_photos_are_squeezed_whole():
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[:, :4] = photo[:, -4:] = 255
    square = resize_square(photo, 50)
    assert square.shape == (50, 50, 3)
    assert square[:, 0].min() == square[:, -1].min() == 255
    assert resize_square(photo, 224).shape == (224, 224, 3)


def test_the_stored_crop_gives_the_drawn_face(original):
    config = made_config(original)
    rows = rows_of(config).training("face", "train")
    for i in (0, 1, 2):
        face = SampleDataset(rows, config, {"face"})[i]["pictures"]["face"].float().mean((1, 2))
        assert face.argmax() == CLASSES.index(rows["label_emotion"][i])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_stays_that_epoch_whatever_else_is_asked_for(original, workers):
    data = stage_data(made_config(original, workers=workers))
    expected = [batch["sample_id"] for batch in data.train_loader(1)]
    first, second = data.train_loader(0), data.train_loader(1)
    batches = iter(second)
    assert len(first) == len(second) == len(expected)
    data.train_loader(0)
    assert [batch["sample_id"] for batch in batches] == expected
    assert [batch["sample_id"] for batch in first] != expected

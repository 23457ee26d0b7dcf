"""The audit: a planted leak is found and ends in exit code 1, a clean set passes, and a re-split tears nothing."""

import json
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from made_photos import clean_lines, photo, photo_manifest

from caer import __main__ as cli
from caer.audit import findings, pictures
from caer.audit.run import audit_manifest
from preprocessing.errors import UserError
from preprocessing.images import decode_jpeg, encode_jpeg
from preprocessing.manifest import read_manifest, read_part, row_hash, write_manifest


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["caer", "audit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr()
    return int(stop.value.code or 0), written.out, written.err


LEAKS = {
    "copy": lambda x: x,
    "resaved": lambda x: decode_jpeg(encode_jpeg(x, 50)),
    "smaller": lambda x: cv2.resize(x, (120, 90), interpolation=cv2.INTER_AREA),
    "cropped": lambda x: x[2:-2, 2:-2],
    "brighter": lambda x: np.clip(x.astype(int) + 20, 0, 255).astype(np.uint8),
    "mirrored": lambda x: np.ascontiguousarray(x[:, ::-1]),
}


@pytest.mark.parametrize("edit", LEAKS)
def test_a_planted_leak_is_found(tmp_path, edit):
    lines = [*clean_lines(20), ("leak.jpg", LEAKS[edit](photo(0)), "test", "", "smile")]
    found = audit_manifest(photo_manifest(tmp_path, lines)).findings
    assert found["leaks"] == 1
    assert found["near_duplicates"]["between"] == {"train/test": 1}
    assert found["copies"]["straddling"] == (edit == "copy")
    [cluster] = found["clusters"]
    assert cluster["straddles"]
    assert {p["image"] for p in cluster["photos"]} == {"000.jpg", "leak.jpg"}


def test_a_clean_set_passes(tmp_path, monkeypatch, capsys):
    lines = [*clean_lines(20), ("twin.jpg", photo(0), "train", "", "smile")]  # a copy within one split leaks nothing
    code, out, _ = call(monkeypatch, capsys, photo_manifest(tmp_path, lines))
    assert code == 0
    assert "clean: no cluster and no group straddles splits" in out
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["leaks"] == 0
    assert found["copies"] == {"repeats": 1, "clusters": 1, "largest": 2, "straddling": 0, "between": {}}
    assert found["splits"]["train"] == {"rows": 13, "labels": {"age": {"numbers": 13}, "emotion": {"sad": 6, "smile": 7}}}
    assert found["boxes"] == {"boxes": 21, "outside": 0, "empty": 0, "examples": []}


def test_a_leak_ends_in_exit_code_1_and_the_resplit_in_0(tmp_path, monkeypatch, capsys):
    lines = [*clean_lines(20), ("leak.jpg", photo(0), "test", "", "smile")]
    code, out, _ = call(monkeypatch, capsys, photo_manifest(tmp_path, lines), "--resplit", "--page")
    assert code == 1
    assert "LEAK: 1 " in out
    assert "leak.jpg" in (tmp_path / "audit.html").read_text()
    code, out, _ = call(monkeypatch, capsys, tmp_path / "manifest_resplit.parquet")
    assert code == 0
    assert (tmp_path / "manifest_resplit_audit.json").is_file()


def test_a_group_across_splits_is_a_leak(tmp_path):
    lines = [(f"{i}.jpg", photo(i), split, "clip 7", "sad") for i, split in enumerate(["train", "val", "val"])]
    found = audit_manifest(photo_manifest(tmp_path, lines)).findings
    assert found["leaks"] == 1
    assert found["groups"] == {"groups": 1, "straddling": 1, "between": {"train/val": 1}}


def test_rejected_rows_and_rows_without_a_split_leak_nothing(tmp_path):
    lines = [("a.jpg", photo(1), "train", "", "sad"), ("b.jpg", photo(1), "", "", "sad")]
    assert audit_manifest(photo_manifest(tmp_path, lines)).findings["leaks"] == 0
    lines = [("a.jpg", photo(1), "train", "g", "sad"), ("b.jpg", photo(1), "test", "g", "sad")]
    assert audit_manifest(photo_manifest(tmp_path, lines, status="rejected")).findings["leaks"] == 0


def test_one_picture_under_two_labels(tmp_path):
    near = LEAKS["brighter"](photo(1))
    lines = [("a.jpg", photo(0), "train", "", "sad"), ("b.jpg", photo(0), "train", "", "smile")]
    lines += [
        ("c.jpg", photo(1), "train", "", "sad"),
        ("d.jpg", near, "train", "", "smile"),
        ("e.jpg", photo(1), "train", "", ""),
    ]
    found = audit_manifest(photo_manifest(tmp_path, lines)).findings
    assert found["contradictions"]["emotion"] == {"copies": 1, "near_duplicates": 2}
    assert found["contradictions"]["age"] == {"copies": 0, "near_duplicates": 0}
    assert found["leaks"] == 0
    assert [c["contradicts"] for c in found["clusters"]] == [["emotion"], ["emotion"]]


def test_boxes_outside_their_photo_are_counted():
    box = [[0, 0, 240, 180], [-0.5, 0, 240.9, 180], [-9, 0, 100, 100], [0, 0, 10, 190], [50, 50, 50, 90], None]
    rows = pd.DataFrame({"sample_id": list("abcdef"), "box": [None if b is None else np.array(b, np.float32) for b in box]})
    found = findings.boxes(rows.assign(width=240, height=180))
    assert found == {"boxes": 5, "outside": 2, "empty": 1, "examples": ["c", "d", "e"]}


def test_photos_without_a_picture_are_no_copies_of_each_other(tmp_path):
    lines = [("a.jpg", photo(0), "train", "", "sad"), ("b.jpg", photo(1), "test", "", "sad")]
    found = audit_manifest(photo_manifest(tmp_path, lines, image_file="", face_file="", status="unreadable")).findings
    assert (found["leaks"], found["photos"], found["status"]) == (0, 0, {"unreadable": 2})


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    path = photo_manifest(tmp_path, clean_lines(5))
    pictures = sorted((tmp_path / "images").iterdir())
    pictures[0].write_bytes(b"no picture")
    pictures[1].unlink()
    code, out, err = call(monkeypatch, capsys, path)
    assert (code, out) == (2, "")
    assert "2 of 5 photos that the manifest names are absent or damaged" in err
    assert not (tmp_path / "audit.json").exists()
    sidecar = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(sidecar | {"row_hash": "0"}))
    with pytest.raises(UserError, match="row_hash differs"):
        audit_manifest(path)
    assert call(monkeypatch, capsys, tmp_path / "none.parquet")[0] == 2


@pytest.mark.parametrize("column", ["group", "split", "image_file"])
@pytest.mark.parametrize("rows", [1, 3])
def test_null_where_a_text_belongs_is_one_line(tmp_path, monkeypatch, capsys, column, rows):
    path = photo_manifest(tmp_path, clean_lines(3))
    lines = [row | ({column: None} if i < rows else {}) for i, row in enumerate(read_part(path))]
    write_manifest(tmp_path, [lines], {"age": "double", "emotion": "string"}, {})
    code, out, err = call(monkeypatch, capsys, path, "--resplit")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: {rows} of 3 rows have null as {column}, first sample {lines[0]['sample_id']}; ")
    assert err.endswith("write the manifest with '' there\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resplit", "--task", "age"], "unknown task with names for labels 'age'; known: emotion"),
        (["--labels", "{}/none.parquet"], "none.parquet: no such file"),
    ],
)
def test_arguments_are_checked_before_any_photo_is_read(tmp_path, monkeypatch, capsys, options, words):
    path = photo_manifest(tmp_path, clean_lines(5))
    monkeypatch.setattr(pictures, "read_fingerprint", lambda file: pytest.fail("a photo was read"))
    code, out, err = call(monkeypatch, capsys, path, *(option.format(tmp_path) for option in options))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def leaky_lines(count: int, rng: np.random.Generator):
    """Photos of two classes in three splits, of which many repeat another or share a person with others."""
    for i in range(count):
        split = rng.choice(["train", "val", "test"], p=[0.6, 0.2, 0.2])
        person = f"person {rng.integers(12)}" if i % 3 == 0 else ""
        yield f"{i:03d}.jpg", photo(int(i * 0.7)), str(split), person, "smile" if rng.random() < 0.3 else "sad"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_resplit_tears_nothing_and_keeps_sizes_and_shares(tmp_path, seed):
    path = photo_manifest(tmp_path, leaky_lines(90, np.random.default_rng(seed)))
    audit = audit_manifest(path, new_splits=True)
    assert audit.findings["leaks"] > 3
    again = audit_manifest(audit.files[1])
    assert again.findings["leaks"] == 0
    old, new = read_manifest(path), read_manifest(audit.files[1])
    assert new.meta["row_hash"] == row_hash(new.rows)
    assert new.meta["resplit"]["row_hash"] == old.meta["row_hash"]
    rows = [[{**row, "split": "", "group": ""} for row in read_part(p)] for p in (path, audit.files[1])]
    assert rows[0] == rows[1]
    sizes = [m.rows["split"].value_counts() for m in (old, new)]
    assert (sizes[0] - sizes[1]).abs().max() <= 4
    shares = [m.rows.groupby("split")["label_emotion"].value_counts(normalize=True).unstack() for m in (old, new)]
    assert (shares[0] - shares[1]).abs().max(None) < 0.08
    # what hangs together is one group from now on, so that holdouts and intervals respect it
    groups = [{photo["group"] for photo in cluster["photos"]} for cluster in again.findings["clusters"]]
    assert groups
    assert all(len(names) == 1 and names != {""} for names in groups)


def test_rows_that_leak_nothing_keep_their_split(tmp_path):
    lines = [*clean_lines(30), ("leak.jpg", photo(0), "test", "", "smile")]
    path = photo_manifest(tmp_path, lines)
    new = read_manifest(audit_manifest(path, new_splits=True).files[1]).rows
    old = read_manifest(path).rows
    moved = old["image"][old["split"] != new["split"]].tolist()
    assert moved in (["leak.jpg"], ["000.jpg"])


def test_a_set_that_is_one_cluster_cannot_be_split(tmp_path):
    lines = [(f"{i}.jpg", photo(0), split, "", "sad") for i, split in enumerate(["train", "train", "test"])]
    with pytest.raises(UserError, match="no rows are left for test"):
        audit_manifest(photo_manifest(tmp_path, lines), new_splits=True)
    with pytest.raises(UserError, match="unknown task with names for labels 'age'; known: emotion"):
        audit_manifest(tmp_path, new_splits=True, task="age")


def test_the_table_of_a_resplit_is_a_dataset(tmp_path):
    """The CSV goes back into preprocessing: same photos, new splits and groups, same labels."""
    from preprocessing.datasets import dataframe

    path = photo_manifest(tmp_path, leaky_lines(40, np.random.default_rng(0)))
    audit_manifest(path, new_splits=True)
    samples = list(dataframe.build(dataframe.Config(root=tmp_path / "manifest_resplit.csv", name="made")).samples())
    rows = read_manifest(tmp_path / "manifest_resplit.parquet").rows
    assert [(s.image, s.split, s.group, s.labels["emotion"]) for s in samples] == list(
        zip(rows["image"], rows["split"], rows["group"], rows["label_emotion"], strict=True)
    )

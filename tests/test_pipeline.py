"""From photos to a manifest: every photo has a row, and the rows depend on nothing but photos and settings."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import require
from PIL import Image

from preprocessing import __main__ as cli
from preprocessing import pool
from preprocessing.align import warp_face
from preprocessing.datasets import dataframe, image_folder
from preprocessing.decisions import Decision, append_decision
from preprocessing.errors import UserError
from preprocessing.images import decode_jpeg, read_image
from preprocessing.manifest import read_manifest, row_hash, sample_id
from preprocessing.mask import mask_faces
from preprocessing.pipeline import ContextMask, preprocess, process
from preprocessing.records import build_detector
from preprocessing.settings import Settings
from preprocessing.types import Face


class Fixed:
    """A detector that always answers the same."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        return self.faces


def face(x1, y1, x2, y2, score=0.95) -> Face:
    box = np.array([x1, y1, x2, y2], np.float32)
    points = box[:2] + (box[2:] - box[:2]) * np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Face(box, points.astype(np.float32), score)


def noise(height: int, width: int, seed: int = 0, cell: int = 8) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (height // cell + 1, width // cell + 1, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def test_crops_and_coordinates_agree():
    image = noise(900, 1400, cell=60)
    chosen = face(700, 300, 1000, 640)
    (record,) = process(image, Settings(), Fixed(chosen, face(10, 10, 60, 60)))
    assert (record.status, record.rank, record.width, record.height) == ("ok", 0, 1400, 900)
    crop = decode_jpeg(record.face_jpeg)
    assert max(crop.shape[:2]) == 384
    small = decode_jpeg(record.image_jpeg)
    assert min(small.shape[:2]) == 256
    assert np.allclose(record.image_boxes[0], chosen.box * 256 / 900, atol=0.5)
    assert np.allclose(record.image_box, record.image_boxes[0])
    assert record.all_boxes.shape == (2, 5)
    # the same face cut from the photo and from the stored crop is the same picture
    for aligned in (True, False):
        direct = warp_face(image, chosen.box, chosen.landmarks, 96, aligned, 0.1)
        stored = warp_face(crop, record.face_box, record.face_landmarks, 96, aligned, 0.1)
        assert np.abs(direct.astype(int) - stored.astype(int)).mean() < 2.5


def test_a_crop_at_the_edge_is_cut_off_not_padded():
    (record,) = process(noise(200, 300), Settings(), Fixed(face(0, 0, 80, 100)))
    assert decode_jpeg(record.face_jpeg).shape == (150, 140, 3)  # half a side of 200 around (40, 50)
    assert record.face_box.tolist() == [0, 0, 80, 100]


def test_threshold_size_and_modes():
    image = noise(100, 200)
    faces = [face(0, 0, 10, 40, 0.99), face(50, 10, 80, 40, 0.92), face(100, 10, 120, 30, 0.97), face(150, 0, 199, 99, 0.5)]
    (record,) = process(image, Settings(), Fixed(*faces))
    assert record.face is faces[1]
    assert len(record.all_boxes) == 3
    everyone = process(image, Settings(select="all", min_size=5), Fixed(*faces))
    assert [r.rank for r in everyone] == [0, 1, 2]
    assert [r.face for r in everyone] == [faces[1], faces[0], faces[2]]
    (small,) = process(image, Settings(min_size=60), Fixed(*faces))
    assert (small.status, small.face_jpeg) == ("too_small", None)
    assert small.image_jpeg is not None
    (none,) = process(image, Settings(threshold=1.0), Fixed(*faces))
    assert (none.status, none.face, len(none.all_boxes), len(none.image_boxes)) == ("no_face", None, 0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (2000, 3)])
def test_photos_of_any_shape(shape):
    image = np.zeros((*shape, 3), np.uint8)
    (record,) = process(
        image, Settings(detector={"type": "whole"}, min_size=1), build_detector(Settings(detector={"type": "whole"}))
    )
    assert record.status == "ok"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """100 photos in two classes, with an unreadable and an empty one, and a list of boxes."""
    root = tmp_path_factory.mktemp("photos")
    lines = []
    for i in range(100):
        path = root / "ab"[i % 2] / f"ü {i:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(120, 160, i)).save(path, quality=92)
        if i % 10:
            lines.append(f"{path.relative_to(root).as_posix()},0,{20 + i % 7},{10 + i % 5},{90 - i % 3},{100 + i % 40}")
    (root / "a" / "zz.jpg").write_bytes(b"")
    (root / "b" / "zz.png").write_bytes(b"no picture")
    (root / "boxes.txt").write_text("\n".join(lines))
    return root


def settings_for(photos: Path, **changes) -> Settings:
    return Settings(detector={"type": "boxes", "files": [str(photos / "boxes.txt")]}, **changes)


def folder(root: Path) -> image_folder.ImageFolder:
    return image_folder.build(image_folder.Config(root=root))


@pytest.fixture(scope="module")
def reference(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    return preprocess(folder(photos), settings_for(photos), out, workers=2, write_context=ContextMask(margin=0.1))


def test_every_photo_has_a_row(reference, photos):
    manifest = read_manifest(reference.manifest)
    rows = manifest.rows
    assert len(rows) == 102
    assert rows.status.value_counts().to_dict() == {"ok": 90, "no_face": 10, "empty": 1, "unreadable": 1}
    assert reference.summary["status"] == rows.status.value_counts().to_dict()
    assert (rows.reason[rows.status != "ok"] != "").all()
    assert reference.summary["dataset"]["ignored_files"] == {".txt": 1}
    assert manifest.tasks == ["emotion"]
    assert set(rows.label_emotion) == {"a", "b"}
    assert set(rows.split) == {"train", "val", "test"}
    assert manifest.meta["row_hash"] == row_hash(rows)
    assert rows.sample_id[rows.image == "a/ü 000.jpg"].item() == sample_id("image_folder", "a/ü 000.jpg", 0)
    json.loads((reference.manifest.parent / "summary.json").read_text())


def test_stored_files_are_what_the_rows_say(reference):
    manifest = read_manifest(reference.manifest)
    for row in manifest.rows[manifest.rows.status == "ok"].to_dict("records")[:10]:
        crop = decode_jpeg((manifest.folder / row["face_file"]).read_bytes())
        x1, y1, x2, y2 = row["face_box"]
        assert -0.01 <= x1 < x2 <= crop.shape[1] + 0.01
        assert -0.01 <= y1 < y2 <= crop.shape[0] + 0.01
    without = manifest.rows[manifest.rows.status != "ok"]
    assert (without.face_file == "").all()
    assert (without.image_file[without.status == "no_face"] != "").all()
    assert (without.image_file[without.status.isin(["empty", "unreadable"])] == "").all()


def test_written_contexts_are_the_pixels_that_training_masks(reference):
    manifest = read_manifest(reference.manifest)
    for row in manifest.rows[manifest.rows.image_file != ""].to_dict("records")[:12]:
        image = decode_jpeg((manifest.folder / row["image_file"]).read_bytes())
        boxes = np.zeros((0, 4)) if row["image_box"] is None else np.array(row["image_box"])[None]
        identity = row["sample_id"]
        written = read_image(manifest.folder / "context" / identity[:2] / f"{identity}.png")
        assert (written == mask_faces(image, boxes, "black", 0.1)).all()


def test_another_number_of_workers_and_a_repetition_give_the_same_rows(reference, photos, tmp_path):
    context = ContextMask(margin=0.1)
    alone = preprocess(folder(photos), settings_for(photos), tmp_path, workers=1, write_context=context)
    assert alone.row_hash == reference.row_hash
    again = preprocess(folder(photos), settings_for(photos), tmp_path, workers=2, write_context=context)
    assert again.row_hash == reference.row_hash
    assert again.summary["run"]["photos"] == 0


def run_arguments(photos: Path, out: Path) -> list[str]:
    where = ["run", "--dataset", "image_folder", "--root", str(photos), "--out", str(out), "--workers", "2"]
    return [*where, "--detector", "boxes", "--set", f"detector.files={photos / 'boxes.txt'}"]


KILLED = """
import multiprocessing, os, runpy, signal
from preprocessing import pipeline
run_chunks = pipeline.run_chunks
def killed_after_the_first(job, chunks, workers):
    for _ in run_chunks(job, chunks, workers):
        print("workers:", *(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        yield
pipeline.run_chunks = killed_after_the_first
runpy.run_module("preprocessing", run_name="__main__")
"""


def killed_run(photos: Path, out: Path) -> list[str]:
    """Run the command and kill it once its first part is there; returns the ids of its workers, once they are gone."""
    command = [sys.executable, "-c", KILLED, *run_arguments(photos, out)]
    # ends with the last process that holds the output: the workers outlive a kill for a moment
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return killed.stdout.partition("workers:")[2].split()


def test_killed_and_started_again_it_ends_at_the_same_rows(reference, photos, tmp_path):
    out = tmp_path / "killed"
    killed_run(photos, out)
    assert list(out.glob("parts/*.parquet"))
    assert not (out / "manifest.parquet").exists()
    (out / "parts" / ".0000009-x.parquet.tmp").write_bytes(b"half")
    resumed = preprocess(folder(photos), settings_for(photos), out, workers=1)
    assert resumed.row_hash == reference.row_hash
    assert not list(out.rglob(".*.tmp"))


class Deadly:
    """A detector that takes its process along at one photo: once if a flag file can be removed, else always."""

    def __init__(self, flag: Path | None) -> None:
        self.flag = flag

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        if key.endswith("007.jpg"):
            if self.flag is None:
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.flag.exists():
                self.flag.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return [face(20, 20, 80, 90)]


def start_deadly(job) -> None:
    flag = job.out / "flag"
    always = (job.out / "always").exists()
    pool._worker = pool._Worker(job, Deadly(None if always else flag))


@pytest.mark.parametrize("always", [False, True])
def test_a_worker_that_is_killed_costs_no_row(photos, tmp_path, monkeypatch, always):
    monkeypatch.setattr(pool, "_start_worker", start_deadly)
    (tmp_path / ("always" if always else "flag")).touch()
    monkeypatch.setattr(multiprocessing, "get_context", lambda _method, get=multiprocessing.get_context: get("fork"))
    result = preprocess(folder(photos), Settings(detector={"type": "whole"}), tmp_path, workers=2)
    crashed = {"crashed": 1} if always else {}
    assert result.summary["status"] == {"ok": 100 - always, "empty": 1, "unreadable": 1, **crashed}


class Hanging:
    """A detector that never comes back from one photo."""

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        while key.endswith("007.jpg"):
            time.sleep(1)
        return [face(20, 20, 80, 90)]


def start_hanging(job) -> None:
    pool._worker = pool._Worker(job, Hanging())


def test_a_photo_that_hangs_its_worker_becomes_a_row(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_start_worker", start_hanging)
    monkeypatch.setattr(pool, "PHOTO_SECONDS", 10.0)  # far more than any other of these photos takes on a busy machine
    monkeypatch.setattr(pool, "MAX_BREAKS", 1)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _method, get=multiprocessing.get_context: get("fork"))
    result = preprocess(folder(photos), Settings(detector={"type": "whole"}), tmp_path, workers=2)
    assert result.summary["status"] == {"ok": 99, "empty": 1, "unreadable": 1, "crashed": 1}
    rows = read_manifest(result.manifest).rows
    (hung,) = rows[rows["status"] == "crashed"].itertuples()
    assert hung.image.endswith("007.jpg")
    assert "took over 10 s" in hung.reason


def test_workers_leave_with_the_main_process(photos, tmp_path):
    pids = killed_run(photos, tmp_path / "out")
    assert pids
    until = time.monotonic() + 240
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < until, "a worker outlives the main process"
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_added_photos_are_taken_in_and_other_settings_refused(photos, tmp_path):
    root = tmp_path / "few"
    for i in range(3):
        (root / "train" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(60, 60, i)).save(root / "train" / "a" / f"{i}.png")
    whole = Settings(detector={"type": "whole"})
    first = preprocess(folder(root), whole, tmp_path / "out", workers=1)
    Image.fromarray(noise(60, 60, 9)).save(root / "train" / "a" / "9.png")
    second = preprocess(folder(root), whole, tmp_path / "out", workers=1)
    assert (first.summary["rows"], second.summary["rows"]) == (3, 4)
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 1
    Image.fromarray(noise(80, 80, 9)).save(root / "train" / "a" / "9.png")
    changed = read_manifest(preprocess(folder(root), whole, tmp_path / "out", workers=1).manifest)
    assert changed.rows.width.tolist() == [60, 60, 60, 80]
    with pytest.raises(UserError, match=r"made with settings.min_size 16.0, now 20.0; choose another --out"):
        preprocess(folder(root), whole.model_copy(update={"min_size": 20.0}), tmp_path / "out", workers=1)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.parquet").touch()
    with pytest.raises(UserError, match="choose another --out"):
        preprocess(folder(root), whole, tmp_path / "foreign", workers=1)


def test_decisions_are_applied_at_each_run(photos, tmp_path):
    root = tmp_path / "photos"
    (root / "train" / "a").mkdir(parents=True)
    Image.fromarray(noise(100, 200)).save(root / "train" / "a" / "1.png")
    Image.fromarray(noise(100, 200, 1)).save(root / "train" / "a" / "2.png")
    (root / "list.csv").write_text("train/a/1.png,0,0,60,60\ntrain/a/1.png,100,0,150,50\ntrain/a/2.png,0,0,50,50\n")
    settings = Settings(detector={"type": "boxes", "files": [str(root / "list.csv")]})
    out = tmp_path / "out"
    rows = read_manifest(preprocess(folder(root), settings, out, workers=1).manifest).rows
    assert rows.box[0].tolist() == [0, 0, 60, 60]
    append_decision(out, Decision(sample_id=rows.sample_id[0], action="face", box=(102, 2, 148, 48)))
    append_decision(out, Decision(sample_id=rows.sample_id[0], action="relabel", task="emotion", label="b"))
    append_decision(out, Decision(sample_id=rows.sample_id[1], action="reject"))
    append_decision(out, Decision(sample_id="0" * 64, action="reject"))
    result = preprocess(folder(root), settings, out, workers=1)
    rows = read_manifest(result.manifest).rows
    assert rows.box[0].tolist() == [100, 0, 150, 50]
    assert rows.label_emotion.tolist() == ["b", "a"]
    assert rows.status.tolist() == ["ok", "rejected"]
    assert result.summary["decisions"] == {"applied": 2, "of absent samples": 1}
    (tmp_path / "all").mkdir()
    append_decision(tmp_path / "all", Decision(sample_id="0" * 64, action="face", box=(1, 2, 3, 4)))
    with pytest.raises(UserError, match="select: all"):
        preprocess(folder(root), settings.model_copy(update={"select": "all"}), tmp_path / "all", workers=1)


def test_missing_photos_of_a_table_become_rows_unless_all_are(tmp_path):
    Image.fromarray(noise(60, 60)).save(tmp_path / "1.png")
    pd.DataFrame({"path": ["1.png", "2.png"], "split": "train", "age": [1, 2]}).to_csv(tmp_path / "t.csv", index=False)
    whole = Settings(detector={"type": "whole"})
    rows = read_manifest(
        preprocess(dataframe.build(dataframe.Config(root=tmp_path)), whole, tmp_path / "o", workers=1).manifest
    ).rows
    assert rows.status.tolist() == ["ok", "missing"]
    assert rows.label_age.tolist() == [1.0, 2.0]
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match="none of the 2 listed photos is there"):
        preprocess(dataframe.build(dataframe.Config(root=tmp_path)), whole, tmp_path / "o2", workers=1)
    (tmp_path / "t.csv").write_text("path\n1.png\n./1.png\n")
    Image.fromarray(noise(60, 60)).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"listed more than once, first '1.png'"):
        preprocess(dataframe.build(dataframe.Config(root=tmp_path)), whole, tmp_path / "o3", workers=1)


COUNTED_OTHERWISE = {
    "pillow__Tests_images_hopper_16bit.pgm": 1,  # read at its 16 bits instead of clipped to white
    "Pytorch_Retinaface__curve_test.jpg": 22,  # the list counts fainter faces of the crowd than threshold 0.9 does
    "1MB__img_sample.jpg": 97,  # a crowd of hundreds; the count depends on the size at which the network sees it
}


def test_the_robustness_set(robustness, tmp_path):
    try:
        build_detector(Settings())
    except UserError as error:
        require("weights", False, str(error))
        raise
    listed = pd.read_csv(robustness / "manifest.csv").set_index("file")
    result = preprocess(folder(robustness / "files"), Settings(), tmp_path, workers=2)
    rows = read_manifest(result.manifest).rows.set_index("image")
    assert set(rows.index) == set(listed.index)
    broken = listed.n_faces.isna()
    assert set(rows.status[broken]) == {"unreadable", "empty", "bomb"}
    assert rows.status[~broken].isin(["ok", "no_face"]).all()
    different = {image: n for image, n in rows.n_faces[~broken].items() if n != listed.n_faces[image]}
    assert different == COUNTED_OTHERWISE
    whole = listed.index[~broken]
    sizes = [
        (w, h) if not o >= 5 else (h, w) for w, h, o in listed.loc[whole, ["w", "h", "exif_orientation"]].itertuples(index=False)
    ]
    assert list(rows.loc[whole, ["width", "height"]].itertuples(index=False, name=None)) == sizes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--dataset", "nosuch", "--root", ".", "--out", "o"], "unknown dataset 'nosuch'; known: "),
        (["run", "--dataset", "image_folder", "--root", "nowhere", "--out", "o"], "nowhere: no such folder"),
        (["run", "--dataset", "image_folder", "--root", "empty", "--out", "o"], "no photos found in empty"),
        (
            ["run", "--dataset", "image_folder", "--root", "empty", "--out", "o", "--detector", "nosuch"],
            "unknown detector 'nosuch'",
        ),
        (["run", "--dataset", "image_folder", "--out", "o"], "no --root given"),
        (["run", "--root", ".", "--out", "o"], "no 'type' given; known: "),
        (["run", "--dataset", "image_folder", "--root", ".", "--out", "o", "--set", "threshold=3"], "threshold"),
        (["run", "--dataset", "image_folder", "--root", ".", "--out", "o", "--set", "dataset.x=3"], "unknown key 'x'"),
        (["run", "--dataset", "image_folder", "--root", ".", "--out", "file.jpg", "--detector", "whole"], "cannot be written"),
        (["--dataset", "image_folder", "--root", "nowhere", "--out", "o"], "nowhere: no such folder"),
        (["run", "--dataset", "image_folder"], "Missing option"),
        (["nosuch"], "No such command"),
    ],
)
def test_wrong_use_ends_with_one_line_and_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.jpg").write_bytes(b"x")
    monkeypatch.setattr(sys, "argv", ["preprocessing", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in written
    assert len(written.splitlines()) <= 4
    assert not (tmp_path / "o").exists()

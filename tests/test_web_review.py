"""The review without a browser: filters, what a sample is, what may be written, what is served."""

import json
import os
import threading
import time

import numpy as np
import pytest
from made_manifest import edit_manifest, made_manifest

from caer.web.bench import Bench
from caer.web.samples import SUSPECTS, Filters, pages, read_suspects
from preprocessing.datasets import image_folder
from preprocessing.decisions import FILE, read_decisions
from preprocessing.errors import UserError
from preprocessing.images import encode_png
from preprocessing.manifest import read_manifest, write_manifest
from preprocessing.pipeline import preprocess
from preprocessing.settings import Settings


@pytest.fixture
def out(tmp_path):
    """Twelve samples; the photos of train/000 and train/004 show no face, train/001 shows two and a small third one."""
    path = made_manifest(tmp_path, {"train": 8, "val": 4}, no_face_every=4)

    def two_faces(row):
        if row["image"] == "train/001.jpg":
            row["all_boxes"] = [*row["all_boxes"], 120, 60, 180, 120, 0.95, 5, 5, 9, 9, 0.91]
            row["n_faces"] = 3
        return row

    edit_manifest(path, two_faces)
    return tmp_path


@pytest.fixture
def bench(out):
    return Bench(out)


def images(bench, **filters):
    loaded = bench.loaded()
    chosen = loaded.samples.choose(Filters(**filters), loaded.journal.decisions())
    return [loaded.samples.rows["image"][i] for i in chosen]


def identity(bench, image):
    rows = bench.loaded().samples.rows
    return rows["sample_id"][rows["image"] == image].item()


def decide(bench, image, action, **fields):
    return bench.decide({"sample_id": identity(bench, image), "action": action, **fields})["standing"]


def test_no_filter_shows_every_row_and_each_filter_what_it_names(bench):
    every = images(bench)
    assert len(every) == 12
    assert images(bench, statuses=("no_face",)) == ["train/000.jpg", "train/004.jpg", "val/000.jpg"]
    assert images(bench, splits=("val",)) == every[8:]
    assert images(bench, sources=("elsewhere",)) == []
    assert images(bench, task="emotion", labels=("sad",)) == ["train/001.jpg", "train/004.jpg", "train/007.jpg", "val/001.jpg"]
    assert images(bench, several_faces=True) == ["train/001.jpg"]
    assert len(images(bench, score=(0.5, 1.0))) == 9, "rows without a face have no score"
    assert images(bench, score=(0.0, 0.5)) == []


def test_filters_follow_decisions_before_preprocessing_applies_them(bench):
    decide(bench, "train/001.jpg", "reject")
    decide(bench, "train/002.jpg", "relabel", task="emotion", label="sad")
    decide(bench, "train/003.jpg", "accept")
    assert images(bench, statuses=("rejected",)) == ["train/001.jpg"]
    assert "train/001.jpg" not in images(bench, statuses=("ok",))
    assert "train/002.jpg" in images(bench, task="emotion", labels=("sad",))
    assert images(bench, reviewed="yes") == ["train/001.jpg", "train/002.jpg", "train/003.jpg"]
    assert sorted(images(bench, reviewed="yes") + images(bench, reviewed="no")) == images(bench)


def test_rows_rejected_by_an_earlier_run_get_their_status_back(bench, out):
    def reject(row):
        return row | {"status": "rejected"}

    edit_manifest(out / "manifest.parquet", reject)
    assert len(images(bench, statuses=("ok",))) == 9, "no decision rejects them any more"
    assert len(images(bench, statuses=("no_face",))) == 3


def test_suspected_labels_come_most_suspected_first_and_only_where_the_other_filters_hold(bench, out):
    lines = ["sample_id,task,given,suggested,score"]
    for image, score in (("train/001.jpg", 0.4), ("train/002.jpg", 0.1), ("val/001.jpg", 0.2)):
        lines.append(f"{identity(bench, image)},emotion,x,sad,{score}")
    (out / SUSPECTS).write_text("\n".join([*lines, f"{'0' * 64},emotion,x,sad,0"]) + "\n")
    assert images(bench, task="emotion", suspected=True) == ["train/002.jpg", "val/001.jpg", "train/001.jpg"]
    assert images(bench, task="emotion", suspected=True, splits=("train",)) == ["train/002.jpg", "train/001.jpg"]
    loaded = bench.loaded()
    assert loaded.samples.item(2, loaded.journal.decisions())["suspects"] == {"emotion": "sad"}


def test_a_damaged_list_of_suspects_is_named(tmp_path):
    (tmp_path / SUSPECTS).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"suspects\.csv"):
        read_suspects(tmp_path)


def test_an_item_is_plain_json_with_boxes_as_shares_and_only_faces_that_may_be_chosen(bench):
    loaded = bench.loaded()
    for i in range(12):
        json.dumps(loaded.samples.item(i, loaded.journal.decisions()))
    item = loaded.samples.item(1, loaded.journal.decisions())
    assert (item["image"], item["labels"], item["status"], item["faces"]) == ("train/001.jpg", {"emotion": "sad"}, "ok", 3)
    assert len(item["boxes"]) == 2, "the third is below min_size: preprocessing would not take it"
    assert item["box"] == item["boxes"][0]["at"] == pytest.approx([27 / 220, 15 / 150, 87 / 220, 75 / 150], abs=1e-4)
    assert loaded.samples.item(0, loaded.journal.decisions())["box"] is None


def test_a_decision_is_a_line_at_once_and_the_sample_stands_as_it_says(bench, out):
    assert decide(bench, "train/001.jpg", "reject")["status"] == "rejected"
    assert len((out / FILE).read_text().splitlines()) == 1
    assert decide(bench, "train/001.jpg", "accept")["status"] == "ok"
    assert decide(bench, "train/001.jpg", "relabel", task="emotion", label="angry")["labels"] == {"emotion": "angry"}
    standing = decide(bench, "train/001.jpg", "face", box=[120, 60, 180, 120])
    assert standing["chosen"]
    assert standing["box"] == pytest.approx([120 / 220, 60 / 150, 180 / 220, 120 / 150], abs=1e-4)
    held = read_decisions(out)
    assert (held.rejected, held.labels, len(held.boxes)) == ({}, {identity(bench, "train/001.jpg"): {"emotion": "angry"}}, 1)
    assert all(d.time for d in held.history[identity(bench, "train/001.jpg")])


def test_what_the_review_decides_the_next_preprocessing_applies(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    lines = ["path,x1,y1,x2,y2"]
    for name in ("train/smile/a.png", "train/smile/b.png", "train/sad/c.png", "train/sad/d.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encode_png(pixels))
        lines += [f"{name},10,10,60,60", f"{name},90,20,130,60"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    settings = Settings(detector={"type": "boxes", "files": [str(tmp_path / "boxes.csv")]})
    dataset = image_folder.build(image_folder.Config(root=tmp_path / "photos"))
    out = preprocess(dataset, settings, tmp_path / "out", workers=1).manifest.parent
    bench = Bench(out)
    decide(bench, "train/smile/a.png", "reject")
    decide(bench, "train/smile/b.png", "face", box=[90, 20, 130, 60])
    decide(bench, "train/sad/c.png", "relabel", task=bench.loaded().samples.manifest.tasks[0], label="smile")
    before = {row["image"]: row for row in bench.loaded().samples.rows.to_dict("records")}
    preprocess(dataset, settings, out, workers=1)
    rows = {row["image"]: row for row in bench.loaded().samples.rows.to_dict("records")}
    assert rows["train/smile/a.png"]["status"] == "rejected"
    assert rows["train/smile/b.png"]["box"].tolist() == [90, 20, 130, 60]
    assert before["train/smile/b.png"]["box"].tolist() == [10, 10, 60, 60]
    task = bench.loaded().samples.manifest.tasks[0]
    assert rows["train/sad/c.png"][f"label_{task}"] == "smile"
    assert rows["train/sad/d.png"][f"label_{task}"] == "sad"
    assert sorted(images(bench, reviewed="yes")) == ["train/sad/c.png", "train/smile/a.png", "train/smile/b.png"]


def test_undo_gives_back_what_was_before_whatever_it_was(bench):
    before = bench.loaded().samples.item(1, bench.loaded().journal.decisions())
    decide(bench, "train/001.jpg", "reject", key="k1")
    decide(bench, "train/001.jpg", "relabel", task="emotion", label="angry", key="k2")
    decide(bench, "train/001.jpg", "face", box=[120, 60, 180, 120], key="k3")
    for key in ("k2", "k3", "k1"):
        standing = decide(bench, "train/001.jpg", "undo", key=key)
    assert standing == {name: before[name] for name in standing}
    assert not standing["reviewed"]


def test_a_decision_sent_twice_is_written_once_and_so_is_its_undo(bench, out):
    for _ in range(3):
        decide(bench, "train/001.jpg", "reject", key="k1")
    for _ in range(3):
        decide(bench, "train/001.jpg", "undo", key="k1")
    assert len((out / FILE).read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action": "eat"}, "accept"),
        ({"action": "reject", "sample_id": "0" * 64}, "not in"),
        ({"action": "reject", "sample_id": "../../etc/passwd"}, "sample_id"),
        ({"action": "relabel", "task": "age", "label": "old"}, "task 'age'"),
        ({"action": "relabel", "task": "emotion", "label": ["a"]}, "label"),
        ({"action": "face", "box": [0, 0, 1, 1]}, "none of the photo's 2 faces"),
        ({"action": "face", "box": [0, 0, float("nan"), 1]}, "finite"),
        ({"action": "undo"}, "key"),
        ({"action": "reject", "key": "a\nb"}, "key"),
        ({"action": "reject", "surprise": 1}, "surprise"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_written(bench, out, fields, expected):
    with pytest.raises(UserError, match=expected):
        bench.decide({"sample_id": identity(bench, "train/001.jpg"), **fields})
    assert not (out / FILE).exists()


def test_a_face_cannot_be_chosen_where_every_face_is_a_sample(out):
    manifest = read_manifest(out)
    rows = [row | {"label_emotion": "sad"} for row in json.loads(manifest.rows.to_json(orient="records"))]
    settings = manifest.meta["settings"] | {"select": "all"}
    write_manifest(out, [rows], {"emotion": "string"}, manifest.meta | {"settings": settings})
    with pytest.raises(UserError, match="select: all"):
        decide(Bench(out), "train/001.jpg", "face", box=[120, 60, 180, 120])


def test_labels_that_are_numbers_stay_numbers(tmp_path):
    path = made_manifest(tmp_path, {"train": 3})
    rows = [row | {"label_age": float(i)} for i, row in enumerate(json.loads(read_manifest(path).rows.to_json(orient="records")))]
    write_manifest(tmp_path, [rows], {"age": "double"}, read_manifest(path).meta)
    bench = Bench(tmp_path)
    assert decide(bench, "train/001.jpg", "relabel", task="age", label="31")["labels"] == {"age": "31"}
    assert read_decisions(tmp_path).labels[identity(bench, "train/001.jpg")] == {"age": 31.0}
    for wrong in ("old", float("inf")):
        with pytest.raises(UserError):
            decide(bench, "train/001.jpg", "relabel", task="age", label=wrong)


def test_writers_at_once_lose_nothing(bench, out):
    names = [f"train/{i:03d}.jpg" for i in range(8)]
    second = Bench(out)  # as another process would hold it

    def work(own, start):
        for n in range(15):
            decide(own, names[(start + n) % 8], "accept", key=f"{start}-{n}")

    threads = [threading.Thread(target=work, args=(own, start)) for start, own in enumerate((bench, second, bench, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert sum(map(len, read_decisions(out).history.values())) == 60
    assert bench.loaded().journal.decisions().history == read_decisions(out).history


def test_a_damaged_file_is_named_and_nothing_is_written_behind_it(bench, out):
    (out / FILE).write_text("nonsense\n")
    with pytest.raises(UserError, match="line 1"):
        decide(bench, "train/001.jpg", "reject")
    assert (out / FILE).read_text() == "nonsense\n"


def test_a_folder_that_cannot_be_written_to_says_so(bench, out):
    (out / FILE).mkdir()
    with pytest.raises((OSError, UserError)):
        decide(bench, "train/001.jpg", "reject")


def test_pictures_are_found_by_sample_and_never_outside_the_folder(bench, out):
    sample = identity(bench, "train/001.jpg")
    assert bench.picture("face", sample).parent == out / "faces"
    assert bench.picture("photo", sample).parent == out / "images"
    assert bench.picture("face", identity(bench, "train/000.jpg")) is None
    assert bench.picture("manifest", sample) is None
    assert bench.picture("face", "../manifest") is None
    outside = out.parent / "secret.jpg"
    outside.write_bytes(b"secret")
    os.symlink(outside, out / "link.jpg")
    names = iter(["../secret.jpg", str(outside), "link.jpg", "faces", "absent.jpg"] + [""] * 7)
    edit_manifest(out / "manifest.parquet", lambda row: row | {"face_file": next(names)})
    assert all(bench.picture("face", row) is None for row in bench.loaded().samples.rows["sample_id"])


def test_the_manifest_is_read_again_once_it_changes(bench, out):
    first = bench.loaded()
    assert bench.loaded() is first
    edit_manifest(out / "manifest.parquet", lambda row: row | {"reason": "changed"})
    assert bench.loaded().version != first.version


def test_pages_hold_everything():
    assert [pages(n, 48) for n in (0, 1, 48, 49, 2000)] == [1, 1, 1, 2, 42]


def test_two_thousand_samples_are_filtered_and_decided_about_in_a_blink(tmp_path):
    base = made_manifest(tmp_path, {"train": 2})
    row = json.loads(read_manifest(base).rows.to_json(orient="records"))[1]
    rows = [row | {"sample_id": f"{i:064x}", "image": f"{i}.jpg"} for i in range(2000)]
    write_manifest(tmp_path, [rows], {"emotion": "string"}, read_manifest(base).meta)
    bench = Bench(tmp_path)
    loaded = bench.loaded()
    for i in range(0, 200):
        bench.decide({"sample_id": f"{i:064x}", "action": "reject"})
    durations = []
    for i in range(200, 230):
        start = time.thread_time()
        bench.decide({"sample_id": f"{i:064x}", "action": "relabel", "task": "emotion", "label": "sad"})
        durations.append(time.thread_time() - start)
    start = time.thread_time()
    chosen = loaded.samples.choose(Filters(reviewed="no", task="emotion", labels=("sad",)), loaded.journal.decisions())
    [loaded.samples.item(i, loaded.journal.decisions()) for i in chosen[:48]]
    assert np.median(durations) < 0.5
    assert time.thread_time() - start < 0.5

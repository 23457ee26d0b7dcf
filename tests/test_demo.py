"""Drawn scenes: the real detector finds the faces, ceilings are exact, face and context show nothing of each other."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
from conftest import require

from preprocessing.datasets import dataframe
from preprocessing.demo import draw_demo
from preprocessing.demo.ceilings import ceilings, expected, realised
from preprocessing.demo.generate import draw_one
from preprocessing.demo.scene import Scene, draw_scene
from preprocessing.demo.world import AGES, CONTEXTS, EMOTIONS, FACES, PRESETS, World, draw_world
from preprocessing.errors import UserError
from preprocessing.mask import mask_faces
from preprocessing.pipeline import build_detector, process
from preprocessing.settings import Settings

WORLD = World("smile", "smile", "smile", "sad", False, "baby", "baby", "baby")


def scene(number: int, **changes) -> Scene:
    """One drawing, with some facts of its world changed and all chance the same."""
    return draw_scene(dataclasses.replace(WORLD, **changes), np.random.default_rng([9, number]))


def generous_square(box: np.ndarray) -> np.ndarray:
    """[x1, y1, x2, y2] of the stored face crop: twice the box's longer side."""
    middle, half = (box[:2] + box[2:]) / 2, max(box[2:] - box[:2])
    return np.concatenate([middle - half, middle + half])


@pytest.fixture(scope="module")
def detector():
    try:
        return build_detector(Settings())
    except UserError as error:
        require("weights", False, str(error))


def test_real_detector_finds_faces_and_landmarks(detector):
    """At least 95% found at 0.9; the five landmarks on average within 10% of the face's half-height; nobody found from behind."""
    drawn = [draw_one(PRESETS["demo_v1"], 3, "train", number)[1] for number in range(125)]
    found, errors = [], []
    for one in drawn:
        (record,) = process(one.image, Settings(), detector)
        if one.box is None:
            assert record.status == "no_face"
            continue
        found.append(record.status == "ok")
        if record.face is not None:
            half = (one.box[3] - one.box[1]) / 2
            errors.append(np.linalg.norm(record.face.landmarks - one.landmarks, axis=1).mean() / half)
            assert not overlaps(generous_square(record.face.box), one.cue_boxes)
            masked = mask_faces(one.image, record.face.box, "black", 0.1)
            x, y = one.landmarks.round().astype(int).T
            assert not masked[y, x].any()
    assert len(found) >= 110
    assert np.mean(found) >= 0.95
    assert np.mean(errors) <= 0.1
    assert np.quantile(errors, 0.95) <= 0.13


def overlaps(square: np.ndarray, boxes: np.ndarray) -> bool:
    inside = (boxes[:, :2] < square[2:]).all(axis=1) & (boxes[:, 2:] > square[:2]).all(axis=1)
    return bool(inside.any())


def test_cue_and_context_lie_outside_the_generous_face_crop():
    """Whatever the surroundings and the stage: the pixels that a face crop can show are the same."""
    for number in range(3):
        plain = scene(number)
        x1, y1, x2, y2 = generous_square(plain.box).round().astype(int)
        crop = np.s_[max(0, y1) : y2, max(0, x1) : x2]
        for context in CONTEXTS:
            for stage in (False, True):
                other = scene(number, context_emotion=context, stage=stage)
                assert np.array_equal(other.image[crop], plain.image[crop])
                assert not overlaps(generous_square(other.box), other.cue_boxes)
                assert (len(other.cue_boxes) > 0) == stage
        assert not np.array_equal(scene(number, stage=True).image, plain.image)


def test_masked_context_shows_neither_expression_nor_age():
    """With the true box masked, drawings that differ only in expression or age are the same pictures."""
    for number in range(3):
        base = scene(number)
        masked = mask_faces(base.image, base.box, "black", 0.1)
        for change in [{"face_emotion": e} for e in EMOTIONS[1:]] + [{"shown_age": a} for a in AGES[1:]]:
            other = scene(number, **change)
            assert not np.array_equal(other.image, base.image)
            assert np.array_equal(mask_faces(other.image, other.box, "black", 0.1), masked), change


def test_a_head_from_behind_shows_no_age():
    for number in range(3):
        images = [scene(number, face_emotion="hidden", shown_age=age).image for age in AGES]
        assert all(np.array_equal(image, images[0]) for image in images)


def test_expected_ceilings_by_hand():
    """demo_v1: stage 0.3, face true 0.94, hidden 0.03, context true 0.78, plain 0.1, five equal classes."""
    face_seen = 0.7 * 0.94 + 0.3 / 5
    context = 0.9 * 0.78 + 0.1 / 5
    by_hand = {
        "face": 0.97 * face_seen + 0.03 / 5,
        "context": context,
        "both": 0.9 * 0.78 + 0.1 * (0.97 * face_seen + 0.03 / 5),
        "both_with_cue": 0.97 * (0.7 * 0.94 + 0.3 * context) + 0.03 * context,
    }
    assert expected("demo_v1") == pytest.approx(by_hand)
    assert expected("demo_v1", "age")["context"] == pytest.approx(1 / 6)
    assert expected("demo_v1", "age")["both_with_cue"] == pytest.approx(expected("demo_v1", "age")["face"])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_gate_has_something_to_gain(name):
    """The cue is worth several points over the better branch and over both branches without it."""
    best = expected(name)
    assert best["both_with_cue"] > best["both"] + 0.03
    assert best["both"] > max(best["face"], best["context"]) + 0.03


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_enumeration_agrees_with_simulation(name):
    """20,000 simulated worlds: joint frequencies, imbalance, label noise and realised ceilings are as the tables say."""
    preset, random = PRESETS[name], np.random.default_rng(5)
    truth = pd.DataFrame([vars(draw_world(preset, random)) for _ in range(20_000)]).assign(preset=name)
    index = [truth["true_emotion"].map(EMOTIONS.index), truth["face_emotion"].map(FACES.index)]
    index += [truth["context_emotion"].map(CONTEXTS.index), truth["stage"].astype(int)]
    counted = np.zeros_like(preset.emotion_joint)
    np.add.at(counted, tuple(i.to_numpy() for i in index), 1 / len(truth))
    spread = np.sqrt(preset.emotion_joint / len(truth))
    assert np.all(np.abs(counted - preset.emotion_joint) < 5 * spread + 1e-3)
    assert np.isclose(preset.emotion_joint.sum(), 1)
    for task in ("emotion", "age"):
        assert np.mean(truth[task] != truth[f"true_{task}"]) == pytest.approx(preset.label_noise, abs=0.01)
        for true_labels in (False, True):
            best = expected(name, task, true_labels)
            assert realised(truth, task, true_labels) == pytest.approx(best, abs=0.015)
            assert ceilings(truth, task, true_labels) == pytest.approx(best, abs=0.015)


def test_presets_are_balanced_or_ten_to_one():
    assert len(set(PRESETS["demo_v1"].emotion_prior)) == len(set(PRESETS["demo_v1"].age_prior)) == 1
    assert PRESETS["demo_v1"].label_noise == 0
    for prior in (PRESETS["demo_v4"].emotion_prior, PRESETS["demo_v4"].age_prior):
        assert max(prior) / min(prior) == pytest.approx(10)
        assert sum(prior) == pytest.approx(1)


def test_ceilings_on_given_rows():
    """The rows decide: all on a stage, all off it, faces that were not found; rows that cannot be judged are refused."""
    random = np.random.default_rng(2)
    truth = pd.DataFrame([vars(draw_world(PRESETS["demo_v1"], random)) for _ in range(400)]).assign(preset="demo_v1")
    on, off = (ceilings(truth[truth["stage"] == stage]) for stage in (True, False))
    assert on["face"] == pytest.approx(0.2, abs=0.05)
    assert off["face"] == pytest.approx(0.94, abs=0.05)
    assert on["both_with_cue"] == pytest.approx(on["context"], abs=0.02)
    blind = ceilings(truth.assign(has_face=False))
    assert blind["both_with_cue"] == pytest.approx(blind["context"])
    with pytest.raises(UserError, match="no rows"):
        ceilings(truth[:0])
    with pytest.raises(UserError, match="unknown demo task"):
        ceilings(truth, "gender")


def files_of(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def test_same_bytes_at_any_number_of_workers_and_photos(tmp_path):
    draw_demo(tmp_path / "one", n={"train": 64, "val": 4, "test": 4}, seed=1, workers=1)
    draw_demo(tmp_path / "two", n={"train": 64, "val": 4, "test": 4}, seed=1, workers=2)
    one = files_of(tmp_path / "one")
    assert one == files_of(tmp_path / "two")
    draw_demo(tmp_path / "few", n={"train": 6}, seed=1)
    assert files_of(tmp_path / "few")["photos/train/00005.jpg"] == one["photos/train/00005.jpg"]
    draw_demo(tmp_path / "seed", n={"train": 2}, seed=2)
    assert files_of(tmp_path / "seed")["photos/train/00001.jpg"] != one["photos/train/00001.jpg"]


def test_folder_is_reused_finished_or_refused(tmp_path):
    out = tmp_path / "demo"
    first = draw_demo(out, n=11)
    photo, untouched = out / "photos" / "test" / "00000.jpg", files_of(out)
    stamp = os.stat(photo).st_mtime_ns
    assert draw_demo(out, n=11) == first
    assert os.stat(photo).st_mtime_ns == stamp
    with pytest.raises(UserError, match="other settings"):
        draw_demo(out, n=11, seed=3)
    (out / "demo.json").write_text((out / "demo.json").read_text().replace('"complete": true', '"complete": false'))
    photo.unlink()
    assert draw_demo(out, n=11) == first
    assert files_of(out) == untouched
    (tmp_path / "mine" / "photos").mkdir(parents=True)
    with pytest.raises(UserError, match="no demo set"):
        draw_demo(tmp_path / "mine")


@pytest.mark.parametrize("wrong", [{"preset": "demo_v9"}, {"n": 0}, {"n": {"train": -1}}, {"n": {"dev": 3}}, {"seed": -1}])
def test_senseless_requests_leave_nothing(tmp_path, wrong):
    with pytest.raises(UserError):
        draw_demo(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_labels_are_a_table_for_the_dataframe_dataset_and_groups_keep_to_their_split(tmp_path):
    draw_demo(tmp_path, "demo_v4", n=40)
    samples = list(dataframe.build(dataframe.Config(root=tmp_path, table="labels.csv")).samples())
    truth = pd.read_parquet(tmp_path / "truth.parquet").set_index("path")
    assert {s.image for s in samples} == set(truth.index)
    assert all(dict(s.labels) == {"emotion": truth.emotion[s.image], "age": truth.age[s.image]} for s in samples)
    assert {s.split for s in samples} == {"train", "val", "test"}
    splits_of_group = pd.DataFrame([(s.group, s.split) for s in samples]).groupby(0)[1].nunique()
    assert (splits_of_group == 1).all()
    assert truth.groupby("group").size().max() == 4

"""Augmentation: the same for the same (seed, stage, epoch, row, repeat) anywhere, and one geometry for what belongs together."""

import numpy as np
import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.config import Augmentation
from caer.data.loaders import StageData
from caer.data.transforms import Augment
from caer.tasks import build_tasks

RNG = np.random.default_rng(0)
FACE = RNG.integers(0, 256, (48, 48, 3), dtype=np.uint8)
SCENE = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
NONE = {"flip": 0.0, "crop_scale": 1.0, "rotate": 0.0, "color": 0.0}


def pictures():
    return {"face": FACE.copy(), "context": SCENE.copy(), "image": SCENE.copy()}


def augment(seed=1, stage=1, **options):
    return Augment(Augmentation(**options), 48, 64, seed, stage)


def same(a, b):
    return all(np.array_equal(a[key], b[key]) for key in a)


def test_a_draw_is_a_function_of_its_key_and_not_of_what_ran_before():
    used, fresh = augment(), augment()
    for i in range(5):
        used(pictures(), 0, i)
    assert same(used(pictures(), 3, 7, 1), fresh(pictures(), 3, 7, 1))
    reference = fresh(pictures(), 3, 7, 1)
    for other in (fresh(pictures(), 4, 7, 1), fresh(pictures(), 3, 8, 1), fresh(pictures(), 3, 7, 2)):
        assert not same(reference, other)
    for other in (augment(seed=2), augment(stage=2)):
        assert not same(reference, other(pictures(), 3, 7, 1))


def test_result_keeps_size_type_and_leaves_the_input_alone():
    given = pictures()
    result = augment()(given, 0, 0)
    assert {k: (v.shape, v.dtype) for k, v in result.items()} == {k: (v.shape, v.dtype) for k, v in given.items()}
    assert same(given, pictures())


def test_context_and_photo_stay_pixel_on_pixel():
    for row in range(20):
        result = augment()(pictures(), 0, row)
        assert np.array_equal(result["context"], result["image"])


def test_colour_of_the_context_does_not_depend_on_what_the_mask_hides():
    masked = pictures()
    masked["context"][20:40, 20:40] = 0
    for row in range(20):
        result = augment(**NONE | {"color": 0.4})(masked, 0, row)
        outside = np.ones((64, 64), bool)
        outside[20:40, 20:40] = False
        assert np.array_equal(result["context"][outside], result["image"][outside])


def test_colour_is_taken_away_as_often_as_asked_and_from_context_and_photo_alike():
    gray = []
    for row in range(200):
        result = augment(**NONE | {"gray": 0.3})(pictures(), 0, row)
        assert np.array_equal(result["context"], result["image"])
        gray.append([bool((result[name] == result[name][:, :, :1]).all()) for name in ("face", "context")])
        for name, original, is_gray in zip(("face", "context"), (FACE, SCENE), gray[-1], strict=True):
            assert is_gray or np.array_equal(result[name], original)
    for count in np.sum(gray, axis=0):
        assert 35 < count < 85


def test_an_input_is_changed_alike_whatever_else_is_asked_for():
    for row in range(5):
        everything = augment()(pictures(), 0, row)
        for name in ("face", "context", "image"):
            assert np.array_equal(augment()({name: pictures()[name]}, 0, row)[name], everything[name])


def test_face_and_scene_are_mirrored_together():
    mirrored = []
    for row in range(60):
        result = augment(**NONE | {"flip": 0.5})(pictures(), 0, row)
        flips = {np.array_equal(result[key], pictures()[key][:, ::-1]) for key in result}
        assert len(flips) == 1
        mirrored.append(flips.pop())
    assert 15 < sum(mirrored) < 45


def test_padding_cuts_a_window_from_the_mirrored_surroundings():
    wide, moved, places = np.pad(FACE, ((10, 10), (10, 10), (0, 0)), mode="reflect"), augment(**NONE | {"pad": 10}), set()
    for row in range(30):
        face = moved(pictures(), 0, row)["face"]
        windows = [(y, x) for y in range(21) for x in range(21) if np.array_equal(wide[y : y + 48, x : x + 48], face)]
        assert len(windows) == 1
        places.update(windows)
    assert len(places) > 20
    assert all(max(side) - min(side) > 14 for side in zip(*places, strict=True))


def test_a_turn_is_to_either_side_and_no_larger_than_said():
    turned, degrees = augment(**NONE | {"rotate": 10.0}), []
    for row in range(40):
        turned(pictures(), 0, row)
        (turn,) = turned._face.transforms
        degrees.append(np.degrees(np.arcsin(turn.params["matrix"][0, 1])))
    assert -10 <= min(degrees) < -6
    assert 6 < max(degrees) <= 10


def test_nothing_asked_nothing_changed():
    assert same(augment(**NONE)(pictures(), 0, 0), pictures())


def test_steps_of_a_draw_are_independent_of_one_another():
    changes = augment()
    drawn = []
    for row in range(200):
        changes(pictures(), 0, row)
        crop, turn, tone, saturation = changes._scene.transforms
        left, _, right, _ = crop.params["crop_coords"]
        drawn.append(
            [
                right - left,
                turn.params["matrix"][0, 1],
                tone.params["alpha"],
                tone.params["beta"],
                saturation.params["saturation"],
            ]
        )
    correlation = np.corrcoef(np.array(drawn, float).T)
    assert np.abs(correlation[np.triu_indices(5, 1)]).max() < 0.25


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("made"), {"train": 18, "val": 6})


def epochs(manifest, workers, count=2):
    config = made_config(manifest, workers=workers, stages={1: {"output": "fused", "trainable": [".*"], "epochs": 1}})
    data = StageData(config, 1, build_tasks(config), {"face", "context", "image"})
    return [list(data.train_loader(epoch)) for epoch in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(manifest, workers):
    for alone, shared in zip(epochs(manifest, 0), epochs(manifest, workers), strict=True):
        for a, b in zip(alone, shared, strict=True):
            assert a["sample_id"] == b["sample_id"]
            assert all(torch.equal(a[key], b[key]) for key in ("face", "context", "image"))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_augments_anew(manifest, workers):
    first, second = (
        {sid: face for b in epoch for sid, face in zip(b["sample_id"], b["face"], strict=True)}
        for epoch in epochs(manifest, workers)
    )
    assert first.keys() == second.keys()
    assert not any(torch.equal(first[sid], second[sid]) for sid in first)


def test_a_resumed_process_sees_the_epoch_it_asks_for(manifest):
    config = made_config(manifest, stages={1: {"output": "face", "trainable": [".*"], "epochs": 1}})
    straight, resumed = (StageData(config, 1, build_tasks(config), {"face"}) for _ in range(2))
    list(straight.train_loader(0))
    for a, b in zip(straight.train_loader(1), resumed.train_loader(1), strict=True):
        assert torch.equal(a["face"], b["face"])

"""What a diagnosis changes in a model's inputs, and what it leaves bit for bit as it was."""

import numpy as np
import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.config import Mask
from caer.data.dataset import SampleDataset, collate
from caer.data.rows import Rows
from caer.diagnosis.interventions import BlankFace, BlankScene, BlurFace, CoverFace, MixedScenes, draw_donors, places_of
from caer.tasks import build_tasks

ALL = {"face", "context", "image"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("drawn"), {"val": 9})


@pytest.fixture(scope="module")
def rows(manifest):
    config = made_config(manifest)
    return Rows(config, build_tasks(config)).split("val")


def pictures(rows, config, inputs=ALL, alter=None):
    samples = SampleDataset(rows, config, inputs, alter=alter)
    batch = collate([samples[i] for i in range(len(samples))])
    return {name: batch[name] for name in inputs}


def test_an_alteration_that_changes_nothing_leaves_the_batch_bit_identical(manifest, rows):
    config = made_config(manifest)
    intact, same = pictures(rows, config), pictures(rows, config, alter=lambda i, kind, picture, box: picture)
    assert all(torch.equal(intact[name], same[name]) for name in ALL)


def test_an_alteration_comes_before_mask_and_geometry(manifest, rows):
    config, seen = made_config(manifest), []

    def paint(i, kind, picture, box):
        seen.append((i, kind))
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        picture = picture.copy()
        picture[y1:y2, x1:x2] = (0, 255, 0)
        return picture

    intact, painted = pictures(rows, config), pictures(rows, config, alter=paint)
    assert set(seen) == {(i, kind) for i in range(9) for kind in ("crop", "photo")}
    assert torch.equal(intact["context"], painted["context"]), "the mask hides what was painted"
    assert not torch.equal(intact["image"], painted["image"])
    assert (painted["face"][:, 1, 24, 24] == 255).all()


def test_a_picture_of_the_mask_alone_is_a_function_of_the_box_alone(manifest, rows):
    config = made_config(manifest, mask={"only": True})
    noise = np.random.default_rng(0)
    first = pictures(rows, config, {"context"})["context"]
    second = pictures(rows, config, {"context"}, lambda i, kind, p, box: noise.integers(0, 256, p.shape, np.uint8))["context"]
    assert torch.equal(first, second)
    assert set(first[:, :, ::7, ::7].unique().tolist()) <= set(range(128)), "grey, black, and their mixes at the mask's edge"
    assert not torch.equal(first[0], first[1]), "boxes differ"
    moved = rows.assign(image_box=rows["image_box"].iloc[[0] * len(rows)].to_numpy())
    alike = pictures(moved, config, {"context"})["context"]
    assert all(torch.equal(alike[0], other) for other in alike)


def test_the_mask_alone_is_black(manifest):
    with pytest.raises(ValueError, match="set `fill: black`"):
        made_config(manifest, mask={"only": True, "fill": "mean"})


# ---- interventions ----


def changed(rows, manifest, alter, i=0):
    return SampleDataset(rows, made_config(manifest, mask={"margin": 0.1}), ALL, alter=alter)[i]["pictures"]


@pytest.mark.parametrize("make", [lambda places: CoverFace(0.0, places), lambda places: BlurFace(0.0)])
def test_a_sweep_starts_at_the_intact_picture(manifest, rows, make):
    places = places_of(rows["sample_id"].tolist())
    intact, first = changed(rows, manifest, None), changed(rows, manifest, make(places))
    assert all(torch.equal(intact[name], first[name]) for name in ALL)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_cover_takes_its_share_of_the_box_and_nothing_outside(share):
    picture, box = np.full((200, 300, 3), 255, np.uint8), np.array([40, 30, 140, 130], np.float32)
    covered = CoverFace(share, np.array([[0.3, 0.8]]))(0, "photo", picture, box) == 0
    assert covered[..., 0].sum() == pytest.approx(share * 100 * 100, rel=0.04)
    inside = np.zeros((200, 300), bool)
    inside[30:130, 40:140] = True
    assert not covered[~inside].any()
    assert picture.min() == 255, "the given picture stays as it is"


def test_a_larger_cover_covers_what_a_smaller_one_does():
    picture, box = np.full((120, 120, 3), 255, np.uint8), np.array([10.5, 7.2, 90.1, 101.9], np.float32)
    places = np.random.default_rng(0).random((20, 2))
    for i in range(20):
        small, large = (CoverFace(share, places)(i, "crop", picture, box) == 0 for share in (0.3, 0.6))
        assert not (small & ~large).any()


def test_a_place_belongs_to_the_sample_not_to_its_row():
    places = places_of(["a", "b", "c"])
    assert np.array_equal(places_of(["c", "a"]), places[[2, 0]])
    assert len(np.unique(places)) == 6


@pytest.mark.parametrize(
    "alteration", [lambda p: CoverFace(0.6, p), lambda p: BlurFace(0.2), lambda p: BlankFace(Mask(margin=0.1))]
)
def test_what_happens_to_a_face_reaches_crop_and_photo_and_never_the_context(manifest, rows, alteration):
    alter = alteration(places_of(rows["sample_id"].tolist()))
    intact, after = changed(rows, manifest, None, 2), changed(rows, manifest, alter, 2)
    assert torch.equal(intact["context"], after["context"])
    assert not torch.equal(intact["face"], after["face"])
    assert not torch.equal(intact["image"], after["image"])
    assert alter.reaches == {"face", "image"}


def test_a_blank_face_is_a_black_crop_and_the_photo_as_the_context_shows_it(manifest, rows):
    after = changed(rows, manifest, BlankFace(Mask(margin=0.1)))
    assert after["face"].max() == 0
    assert torch.equal(after["image"], after["context"])


def test_a_blank_scene_leaves_the_crop_and_shows_the_gate_the_face_alone(manifest, rows):
    intact, after = changed(rows, manifest, None), changed(rows, manifest, BlankScene())
    assert torch.equal(intact["face"], after["face"])
    assert after["context"].max() == 0
    kept = (after["image"] > 0).any(dim=0)
    assert 0.05 < kept.float().mean() < 0.4


@pytest.mark.parametrize("kind", ["any", "same", "other"])
def test_donors_are_of_another_group_and_of_the_class_asked_for(kind):
    rng = np.random.default_rng(2)
    targets, codes = rng.integers(0, 3, 60), rng.integers(0, 12, 60)
    donors = draw_donors(targets, codes, kind, seed=1)
    assert (donors >= 0).all()
    assert (codes[donors] != codes).all()
    if kind != "any":
        assert ((targets[donors] == targets) == (kind == "same")).all()
    assert np.array_equal(donors, draw_donors(targets, codes, kind, seed=1))
    assert not np.array_equal(donors, draw_donors(targets, codes, kind, seed=2))


def test_a_row_without_a_donor_says_so():
    donors = draw_donors(np.array([0, 0, 1]), np.array([0, 1, 2]), "same", seed=0)
    assert donors.tolist() == [1, 0, -1]


def test_mixed_scenes_keep_each_face_and_go_from_the_own_scene_to_the_donors(manifest, rows):
    samples = SampleDataset(rows, made_config(manifest), ALL)
    donors = draw_donors(rows["target_emotion"].to_numpy(), np.arange(len(rows)), "other", seed=0)
    for i in (0, 4):
        own, other = samples[i]["pictures"], samples[int(donors[i])]["pictures"]
        for share, expected in ((0.0, own), (1.0, other)):
            mixed = MixedScenes(samples, donors, share)[i]["pictures"]
            assert torch.equal(mixed["face"], own["face"])
            assert torch.equal(mixed["context"], expected["context"])
            assert torch.equal(mixed["image"], expected["image"])
        half = MixedScenes(samples, donors, 0.5)[i]["pictures"]["context"].float()
        assert torch.allclose(half, (own["context"].float() + other["context"].float()) / 2, atol=0.51)

"""What a diagnosis changes in a model's inputs, and what it leaves bit for bit as it was."""

import numpy as np
import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.data.dataset import SampleDataset, collate
from caer.data.rows import Rows
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

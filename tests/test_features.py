"""Cached features: the fusion sees exactly what it would have computed from the pictures."""

import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.data.features import to_device
from caer.data.loaders import StageData
from caer.models import build_model
from caer.tasks import build_tasks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    manifest = made_manifest(tmp_path_factory.mktemp("made"), {"train": 60, "val": 11}, no_face_every=5)
    return made_config(manifest, holdout_fraction=0.3)


@pytest.fixture(scope="module")
def model(config):
    return build_model(config, pretrained=False)


@pytest.fixture(scope="module")
def data(config, model):
    return StageData(config, 3, build_tasks(config), model.inputs("fused"))


def answers(model, loader, precision):
    """Logits and gates by sample id, in eval mode."""
    model.eval()
    result = {}
    for batch in loader:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = model(to_device(batch, CPU))
        rows = torch.cat([output.logits["emotion"], output.gates["emotion"]], 1)
        result |= dict(zip(batch["sample_id"], rows, strict=True))
    return result


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_cached_and_uncached_validation_answers_are_equal(model, data, precision):
    cached = data.cached(model, CPU, precision)
    expected, found = answers(model, data.val_loader(), precision), answers(model, cached.val_loader(), precision)
    assert list(expected) == list(found)
    assert all(torch.equal(expected[sid], found[sid]) for sid in expected)


def test_cached_training_batches_visit_the_same_rows_in_the_same_order(model, data):
    cached = data.cached(model, CPU, "32")
    for epoch in (0, 1):
        for plain, table in zip(data.train_loader(epoch), cached.train_loader(epoch), strict=True):
            assert plain["sample_id"] == table["sample_id"]
            assert torch.equal(plain["has_face"], table["has_face"])
            assert torch.equal(plain["targets"]["emotion"], table["targets"]["emotion"])
            assert torch.equal(plain["labelled"]["emotion"], table["labelled"]["emotion"])
            assert not set(table) & {"face", "context", "image"}
    expected, found = answers(model, data.train_loader(0), "32"), answers(model, cached.train_loader(0), "32")
    assert all(torch.allclose(expected[sid], found[sid], atol=1e-5) for sid in expected)


def test_caching_leaves_the_model_as_it_was(model, data):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cached = data.cached(model, CPU, "32")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    features = next(iter(cached.train_loader(0)))["features"]
    assert set(features) == {"face", "context", "image"}
    assert not any(value.is_inference() or value.requires_grad for value in features.values()), "a fusion can learn from them"


def test_hashes_and_counts_travel_along(model, data):
    cached = data.cached(model, CPU, "32")
    assert (cached.row_hash, cached.protocol_hash, cached.class_counts) == (data.row_hash, data.protocol_hash, data.class_counts)

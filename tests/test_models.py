"""Backbones state their widths, branches normalise and attend, and each part is a function of (seed, its name)."""

import pytest
import torch
from conftest import ROOT

from caer.config import Config, load_config
from caer.models import build_model, check_model
from caer.models.attention import SpatialAttention
from caer.models.backbones import build_backbone
from preprocessing.errors import UserError

TIMM = [
    "efficientnet_b0",
    "efficientnet_lite0",
    "resnest14d",
    "resnet18",
    "vgg11",
    "mobilenetv3_small_050",
    "legacy_xception",
    "test_vit",
    "test_convnext",
    "swin_tiny_patch4_window7_224",
]


def config(**model):
    settings = {
        "name": "x",
        "data": {"sources": [{"manifest": "m"}], "image_size": {"face": 32, "context": 64}},
        "tasks": {"emotion": {"type": "classification", "classes": ["a", "b", "c"]}},
        "model": {
            "face": {"backbone": "test_efficientnet", "weights": "none"},
            "context": {"backbone": "test_resnet", "weights": "none"},
            "fusion": {"type": "gating"},
        }
        | model,
        "monitor": {"metric": "loss", "mode": "min"},
        "stages": {1: {"output": "face" if model.get("face", 1) else "context", "trainable": [".*"], "epochs": 1}},
    }
    return Config.model_validate(settings)


def pictures(count, side, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", TIMM)
def test_a_backbone_states_the_widths_it_gives(name):
    size = 224 if name.startswith("swin") else 64
    backbone = build_backbone(name, size).eval()
    with torch.no_grad():
        features = backbone.features(torch.randn(2, 3, size, size))
        pooled = backbone.pool(features)
    assert pooled.shape == (2, backbone.out_dim)
    assert backbone.spatial == (features.ndim == 4 and features.shape[1] == backbone.map_dim)
    if name == "vgg11":
        assert (backbone.map_dim, backbone.out_dim) == (512, 4096)


def test_an_unknown_backbone_lists_names_near_it():
    with pytest.raises(UserError, match=r"unknown backbone 'resnset50d'; near it: .*resnest50d"):
        check_model(config(context={"backbone": "resnset50d"}))


def test_normalisation_is_that_of_the_pretrained_weights_and_no_part_of_the_state():
    model = build_model(config())
    for branch in (model.face, model.context):
        cfg = branch.backbone.net.pretrained_cfg
        torch.testing.assert_close(branch.mean.flatten(), 255 * torch.tensor(cfg["mean"]))
        torch.testing.assert_close(branch.std.flatten(), 255 * torch.tensor(cfg["std"]))
    assert not [name for name in model.state_dict() if name.endswith(("mean", "std")) and "running" not in name]


def test_attention_starts_as_plain_average_pooling_and_is_a_sum_over_cells():
    torch.manual_seed(0)
    attention = SpatialAttention(16)
    features = torch.randn(2, 16, 5, 7)
    pooled, weights = attention(features)
    torch.testing.assert_close(pooled, features.mean(dim=(2, 3)))
    torch.nn.init.normal_(attention.score.weight, std=0.1)
    pooled, weights = attention(features)
    assert weights.shape == (2, 1, 5, 7)
    torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(2, 1))
    torch.testing.assert_close(pooled, (weights * features).flatten(2).sum(2))


def test_attention_has_the_widths_of_the_design():
    shapes = {name: tuple(p.shape) for name, p in SpatialAttention(2048).named_parameters()}
    assert shapes["reduce.weight"] == (256, 2048, 1, 1)
    assert shapes["score.weight"] == (1, 256, 3, 3)


def test_attention_needs_a_spatial_map_and_says_so():
    with pytest.raises(UserError, match=r"no spatial feature map for attention; set model\.context\.attention: false"):
        build_model(config(context={"backbone": "test_vit", "weights": "none"}))
    model = build_model(config(context={"backbone": "test_vit", "weights": "none", "attention": False}))
    assert model.context.out_dim == model.context.backbone.out_dim


def test_a_branch_is_bit_identical_in_every_variant():
    whole = build_model(config()).state_dict()
    variants = {
        "face": build_model(config(context=None, fusion=None)),
        "context": build_model(config(face=None, fusion=None)),
        "sum": build_model(config(fusion={"type": "sum"})),
        "concat": build_model(config(fusion={"type": "concat"})),
        "face of two": build_model(config(), output="face"),
    }
    torch.manual_seed(123)
    variants["whatever ran before"] = build_model(config())
    for model in variants.values():
        state = model.state_dict()
        shared = [name for name in state if not name.startswith("fusion")]
        assert shared
        assert all(torch.equal(state[name], whole[name]) for name in shared)


def test_another_seed_gives_other_weights_and_building_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = build_model(config())
    assert torch.equal(torch.rand(3), expected)
    two = build_model(config().model_copy(update={"seed": 99}))
    assert not torch.equal(one.face.heads["emotion"].weight, two.face.heads["emotion"].weight)


@pytest.mark.parametrize("part", ["face", "context"])
def test_single_branch_forms_never_build_the_other(part):
    other = "context" if part == "face" else "face"
    model = build_model(config(**{other: None, "fusion": None}))
    assert getattr(model, other) is None
    out = model({part: pictures(2, 64)})
    assert out.logits["emotion"].shape == (2, 3)
    assert (out.attention is None) == (part == "face")
    built = build_model(config(), output=part)
    assert getattr(built, other) is None
    assert built.fusion is None


def test_a_batch_gives_what_its_samples_give_one_by_one():
    model = build_model(config()).eval()
    batch = {"face": pictures(3, 32), "context": pictures(3, 64, 1), "image": pictures(3, 64, 2)}
    with torch.no_grad():
        whole = model(batch)
        alone = [model({key: value[i : i + 1] for key, value in batch.items()}) for i in range(3)]
    torch.testing.assert_close(whole.logits["emotion"], torch.cat([a.logits["emotion"] for a in alone]), atol=1e-5, rtol=1e-4)
    assert whole.attention.shape == (3, 1, 2, 2)
    torch.testing.assert_close(whole.attention, torch.cat([a.attention for a in alone]))


def test_a_wrong_fusion_is_found_before_any_training():
    with pytest.raises(UserError, match=r"model\.fusion: unknown option 'hiden' of gating; known: hidden_dim"):
        check_model(config(fusion={"type": "gating", "hiden": 3}))


@pytest.mark.parametrize("name", ["demo", "genki_smile"])
def test_shipped_configs_describe_models_that_can_be_built(name):
    check_model(load_config(ROOT / "configs" / f"{name}.yaml"))

"""The article's networks at the article's size: EfficientNet-B0 and ResNeSt-50, 224 px, one real step of each stage."""

import pytest
import torch
from made_manifest import made_config, made_manifest

from caer.config import Config
from caer.engine.checkpoint import read_weights
from caer.engine.run import fit_stage
from caer.models import build_model


@pytest.mark.slow
def test_one_step_of_each_stage_at_224_px(tmp_path, monkeypatch):
    manifest = made_manifest(tmp_path / "made", {"train": 3, "val": 1}, group_of=1)
    settings = made_config(manifest, image_size={"face": 224, "context": 224}, batch_size=3, holdout_fraction=0.4).model_dump()
    settings["model"] |= {
        "face": {"backbone": "efficientnet_b0", "weights": "none"},
        "context": {"backbone": "resnest50d", "weights": "none", "attention": True},
    }
    for number in (1, 2):
        settings["stages"][number]["optimizer"] = {"type": "sam", "base": "adam", "lr": 1e-4, "rho": 0.05}
    settings["stages"][3] |= {"data": "train", "cache_features": False}
    config = Config.model_validate({**settings, "runs": tmp_path / "runs", "device": "cpu", "precision": "32"})
    for number in (1, 2, 3):
        fit_stage(config, number)
    one, two, three = (read_weights(config.run_folder / f"stage{n}" / "best.safetensors")[0] for n in (1, 2, 3))
    assert one["face.heads.emotion.weight"].shape == (3, 1280)
    assert two["context.heads.emotion.weight"].shape == (3, 2048)
    assert two["context.attention.reduce.weight"].shape == (256, 2048, 1, 1)
    fresh = build_model(config, pretrained=False).state_dict()
    for state, name in ((one, "face.backbone.net.conv_stem.weight"), (two, "context.backbone.net.conv1.0.weight")):
        assert not torch.equal(state[name], fresh[name])
        assert torch.equal(state[name], three[name])
    assert not torch.equal(three["fusion.heads.emotion.bias"], fresh["fusion.heads.emotion.bias"])

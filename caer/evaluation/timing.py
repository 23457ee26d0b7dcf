"""How long a network's forward passes take while it judges, in the evaluation's batches; reading photos does not count.

Enters: a module. Leaves: a `ForwardTime` that fills while the module is called. The first pass, which allocates memory and picks
kernels, is left out where others follow.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class ForwardTime:
    """Seconds of each pass and the rows in it."""

    device: torch.device
    passes: list[tuple[float, int]] = field(default_factory=list)
    started: float = 0.0

    def start(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Before a pass."""
        self._wait()
        self.started = time.perf_counter()

    def stop(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        """After a pass."""
        self._wait()
        self.passes.append((time.perf_counter() - self.started, len(arguments[0]["has_face"])))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self) -> float | None:
        """Mean milliseconds a row; None where nothing was looked at."""
        steady = self.passes[1:] or self.passes
        rows = sum(count for _, count in steady)
        return 1000 * sum(seconds for seconds, _ in steady) / rows if rows else None


@contextmanager
def forward_time(module: nn.Module, device: torch.device) -> Iterator[ForwardTime]:
    """Time every pass of a module whose argument is a batch."""
    measured = ForwardTime(device)
    hooks = [module.register_forward_pre_hook(measured.start), module.register_forward_hook(measured.stop)]
    try:
        yield measured
    finally:
        for hook in hooks:
            hook.remove()

"""Sharpness-aware minimisation: https://arxiv.org/abs/2010.01412 (SAM), https://arxiv.org/abs/2102.11600 (adaptive, ASAM).

One update takes two passes: gradients at w, a step of length rho uphill to w + e, gradients there, back to w, and the base
optimizer's step with those. Under Lightning's automatic optimization `step(closure)` gets the whole forward and backward pass.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_FLOOR = 1e-12


class SAM(Optimizer):
    """SAM around any optimizer.

    `param_groups` and `state` are the base optimizer's own, so learning-rate schedulers and checkpoints see one optimizer;
    each group also holds `rho` and `adaptive`.

    Args:
        params: parameters or parameter groups, as for the base optimizer.
        base_optimizer: class of the optimizer that does the update (`torch.optim.Adam`).
        rho: length of the step uphill.
        adaptive: measure that step in units of each weight's size (then about ten times the rho).
        interval: take the step uphill in every so many-th update, beginning with the first; plain updates of one pass between.
        base_kwargs: the base optimizer's options (`lr`, `weight_decay`, ...).

    Attributes:
        second_pass_context: makes a context manager that holds during the second pass, e.g. to keep BatchNorm statistics still.
    """

    def __init__(
        self,
        params: Iterable[Any],
        base_optimizer: type[Optimizer],
        rho: float = 0.05,
        adaptive: bool = False,
        interval: int = 1,
        **base_kwargs: Any,
    ) -> None:
        if not rho >= 0:
            raise ValueError(f"rho {rho!r}: expected a number of at least 0")
        if interval < 1:
            raise ValueError(f"interval {interval!r}: expected a whole number of at least 1")
        self.base = base_optimizer(params, **base_kwargs)
        self.second_pass_context: Callable[[], AbstractContextManager[Any]] = nullcontext
        super().__init__(
            self.base.param_groups, {**self.base.defaults, "rho": rho, "adaptive": adaptive, "interval": interval, "updates": 0}
        )
        self._share()

    def _share(self) -> None:
        """One set of groups and one state, whether the base optimizer or this one is asked."""
        self.base.param_groups = self.param_groups
        self.base.state = self.state
        self.base.defaults = self.defaults

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update.

        Args:
            closure: clears the gradients, runs forward and backward, returns the loss; called twice, once in a plain update.

        Returns:
            What the closure returned on its first call: the loss at the weights themselves.

        Raises:
            ValueError: no closure. A library that calls the closure once would train as if SAM were not there.
        """
        if closure is None:
            raise ValueError("SAM needs step(closure): it runs the forward and backward pass twice")
        run = torch.enable_grad()(closure)
        loss = run()
        climbed = self._climb() if self._uphill_is_due() else None
        if climbed is not None:
            try:
                with self.second_pass_context():
                    run()
            finally:
                # Back to w even where the second pass fails, so that a checkpoint never holds w + e.
                for weight, old in climbed:
                    weight.copy_(old)
        self.base.step()
        return loss

    def _uphill_is_due(self) -> bool:
        """Whether this update takes the step uphill; counts the update. The count lies in a group to be saved with it."""
        first = self.param_groups[0]
        first["updates"] += 1
        return bool((first["updates"] - 1) % first["interval"] == 0)

    def _climb(self) -> list[tuple[Tensor, Tensor]] | None:
        """Move to w + e; returns the weights and their old values, or None without a way up (zero or non-finite gradient)."""
        steps = [
            (weight, weight.grad * (weight.abs() if group["adaptive"] else 1), group)
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        if not steps:
            return None
        norm = torch.stack([scaled.float().norm() for _, scaled, _ in steps]).norm()
        if not bool(torch.isfinite(norm) & (norm > 0)):
            return None
        old = [(weight, weight.clone()) for weight, _, _ in steps]
        for weight, scaled, group in steps:
            uphill = scaled * weight.abs() if group["adaptive"] else scaled
            weight.add_(uphill * (group["rho"] / (norm + _FLOOR)).to(uphill.dtype))
        return old

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state saved by `state_dict`."""
        super().load_state_dict(state_dict)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to both optimizers, which share their groups."""
        super().add_param_group(param_group)
        self._share()


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of every BatchNorm still, while it goes on normalising by its batch.

    Without this, the second pass of SAM would count each batch twice, once at weights that are never kept.
    """
    tracking = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training and module.track_running_stats
    ]
    try:
        for module in tracking:
            module.track_running_stats = False
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True

"""A stage's training step without a trainer around it."""

import torch

from caer.engine.module import StageModule


def in_one_process(module: StageModule, step: int = 7) -> StageModule:
    """The module as in update `step` of its first epoch, alone, with a model that draws nothing at random."""
    module._trainer = type("OneProcess", (), {"world_size": 1, "current_epoch": 0, "global_step": step})()
    module._train_sums = {name: [0.0, 0.0] for name in module.tasks}
    module.model.eval()
    return module


def loss_of(module: StageModule, batch: dict) -> torch.Tensor:
    """The loss of a batch as the loader gives it."""
    return module.training_step(module.on_before_batch_transfer(batch, 0), 0)

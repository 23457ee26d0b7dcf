"""Lightning's trainer as this project uses it: silent, without its samplers and checkpoints, and stopped by Ctrl-C.

The only place that builds a Trainer.
"""

import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import torch

from caer.engine.precision import Precision
from caer.processes import local_world_size, world_size
from preprocessing.memory import keep_freed_memory


def prepare_process() -> None:
    """Set what holds for the whole process; before torch starts its threads."""
    # Fresh EfficientNets make denormal numbers in eval mode, ten times slower; threads inherit the setting from this one.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    # Raised from inside torch, for loaders with as many workers as the user asked for.
    warnings.filterwarnings("ignore", message=".*worker processes.*")


def make_trainer(
    epochs: int, device: torch.device, precision: Precision, gradient_clip: float | None, folder: Path
) -> lightning.Trainer:
    """A trainer for so many epochs, on this machine's device or, under torchrun, on one for each process."""
    ranks, local = world_size(), local_world_size()
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=local,
        num_nodes=max(ranks // local, 1),
        strategy="ddp" if ranks > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_epochs=epochs,
        gradient_clip_val=gradient_clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=str(folder),
    )


class Batches:
    """Batches of the epoch that is running. Lightning sees an iterable, not a DataLoader, and leaves samplers alone.

    Their number is asked for when it is needed: how many there are for each of several processes is known once these have met.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], count: Callable[[], int]) -> None:
        self._start, self._count = start, count

    def __iter__(self) -> Iterator[Any]:
        return self._start()

    def __len__(self) -> int:
        return self._count()


class interruptible:
    """Lightning turns Ctrl-C into `sys.exit(1)` and ignores the next ones; make it a KeyboardInterrupt again."""

    def __enter__(self) -> None:
        self._handler = signal.getsignal(signal.SIGINT)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is SystemExit and isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, self._handler)
            raise KeyboardInterrupt from None

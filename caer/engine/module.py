"""One stage as a LightningModule: masked losses by task, scores over the whole validation set, frozen parts in eval mode.

Enters: a built model, tasks and the stage's settings. Leaves: a history row an epoch, handed to `on_epoch`.
"""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from caer.config import Config
from caer.data.seeds import derive_seed
from caer.engine.monitor import monitor_key, stalled
from caer.engine.optim import build_optimizer, match, set_learning_rates
from caer.engine.sam import SAM, frozen_statistics
from caer.engine.stages import freeze_all_but, set_training, trainable_parameters
from caer.tasks import Task
from gating.model import TwoBranchNet
from preprocessing.errors import UserError

Row = dict[str, float]
"""One epoch: `epoch` (from 1), `global_step`, `lr`, `train/...`, `val/...`, `seconds`; `images_per_second` in training alone.

NaN stands for what has no value, such as a loss of a task that no row was labelled for."""


class StageModule(lightning.LightningModule):
    """A stage in training.

    Args:
        model: the network, initialised.
        tasks: by name.
        config: the experiment.
        number: the stage's number.
        history: rows of the epochs that are done already.
        global_step: updates that are done already.
        optimizer_state: of a run that is resumed.
        on_epoch: gets this module and the row of each finished epoch.
        untrained: tasks that no training row is labelled for: what their heads answer counts in no score.
        without_value: monitored scores that the validation rows give no value: they are left out of the mean.
    """

    def __init__(
        self,
        model: TwoBranchNet,
        tasks: Mapping[str, Task],
        config: Config,
        number: int,
        *,
        history: list[Row],
        global_step: int = 0,
        optimizer_state: dict[str, Any] | None = None,
        on_epoch: Callable[["StageModule", Row], None] | None = None,
        untrained: Collection[str] = (),
        without_value: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.model, self.tasks, self.config, self.number = model, dict(tasks), config, number
        self.stage = config.stage(number)
        self.history, self.steps_before = list(history), global_step
        self.start_epoch = len(history)
        self._optimizer_state = optimizer_state
        self.on_epoch = on_epoch
        self.untrained, self.without_value = frozenset(untrained), frozenset(without_value)
        self.trainable_names = list(trainable_parameters(model, self.stage.trainable))
        self._second_pass = False
        self._train_sums: dict[str, list[Any]] = {}
        self._val: dict[str, Any] = {}
        self.val_row: Row = {}
        self._started = self._trained_until = self._images = 0.0
        freeze_all_but(model, self.trainable_names)

    @property
    def epoch(self) -> int:
        """Number of the running epoch, from 0, counted from the stage's very first start."""
        return self.start_epoch + self.current_epoch

    @property
    def updates(self) -> int:
        """Optimizer steps since the stage's very first start."""
        return self.steps_before + self.global_step

    @property
    def optimizer(self) -> Optimizer:
        """The stage's optimizer, once training runs."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    @property
    def scores(self) -> list[float]:
        """The monitor's value in each finished epoch."""
        return [row[monitor_key(self.config)] for row in self.history]

    def train(self, mode: bool = True) -> "StageModule":
        """Train mode for what trains only; what is frozen stays in eval mode, BatchNorm statistics included."""
        super().train(mode)
        if mode:
            set_training(self.model)
        return self

    def configure_optimizers(self) -> Optimizer:
        """The stage's optimizer, in the state it was left in."""
        optimizer = self._fresh_optimizer()
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        if isinstance(optimizer, SAM):
            optimizer.second_pass_context = self._in_second_pass
        return optimizer

    def check_patterns(self) -> None:
        """Raise `UserError` where a pattern of the stage's groups or of its head warm-up matches nothing that trains."""
        self._fresh_optimizer()
        self._training_now()

    def _fresh_optimizer(self) -> Optimizer:
        parameters = dict(self.model.named_parameters())
        return build_optimizer({name: parameters[name] for name in self.trainable_names}, self.stage)

    @contextmanager
    def _in_second_pass(self) -> Iterator[None]:
        self._second_pass = True
        try:
            with frozen_statistics(self.model):
                yield
        finally:
            self._second_pass = False

    def on_train_epoch_start(self) -> None:
        """Learning rates and what trains in this epoch: functions of (stage, epoch, history)."""
        self._set_learning_rates()
        freeze_all_but(self.model, self._training_now())
        self.train()
        self._train_sums = {name: [0.0, 0.0] for name in self.tasks}
        self._started, self._images = time.monotonic(), 0

    def _set_learning_rates(self) -> None:
        mode = self.config.monitor.mode
        set_learning_rates(self.optimizer, self.stage, self.epoch, self.scores, mode, self.updates)

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Random state of this epoch, a function of (seed, stage, epoch); rates that change within an epoch."""
        if self.stage.schedule.type == "decay" or self.updates <= self.stage.schedule.warmup:
            self._set_learning_rates()
        # Not before the first batch is there: a loader draws from torch's generator as it starts, and one whose worker processes
        # live on from the epoch before does not.
        if batch_idx == 0:
            seed_everything(derive_seed(self.config.seed, "stage", self.number, "epoch", self.epoch, "rank", self.global_rank))

    def _training_now(self) -> list[str]:
        warmup = self.stage.head_warmup
        if warmup is None or self.epoch >= warmup.epochs:
            return self.trainable_names
        return match(warmup.pattern, dict.fromkeys(self.trainable_names), "head_warmup")

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Add the numbers of the rows that count, by task: found before the batch moves, as a GPU's count is waited for."""
        masks = batch["labelled"]
        if self.stage.output == "face":
            masks = {name: mask & batch["has_face"] for name, mask in masks.items()}
        return batch | {"rows": {name: masks[name].nonzero()[:, 0] for name in self.tasks}}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The weighted loss of a batch; called twice an update by SAM."""
        total = torch.zeros((), device=self.device)
        by_task = {name: (logits, self._task_losses(name, logits, batch)) for name, logits in self._logits(batch).items()}
        for name, (logits, losses) in by_task.items():
            if not self._second_pass:
                self._train_sums[name][0] += losses.detach().sum(dtype=torch.float64)
                self._train_sums[name][1] += len(losses)
            total = total + self.tasks[name].weight * self._mean(losses, logits)
        if not bool(torch.isfinite(total)):  # here the processor waits for the GPU
            self._refuse({name: losses for name, (_, losses) in by_task.items()}, batch)
        if not self._second_pass:
            self._images += len(batch["sample_id"])
        return total

    def _logits(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        output = self.model(batch)
        return output.logits if self.stage.output == "fused" else output.branch_logits[self.stage.output]

    def _mean(self, losses: Tensor, logits: Tensor) -> Tensor:
        """Mean over the labelled rows of all ranks; zero with a gradient of zero where there is none."""
        total = losses.sum() if len(losses) else logits.sum() * 0
        if self.trainer.world_size == 1:
            return total / max(len(losses), 1)
        count = torch.tensor(float(len(losses)), device=losses.device)
        torch.distributed.all_reduce(count)
        # Gradients are averaged over ranks afterwards, hence times their number.
        return total * self.trainer.world_size / count.clamp(min=1)

    def _task_losses(self, name: str, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """Loss of each row that counts for a task."""
        rows = batch["rows"][name]
        return self.tasks[name].loss(logits.index_select(0, rows), batch["targets"][name].index_select(0, rows))

    def _refuse(self, by_task: dict[str, Tensor], batch: dict[str, Any]) -> NoReturn:
        """Raise for a loss that is not finite, naming the task and its samples."""
        for name, losses in by_task.items():
            wrong = batch["rows"][name][~torch.isfinite(losses)].tolist()
            if wrong:
                ids = [batch["sample_id"][i] for i in wrong]
                shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
                raise UserError(
                    f"stage {self.number}: the loss of task {name!r} is not finite at step {self.updates} for samples {shown}; "
                    f"look at these samples, lower the learning rate, or set precision: '32'"
                )
        raise UserError(
            f"stage {self.number}: the loss is not finite at step {self.updates}; lower the learning rate, or set precision: '32'"
        )

    def on_validation_epoch_start(self) -> None:
        """Start with empty tables."""
        self._trained_until = time.monotonic()
        self._val = {"ids": [], **{name: {"p": [], "t": [], "loss": [], "row": []} for name in self.tasks}}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Keep probabilities, targets and losses; scores are computed over the whole set, never as means of batches."""
        offset = len(self._val["ids"])
        self._val["ids"] += batch["sample_id"]
        for name, logits in self._logits(batch).items():
            rows = batch["rows"][name]
            kept = self._val[name]
            kept["p"].append(self.tasks[name].probabilities(logits.index_select(0, rows)).cpu().numpy())
            kept["t"].append(batch["targets"][name].index_select(0, rows).cpu().numpy())
            kept["loss"].append(self._task_losses(name, logits, batch).float().cpu().numpy())
            kept["row"].append(offset + rows.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Scores over the whole validation set, the same on every rank."""
        row, total = {}, 0.0
        for name, task in self.tasks.items():
            targets, probabilities, losses = self._gather(name)
            self._check_answers(name, losses)
            judged = len(losses) > 0 and name not in self.untrained
            loss = float(losses.mean()) if judged else float("nan")
            row[f"val/{name}/loss"] = loss
            total += task.weight * loss if judged else 0.0
            scores = task.metrics(targets, probabilities) if judged else dict.fromkeys(task.metric_names, float("nan"))
            row |= {f"val/{name}/{metric}": float(score) for metric, score in scores.items()}
        row["val/loss"] = total
        if self.config.monitor.of:
            # The same parts in every epoch: one that its answers leave without a value makes a mean without one.
            parts = [row[f"val/{metric}"] for metric in self.config.monitor.of if metric not in self.without_value]
            row["val/mean"] = float(np.mean(parts))
        self._val, self.val_row = {}, row

    def _check_answers(self, name: str, losses: np.ndarray) -> None:
        """An update can break the weights after the last loss of an epoch was checked; of NaN, scores would make a class."""
        if not np.isfinite(losses).all():
            raise UserError(
                f"stage {self.number}: the validation loss of task {name!r} is not finite after step {self.updates}: the last "
                f"updates broke the weights; lower the learning rate, or set precision: '32'"
            )

    def _gather(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kept = self._val[name]
        ids = np.asarray(self._val["ids"], dtype=object)
        parts = [(ids[np.concatenate(kept["row"])], *(np.concatenate(kept[key]) for key in ("t", "p", "loss")))]
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, parts[0])
            parts = gathered
        keys, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(parts) > 1:
            # Ranks may see a sample twice where their shares were padded to one length.
            _, first = np.unique(keys.astype(str), return_index=True)
            columns = [column[first] for column in columns]
        return columns[0], columns[1], columns[2]

    def on_train_epoch_end(self) -> None:
        """Close the epoch: its row, then whoever listens, then early stopping."""
        seconds = time.monotonic() - self._started
        row: Row = {"epoch": self.epoch + 1, "global_step": self.updates, **self._train_row(), **self.val_row}
        speed = self._images * self.trainer.world_size / (self._trained_until - self._started)
        row |= {"seconds": round(seconds, 3), "images_per_second": round(speed, 1)}
        self.finish_epoch(row)
        patience = self.stage.early_stopping
        if patience is not None and stalled(self.scores, self.config.monitor.mode) >= patience:
            self.trainer.should_stop = True

    def finish_epoch(self, row: Row) -> None:
        """Add a row to the history and tell the listener.

        Raises:
            UserError: the monitor has no value.
        """
        if np.isnan(row[monitor_key(self.config)]):
            raise UserError(
                f"monitor {self.config.monitor.metric!r} has no value for the answers of epoch {int(row['epoch'])}; monitor a "
                f"score that any answers define, such as accuracy or loss"
            )
        self.history.append(row)
        if self.on_epoch is not None:
            self.on_epoch(self, row)

    def _train_row(self) -> Row:
        sums = torch.tensor([[float(n) for n in self._train_sums[name]] for name in self.tasks], dtype=torch.float64)
        if self.trainer.world_size > 1:
            sums = sums.to(self.device)
            torch.distributed.all_reduce(sums)
        means = (sums[:, 0] / sums[:, 1]).tolist()
        row = {f"train/{name}/loss": mean for name, mean in zip(self.tasks, means, strict=True)}
        weighted = {f"train/{n}/weighted_loss": t.weight * row[f"train/{n}/loss"] for n, t in self.tasks.items()}
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return {"lr": max(rates), "train/loss": float(np.nansum(list(weighted.values()))), **row, **weighted}


def seed_everything(seed: int) -> None:
    """Set the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

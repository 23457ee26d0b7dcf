"""`fit_stage`: train one stage of an experiment, or resume it, or see that it is done."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger

from caer.config import Config
from caer.data.loaders import CachedStageData, StageData
from caer.engine.checkpoint import (
    fill,
    finished,
    read_checkpoint,
    read_provenance,
    save_checkpoint,
    save_weights,
    trained_tasks,
)
from caer.engine.history import Progress, say, write_csv
from caer.engine.module import Row, StageModule
from caer.engine.monitor import check_monitor, monitor_key, scores_without_value, stalled
from caer.engine.optim import best_epoch
from caer.engine.origins import begun_from, earlier_parts, starting_model, trained_before
from caer.engine.precision import resolve_device, resolve_precision
from caer.engine.provenance import check_same_settings, provenance
from caer.engine.stages import count_parameters
from caer.engine.trainer import Batches, interruptible, make_trainer, prepare_process
from caer.models import build_model, check_model
from caer.processes import rank, world_size
from caer.tasks import build_tasks
from gating.model import TwoBranchNet
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, sole_writer, write_atomic, write_json


@dataclass(frozen=True)
class StageResult:
    """A finished stage.

    Attributes:
        folder: where its files lie.
        best_score: the monitor's value in the best epoch.
        best_epoch: its number, from 1 (0 for a stage without training).
        epochs: how many were trained.
        already_done: nothing was left to do.
    """

    folder: Path
    best_score: float
    best_epoch: int
    epochs: int
    already_done: bool = False


def fit_stage(config: Config, stage: int, resume: bool = True) -> StageResult:
    """Train a stage to its end, from where an earlier call was stopped, or from the start.

    Args:
        config: the experiment.
        stage: the stage's number.
        resume: go on from the last finished epoch; otherwise start over and replace what is there.

    Raises:
        UserError: anything in config, data, weights or earlier stages that does not allow it.
    """
    prepare_process()
    config.stage(stage)
    check_model(config)
    folder = config.run_folder / f"stage{stage}"
    if resume and (facts := _finished_before(config, stage, folder)):
        return _already_done(config, stage, folder, facts)
    fit = _Fit(config, stage, folder, resume)
    # Under torchrun every rank comes here; the first one writes, and the others wait for it at the end.
    with sole_writer(config.run_folder) if rank() == 0 else nullcontext():
        result = fit.run()
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    return result


def check_stage(config: Config, stage: int) -> None:
    """Find out what would end `fit_stage` at its start, once the stages before it are trained; train and write nothing.

    Raises:
        UserError: anything in config, data, weights, earlier stages or the stage's own folder that does not allow it.
    """
    prepare_process()
    check_model(config)
    folder = config.run_folder / f"stage{stage}"
    if not _finished_before(config, stage, folder):
        _Fit(config, stage, folder, resume=True, ahead=True).module.check_patterns()


def _finished_before(config: Config, stage: int, folder: Path) -> dict[str, Any] | None:
    """The provenance of a finished stage, once it is clear that it belongs to these settings."""
    if not (folder / "config.yaml").is_file() or not (finished(folder) or (folder / "last.ckpt").is_file()):
        return None  # nothing of worth is there: an attempt that ended before its first epoch did
    check_same_settings(folder, config, stage)
    if not finished(folder):
        return None
    facts = read_provenance(folder)
    for part, origin in facts["init"].items():
        weights = Path(origin["file"])
        if weights.is_file() and sha256_file(weights) != origin["sha256"]:
            raise UserError(f"{folder} started from another {part} than {weights} holds now; delete {folder} to train it again")
    return facts


def _already_done(config: Config, stage: int, folder: Path, facts: dict[str, Any]) -> StageResult:
    best = f"{config.monitor.metric} {facts['best_score']:.4f} in epoch {facts['best_epoch']}"
    say(f"stage {stage} is already done: {best}; {folder}")
    return StageResult(folder, facts["best_score"], facts["best_epoch"], facts["epochs"], already_done=True)


class _Fit:
    """One call of `fit_stage` that has something to do. Its constructor checks everything and writes nothing."""

    def __init__(self, config: Config, stage: int, folder: Path, resume: bool, ahead: bool = False) -> None:
        self.config, self.number, self.folder = config, stage, folder
        self.stage = config.stage(stage)
        self.tasks = build_tasks(config)
        check_monitor(config, self.tasks)
        if self.stage.head_warmup is not None and world_size() > 1:
            # The parameters whose gradients are averaged over processes are fixed when training starts.
            raise UserError(
                f"stages.{stage}.head_warmup works in one process only; make it a stage of its own, or start one process"
            )
        last = folder / "last.ckpt"
        resumable = resume and last.is_file() and (folder / "config.yaml").is_file()
        self.checkpoint = read_checkpoint(last) if resumable else None
        self.device = resolve_device(config)
        self.precision = resolve_precision(config, self.device)
        start = self._begin(ahead) if self.checkpoint is None else self._go_on(self.checkpoint)
        self.model, self.begun_from, trained = start
        self.caching_seconds = self._cached_before()
        data = StageData(config, stage, self.tasks, self.model.inputs(self.stage.output))
        self.data: StageData | CachedStageData = data
        for name, task in self.tasks.items():
            task.fit(*data.drawn(name))
        without_rows = [name for name, counts in data.class_counts.items() if not any(counts)]
        self.untrained = [name for name in without_rows if name not in trained]
        self.without_value = scores_without_value(config, self.tasks, data.val_rows, self.untrained)
        self.module = self._module()
        self.progress = Progress(stage, self.stage.epochs, config.monitor.metric)

    def _begin(self, ahead: bool) -> tuple[TwoBranchNet, dict[str, Any], set[str]]:
        """The network with the weights that it begins with, by part the files that they are from, and the tasks they know."""
        parts = earlier_parts(self.config, self.number, ahead)
        model = starting_model(self.config, self.number, parts)
        return model, begun_from(self.config, self.number, parts), trained_before(parts)

    def _go_on(self, checkpoint: dict[str, Any]) -> tuple[TwoBranchNet, dict[str, Any], set[str]]:
        """The same as `_begin`, of a stage that was stopped: the network as it was then, the files as they were at its start."""
        self.precision = checkpoint["precision"]
        model = build_model(self.config, pretrained=False, output=self.stage.output)
        fill(model, checkpoint["model"], self.folder / "last.ckpt")
        facts = read_provenance(self.folder)
        begun = {"init": facts["init"], "weights": facts.get("weights", {})}
        return model, begun, trained_tasks(facts)

    def _cached_before(self) -> float | None:
        """Seconds that the cached features took; None where a resumed stage's record does not say."""
        if self.checkpoint is None or not self.stage.cache_features:
            return 0.0
        seconds: float | None = read_provenance(self.folder).get("caching_seconds")
        return seconds

    def _module(self) -> StageModule:
        checkpoint = self.checkpoint or {"history": [], "global_step": 0, "optimizer": None}
        return StageModule(
            self.model,
            self.tasks,
            self.config,
            self.number,
            history=checkpoint["history"],
            global_step=checkpoint["global_step"],
            optimizer_state=checkpoint["optimizer"],
            on_epoch=self._keep,
            untrained=self.untrained,
            without_value=self.without_value,
        )

    def run(self) -> StageResult:
        """Train, keep, finish."""
        if rank() == 0:
            self._open_folder()
        try:
            self._train()
        finally:
            self.data.close()
        if rank() == 0:
            self.logger.finalize("success")
            self._finish()
        return self._result()

    def _open_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint is None:
            for name in ("last.ckpt", "best.ckpt", "best.safetensors", "provenance.json", "metrics.csv"):
                (self.folder / name).unlink(missing_ok=True)
        write_atomic(self.folder / "config.yaml", yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False))
        self._write_provenance(finished=False)
        self._announce()
        self.logger = TensorBoardLogger(str(self.folder), name="tensorboard", version="")

    def _announce(self) -> None:
        trainable, total = count_parameters(self.model)
        optimizer = self.stage.optimizer
        say(
            f"stage {self.number} ({self.stage.output}): {trainable:,} of {total:,} parameters train; "
            f"{len(self.data.train_rows)} train and {len(self.data.val_rows)} val rows; {self.device.type}, {self.precision}; "
            f"{'sam over ' + optimizer.base if optimizer.type == 'sam' else optimizer.type}, lr {optimizer.lr:g}"
        )
        for name in self.untrained:
            say(f"stage {self.number}: no training row is labelled for {name!r}: its head stays untrained and answers nothing")
        for metric, reason in self.without_value.items():
            say(f"stage {self.number}: {metric} is not in the mean: {reason}")
        if self.module.start_epoch:
            say(f"stage {self.number}: going on after epoch {self.module.start_epoch}")

    def _train(self) -> None:
        done = self.module.start_epoch
        scores, patience = self.module.scores, self.stage.early_stopping
        stopped = patience is not None and bool(scores) and stalled(scores, self.config.monitor.mode) >= patience
        if self.stage.epochs == 0:
            if not self.module.history:
                self._trainer(1).validate(self.module, self._val_batches(), verbose=False)
                self.module.finish_epoch({"epoch": 0, "global_step": 0, **self.module.val_row})
        elif done < self.stage.epochs and not stopped:
            if self.stage.cache_features:
                assert isinstance(self.data, StageData)
                say(f"stage {self.number}: computing the frozen branches' features once")
                self._cache(self.data)
            trainer = self._trainer(self.stage.epochs - done)
            train = Batches(self._epoch_batches, lambda: len(self.data.train_loader(done)))
            self.progress.start()
            with interruptible():
                trainer.fit(self.module, train, self._val_batches())

    def _cache(self, data: StageData) -> None:
        """Put features in the place of pictures. A resumed stage computes them anew: the last time counts, and only once."""
        started = time.monotonic()
        self.data = data.cached(self.model.to(self.device), self.device, self.precision)
        self.caching_seconds = round(time.monotonic() - started, 3)
        if rank() == 0:
            self._write_provenance(finished=False)

    def _epoch_batches(self) -> Iterator[Any]:
        epoch = self.module.epoch
        return self.progress.batches(self.data.train_loader(epoch), epoch)

    def _val_batches(self) -> Batches:
        loader = self.data.val_loader()
        return Batches(lambda: iter(loader), lambda: len(loader))

    def _trainer(self, epochs: int) -> lightning.Trainer:
        # On features the network is a few small matrices: nothing to gain from bf16.
        precision = "32" if self.stage.cache_features else self.precision
        return make_trainer(epochs, self.device, precision, self.stage.gradient_clip, self.folder)

    def _keep(self, module: StageModule, row: Row) -> None:
        """After an epoch: checkpoints (best before last, so that a kill in between only repeats the epoch), logs, a line."""
        if rank() > 0:
            return
        best = best_epoch(module.scores, self.config.monitor.mode) == len(module.history) - 1
        content = {
            "stage": self.number,
            "epoch": int(row["epoch"]),
            "precision": self.precision,
            "model": {name: value.detach().cpu() for name, value in self.model.state_dict().items()},
            "history": module.history,
            "global_step": module.updates if self.stage.epochs else 0,
        }
        if best:
            save_checkpoint(self.folder / "best.ckpt", {**content, "optimizer": None})
        optimizer = module.optimizer.state_dict() if self.stage.epochs else None
        save_checkpoint(self.folder / "last.ckpt", {**content, "optimizer": optimizer})
        write_csv(self.folder / "metrics.csv", module.history)
        self.logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
        if self.stage.epochs:
            self.progress.line(row, best)

    def _result(self) -> StageResult:
        history = self.module.history
        best = history[best_epoch(self.module.scores, self.config.monitor.mode)]
        epochs = len(history) if self.stage.epochs else 0
        return StageResult(self.folder, best[monitor_key(self.config)], int(best["epoch"]), epochs)

    def _finish(self) -> None:
        result, metric = self._result(), self.config.monitor.metric
        write_csv(self.folder / "metrics.csv", self.module.history)
        state = read_checkpoint(self.folder / "best.ckpt")["model"]
        facts = {"name": self.config.name, "stage": str(self.number), "epoch": str(result.best_epoch)}
        facts |= {"schema_version": "1", metric: repr(result.best_score)}
        save_weights(self.folder / "best.safetensors", state, facts)
        self._write_provenance(
            finished=True,
            best_score=result.best_score,
            best_epoch=result.best_epoch,
            epochs=result.epochs,
            seconds=round(sum(row.get("seconds", 0.0) for row in self.module.history), 3),
            weights_sha256=sha256_file(self.folder / "best.safetensors"),
        )
        score = f"best {metric} {result.best_score:.4f} in epoch {result.best_epoch} of {result.epochs}"
        say(f"stage {self.number} done: {score}; {self.folder}")

    def _write_provenance(self, **facts: Any) -> None:
        trainable, total = count_parameters(self.model)
        parameters = {"trainable": trainable, "total": total}
        known = {
            "precision": self.precision,
            "device": self.device.type,
            "parameters": parameters,
            "untrained": self.untrained,
            **self.begun_from,
        }
        known |= {"monitor": self.config.monitor.model_dump(), "caching_seconds": self.caching_seconds}
        write_json(self.folder / "provenance.json", provenance(self.config, self.number, self.data, **known, **facts))

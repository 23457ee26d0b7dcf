"""`fit_stage`: train one stage of an experiment, or resume it, or see that it is done. The only place that builds a Trainer."""

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
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
    read_weights,
    save_checkpoint,
    save_weights,
    stage_folder,
)
from caer.engine.history import Progress, say, write_csv
from caer.engine.module import Row, StageModule, check_monitor, monitor_key, stalled
from caer.engine.optim import best_epoch
from caer.engine.precision import resolve_device, resolve_precision
from caer.engine.provenance import check_same_settings, provenance, weight_files
from caer.engine.stages import count_parameters, load_part
from caer.models import build_model, check_model
from caer.tasks import build_tasks
from gating.model import TwoBranchNet
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, sole_writer, write_atomic, write_json
from preprocessing.memory import keep_freed_memory


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
    _prepare_process()
    config.stage(stage)
    check_model(config)
    folder = config.run_folder / f"stage{stage}"
    if resume and (facts := _finished_before(config, stage, folder)):
        return _already_done(config, stage, folder, facts)
    fit = _Fit(config, stage, folder, resume)
    # Under torchrun or SLURM every rank comes here; the first one writes, and the others wait for it at the end.
    with sole_writer(config.run_folder) if rank() == 0 else nullcontext():
        result = fit.run()
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    return result


def check_stage(config: Config, stage: int) -> None:
    """Find out what would end `fit_stage` at its start, and train and write nothing.

    Raises:
        UserError: anything in config, data, weights, earlier stages or the stage's own folder that does not allow it.
    """
    _prepare_process()
    check_model(config)
    folder = config.run_folder / f"stage{stage}"
    if not _finished_before(config, stage, folder):
        _Fit(config, stage, folder, resume=True).module.check_patterns()


def rank() -> int:
    """Which of the processes that train together this is."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def _prepare_process() -> None:
    # Fresh EfficientNets make denormal numbers in eval mode, ten times slower; threads inherit the setting from this one.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    # Raised from inside torch, for loaders with as many workers as the user asked for.
    warnings.filterwarnings("ignore", message=".*worker processes.*")


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

    def __init__(self, config: Config, stage: int, folder: Path, resume: bool) -> None:
        self.config, self.number, self.folder = config, stage, folder
        self.stage = config.stage(stage)
        self.tasks = build_tasks(config)
        check_monitor(config, self.tasks)
        if self.stage.head_warmup is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # The parameters whose gradients are averaged over processes are fixed when training starts.
            raise UserError(
                f"stages.{stage}.head_warmup works in one process only; make it a stage of its own, or start one process"
            )
        last = folder / "last.ckpt"
        resumable = resume and last.is_file() and (folder / "config.yaml").is_file()
        self.checkpoint = read_checkpoint(last) if resumable else None
        self.device = resolve_device(config)
        self.precision = resolve_precision(config, self.device)
        if self.checkpoint is not None:
            self.precision = self.checkpoint["precision"]
        self.origins = self._origins()
        self.model = self._model()
        self.begun_from = self._begun_from()
        self.caching_seconds = self._cached_before()
        self.data: StageData | CachedStageData = StageData(config, stage, self.tasks, self.model.inputs(self.stage.output))
        for name, task in self.tasks.items():
            task.fit(np.asarray(self.data.class_counts[name]))
        self.module = self._module()
        self.progress = Progress(stage, self.stage.epochs, config.monitor.metric)

    def _origins(self) -> dict[str, Path]:
        """The weight file that each part starts from."""
        origins: dict[str, Path] = {}
        for part, origin in sorted(self.stage.init.items(), key=lambda item: item[1]):
            earlier = self.config.run_folder / origin
            if origin.startswith("stage") and origin.removeprefix("stage").isdigit():
                if not finished(earlier):
                    number = origin.removeprefix("stage")
                    raise UserError(
                        f"stage {self.number} starts from {origin}, which is not finished in {self.config.run_folder}; run "
                        f"train_stage.py with the same config and --stage {number} first"
                    )
                origins[part] = earlier / "best.safetensors"
            else:
                origins[part] = stage_folder(origin) / "best.safetensors"
        return origins

    def _model(self) -> TwoBranchNet:
        if self.checkpoint is not None:
            model = build_model(self.config, pretrained=False, output=self.stage.output)
            fill(model, self.checkpoint["model"], self.folder / "last.ckpt")
            return model
        fresh = frozenset({"face", "context"} - set(self.origins))
        model = build_model(self.config, pretrained=fresh, output=self.stage.output)
        for part, path in self.origins.items():
            load_part(model, part, read_weights(path)[0], str(path))
        return model

    def _begun_from(self) -> dict[str, Any]:
        """`init` and `weights`: by part the file that it began with; of a resumed stage as they were at its start."""
        if self.checkpoint is not None:
            facts = read_provenance(self.folder)
            return {"init": facts["init"], "weights": facts.get("weights", {})}
        files = {"init": self.origins, "weights": weight_files(self.config, self.number)}
        return {
            kind: {part: {"file": str(path), "sha256": sha256_file(path)} for part, path in parts.items()}
            for kind, parts in files.items()
        }

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
        for name in (name for name, counts in self.data.class_counts.items() if not any(counts)):
            say(f"stage {self.number}: no training row is labelled for {name!r}: its head stays untrained and answers nothing")
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
            train = _Batches(self._epoch_batches, lambda: len(self.data.train_loader(done)))
            self.progress.start()
            with _interruptible():
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

    def _val_batches(self) -> "_Batches":
        loader = self.data.val_loader()
        return _Batches(lambda: iter(loader), lambda: len(loader))

    def _trainer(self, epochs: int) -> lightning.Trainer:
        ranks = int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        # On features the network is a few small matrices: nothing to gain from bf16.
        precision = "32" if self.stage.cache_features else self.precision
        return lightning.Trainer(
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=local,
            num_nodes=max(ranks // local, 1),
            strategy="ddp" if ranks > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            max_epochs=epochs,
            gradient_clip_val=self.stage.gradient_clip,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=str(self.folder),
        )

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
        known = {"precision": self.precision, "device": self.device.type, "parameters": parameters, **self.begun_from}
        known |= {"monitor": self.config.monitor.model_dump(), "caching_seconds": self.caching_seconds}
        write_json(self.folder / "provenance.json", provenance(self.config, self.number, self.data, **known, **facts))


class _Batches:
    """Batches of the epoch that is running. Lightning sees an iterable, not a DataLoader, and leaves samplers alone.

    Their number is asked for when it is needed: how many there are for each of several processes is known once these have met.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], count: Callable[[], int]) -> None:
        self._start, self._count = start, count

    def __iter__(self) -> Iterator[Any]:
        return self._start()

    def __len__(self) -> int:
        return self._count()


class _interruptible:
    """Lightning turns Ctrl-C into `sys.exit(1)` and ignores the next ones; make it a KeyboardInterrupt again."""

    def __enter__(self) -> None:
        self._handler = signal.getsignal(signal.SIGINT)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is SystemExit and isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, self._handler)
            raise KeyboardInterrupt from None

"""What a training stage reads: `StageData` gives its loaders, counts and hashes.

Enters: the experiment, the stage's number, the built tasks, the batch keys that the model asks for. Leaves: DataLoaders whose
content is a function of (seed, stage, epoch) at any number of workers, also after a resume.
"""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from caer.config import Config
from caer.data.dataset import SampleDataset, collate, picture_sides
from caer.data.features import cache_features
from caer.data.memory import check_room
from caer.data.rows import Rows, protocol_hash, row_hash
from caer.data.sampler import EpochBatches, epoch_cells, source_weights
from caer.data.targets import is_labelled, targets_of
from caer.data.transforms import Augment
from caer.tasks.base import Task
from preprocessing.errors import UserError

Batch = dict[str, Any]
Loader = DataLoader[Batch]


class EpochLoader:
    """One epoch of a training loader: iterating gives that epoch, whichever others were asked for in the meantime."""

    def __init__(self, loader: Loader, batches: EpochBatches, epoch: int) -> None:
        self._loader, self._batches, self.epoch = loader, batches, epoch

    def __iter__(self) -> Iterator[Batch]:
        self._batches.set_epoch(self.epoch)
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._batches)


class StageData:
    """The data of one stage.

    Attributes:
        train_rows, val_rows: the selected rows.
        class_counts: by task, the number of training rows of each class, or what else the task counts (`Task.count`).
        row_hash: hash of the (sample_id, target) of `val_rows`; `train_row_hash` of `train_rows`.
        protocol_hash: hash of the split rule as applied.
        manifests: path, row hash and preprocessing settings of each source, for the run's provenance.

    Raises:
        UserError: for rows, labels, splits or files that do not allow this stage (see `caer.data.rows`).
    """

    def __init__(self, config: Config, stage_number: int, tasks: Mapping[str, Task], inputs: set[str]) -> None:
        self.config, self.number, self.inputs = config, stage_number, set(inputs)
        self.stage = config.stage(stage_number)
        self.rows = Rows(config, tasks)
        self.train_rows = self.rows.training(self.stage.output, self.stage.data)
        self.val_rows = self.rows.validation(self.stage.output)
        for rows in (self.train_rows, self.val_rows):
            check_landmarks(rows, config, self.inputs)
            check_files(rows, self.inputs)
        self._keep = config.data.in_memory and not self.stage.cache_features  # features are computed once: nothing is read again
        if self._keep:
            check_room(len(self.train_rows) + len(self.val_rows), picture_sides(config, self.inputs))
        self.class_counts = {name: _class_counts(self.train_rows, name, task) for name, task in tasks.items()}
        self.row_hash, self.train_row_hash = row_hash(self.val_rows, tasks), row_hash(self.train_rows, tasks)
        self.protocol_hash = protocol_hash(self.rows)
        self.manifests = [
            {"path": str(source.manifest), "row_hash": manifest.meta.get("row_hash"), "settings": manifest.meta.get("settings")}
            for source, manifest in zip(config.data.sources, self.rows.manifests, strict=True)
        ]
        self.batches = self._batches(next(iter(tasks)))
        self._train: Loader | None = None
        self._val: Loader | None = None

    def _batches(self, first_task: str) -> EpochBatches:
        data, rows = self.config.data, self.train_rows
        balanced = rows[f"target_{first_task}"].to_numpy() if data.balanced_sampling else None
        if balanced is not None and self.rows.tasks[first_task].kind not in ("classes", "ordered"):
            raise UserError(
                f"data.balanced_sampling balances the classes of the first task, but {first_task!r} has none; set it to false"
            )
        sources = rows["source_index"].to_numpy()
        weights = source_weights(sources, [source.weight for source in data.sources], data.sampling)
        cells = epoch_cells(sources, weights, balanced)
        return EpochBatches(cells, data.batch_size, self.config.seed, self.number)

    def drawn(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Targets of the training rows that are labelled for a task, and how often an epoch draws each, on average [N]."""
        draws = np.zeros(len(self.train_rows))
        for indices, count in self.batches.cells:
            draws[indices] = count / len(indices)
        targets = targets_of(self.train_rows, task)
        labelled = is_labelled(targets)
        return targets[labelled], draws[labelled]

    def train_loader(self, epoch: int) -> EpochLoader:
        """An epoch's training batches; all epochs share one set of worker processes."""
        if self._train is None:
            samples = SampleDataset(self.train_rows, self.config, self.inputs, self._augment(), keep=self._keep)
            self._train = make_loader(samples, self.batches, self.config)
        return EpochLoader(self._train, self.batches, epoch)

    def val_loader(self) -> Loader:
        """Validation rows in their order, without augmentation."""
        if self._val is None:
            self._val = eval_loader(self.config, self.val_rows, self.inputs, keep=self._keep)
        return self._val

    def close(self) -> None:
        """Let the worker processes go; a later loader starts new ones."""
        self._train = self._val = None
        gc.collect()  # a loader and its iterator refer to each other

    def _augment(self) -> Augment | None:
        if self.stage.augmentation is None:
            return None
        size = self.config.data.image_size
        return Augment(self.stage.augmentation, size.face, size.context, self.config.seed, self.number)

    def cached(self, model: nn.Module, device: torch.device, precision: str) -> "CachedStageData":
        """The same stage over features of the frozen branches, computed now and once.

        Args:
            model: has `encode(batch)` (`gating.model.TwoBranchNet`).
            device: where to compute.
            precision: `32` or `bf16`, as the stage trains.
        """
        return CachedStageData(self, model, device, precision)


class CachedStageData:
    """A stage whose batches hold `features` instead of pictures; otherwise like `StageData`."""

    def __init__(self, data: StageData, model: nn.Module, device: torch.device, precision: str) -> None:
        self.class_counts, self.row_hash, self.train_row_hash = data.class_counts, data.row_hash, data.train_row_hash
        self.protocol_hash, self.manifests, self.batches = data.protocol_hash, data.manifests, data.batches
        self.train_rows, self.val_rows = data.train_rows, data.val_rows
        size = data.config.data.batch_size
        train = eval_loader(data.config, data.train_rows, data.inputs)
        self._train_table = cache_features(train, len(data.train_rows), model, device, precision)
        self._val_table = cache_features(data.val_loader(), len(data.val_rows), model, device, precision)
        data.close()
        self._train: Loader = DataLoader(self._train_table, sampler=self.batches, batch_size=None)
        self._val: Loader = DataLoader(self._val_table, sampler=_chunks(len(self._val_table), size), batch_size=None)

    def train_loader(self, epoch: int) -> EpochLoader:
        """An epoch's training batches."""
        return EpochLoader(self._train, self.batches, epoch)

    def val_loader(self) -> Loader:
        """Validation rows in their order."""
        return self._val

    def close(self) -> None:
        """Nothing to let go: features need no worker processes, and those that computed them are gone."""


def make_loader(dataset: Dataset[Batch], batches: Iterable[list[Any]], config: Config) -> Loader:
    """A loader over given batches with `config.data.workers` processes that live as long as the loader does."""
    workers = config.data.workers
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        collate_fn=collate,
        worker_init_fn=_one_thread,
        pin_memory=config.device != "cpu" and torch.cuda.is_available(),
    )


def eval_loader(config: Config, rows: pd.DataFrame, inputs: set[str], keep: bool = False) -> Loader:
    """Rows in their order, in batches of `config.data.batch_size`, without augmentation; `keep`: see `SampleDataset`."""
    return make_loader(SampleDataset(rows, config, inputs, keep=keep), _chunks(len(rows), config.data.batch_size), config)


def _chunks(count: int, size: int) -> list[list[int]]:
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _one_thread(worker: int) -> None:
    # Each worker is one of several processes on the same cores; OpenCV's own threads would only fight for them.
    del worker
    cv2.setNumThreads(0)


def check_landmarks(rows: pd.DataFrame, config: Config, inputs: set[str]) -> None:
    """Aligned face crops need landmarks for every face.

    Raises:
        UserError: some rows have none; with the count and the two remedies.
    """
    face = config.model.face
    if "face" not in inputs or face is None or not face.aligned:
        return
    missing = rows["has_face"] & rows["face_landmarks"].isna()
    if missing.any():
        raise UserError(
            f"{rows['manifest'][missing].iloc[0]}: {int(missing.sum())} of {int(rows['has_face'].sum())} faces lack landmarks, "
            f"and model.face.aligned is true; set model.face.aligned=false, or preprocess with a detector that gives landmarks "
            f"(retinaface)"
        )


def check_files(rows: pd.DataFrame, inputs: set[str]) -> None:
    """Look for every file before the first epoch rather than in the middle of it.

    Raises:
        UserError: some are absent; names the first sample and the count.
    """
    wanted = [("face_file", rows["has_face"])] if "face" in inputs else []
    wanted += [("image_file", pd.Series(True, index=rows.index))] if inputs & {"context", "image"} else []
    for column, use in wanted:
        part = rows[use]
        paths = [os.path.join(a, b) for a, b in zip(part["manifest_folder"], part[column], strict=True)]
        absent = np.flatnonzero([not os.path.isfile(path) for path in paths])
        if len(absent):
            first = absent[0]
            raise UserError(
                f"{paths[first]}: no such file (sample {part['sample_id'].iloc[first]}); {len(absent)} of {len(paths)} {column}s "
                f"are absent; preprocess again to restore them"
            )


def _class_counts(rows: pd.DataFrame, name: str, task: Task) -> list[Any]:
    targets = targets_of(rows, name)
    return task.count(targets[is_labelled(targets)])

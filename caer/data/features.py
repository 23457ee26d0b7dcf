"""Features of frozen branches, computed once: the fusion then trains on tables instead of pictures.

Enters: a loader over pictures and a model with `encode`. Leaves: a dataset of batches with
`features {face, context, image: [B, C]}`.
"""

import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from caer.data.sampler import Draw


class FeatureTable(Dataset[dict[str, Any]]):
    """Feature rows on disk, mapped into memory; an item is a whole batch, asked for by its list of indices or `Draw`s.

    Attributes:
        features: by branch input, [N, C] in the precision they were computed in.
        targets, labelled: by task, [N, ...] and [N] bool.
        has_face: [N] bool.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.features: dict[str, Tensor] = {}
        self.targets: dict[str, Tensor] = {}
        self.labelled: dict[str, Tensor] = {}
        self.has_face = torch.zeros(size, dtype=torch.bool)
        self.sample_id: list[str] = []
        self.source: list[str] = []

    def __len__(self) -> int:
        return self.size

    def append(self, batch: dict[str, Any], features: dict[str, Tensor]) -> None:
        """Write a batch's rows behind those that are there."""
        rows = slice(len(self.sample_id), len(self.sample_id) + len(batch["sample_id"]))
        for name, values in features.items():
            if name not in self.features:
                self.features[name] = _mapped(self.size, values)
            self.features[name][rows] = values.detach().cpu()
        for mine, theirs in ((self.targets, batch["targets"]), (self.labelled, batch["labelled"])):
            for name, values in theirs.items():
                mine.setdefault(name, torch.empty((self.size, *values.shape[1:]), dtype=values.dtype))[rows] = values.cpu()
        self.has_face[rows] = batch["has_face"].cpu()
        self.sample_id += batch["sample_id"]
        self.source += batch["source"]

    def __getitem__(self, items: Sequence[int | Draw]) -> dict[str, Any]:
        rows = [item.row if isinstance(item, Draw) else int(item) for item in items]
        return {
            "features": {name: values[rows] for name, values in self.features.items()},
            "targets": {name: values[rows] for name, values in self.targets.items()},
            "labelled": {name: values[rows] for name, values in self.labelled.items()},
            "has_face": self.has_face[rows],
            "sample_id": [self.sample_id[i] for i in rows],
            "source": [self.source[i] for i in rows],
        }


def _mapped(size: int, like: Tensor) -> Tensor:
    """An empty [size, C] tensor in a file that vanishes with the process: the pages count as cache, not as memory in use."""
    with tempfile.NamedTemporaryFile(prefix="caer-features-") as file:
        count = size * like[0].numel()
        file.truncate(count * like.element_size())
        return torch.from_file(file.name, shared=True, size=count, dtype=like.dtype).view(size, *like.shape[1:])


def cache_features(
    loader: Iterable[dict[str, Any]], size: int, model: nn.Module, device: torch.device, precision: str
) -> FeatureTable:
    """Run the branches over a loader in eval mode, without gradients.

    Args:
        loader: batches of pictures, each row once.
        size: number of rows.
        model: has `encode(batch) -> {name: [B, C]}`.
        device: where to compute.
        precision: `32` or `bf16`, as the model is used later; the features keep the type that `encode` returns.
    """
    table, was_training = FeatureTable(size), model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for batch in loader:
            table.append(batch, model.encode(to_device(batch, device)))  # type: ignore[operator]
    model.train(was_training)
    assert len(table.sample_id) == size, "the loader gave another number of rows than announced"
    return table


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch with its tensors (also in dicts) on a device; lists stay."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device, non_blocking=True)
        return {key: move(v) for key, v in value.items()} if isinstance(value, dict) else value

    return {key: move(value) for key, value in batch.items()}

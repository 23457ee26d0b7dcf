"""A run's model over fixed rows, asked again and again with changed inputs.

Enters: a loaded run and rows that it can answer with all its branches. Leaves: pooled features by input, and answers to them.

A frozen encoder sees each picture alone, so exchanging scenes between samples is exchanging the features of those scenes: only
pictures that are new have to be encoded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from caer.data.dataset import RowAlter, SampleDataset
from caer.data.features import to_device
from caer.data.loaders import make_loader
from caer.diagnosis.interventions import Alteration
from caer.engine.checkpoint import LoadedRun
from caer.engine.precision import resolve_device
from caer.evaluation.predictions import ONE_OF
from gating.gate_stats import context_share
from preprocessing.progress import progress

Features = dict[str, Tensor]
"""Pooled features [N, C] by input: `face`, `context`, `image`."""

_AT_ONCE = 1024


@dataclass(frozen=True)
class Answers:
    """Answers for one task.

    Attributes:
        fused: [N, K] probabilities of the run.
        branches: by branch [N, K]; empty for CAER-Net, whose streams have no answers of their own.
        logits: by branch [N, K], what `branches` come from.
        summed: [N, K], the answer if the two branches' logits were just added; None without two branches that answer.
        gates: [N, 2] or [N, 2, K], order (face, context); None without.
    """

    fused: np.ndarray
    branches: dict[str, np.ndarray]
    logits: dict[str, np.ndarray]
    summed: np.ndarray | None
    gates: np.ndarray | None

    @property
    def share(self) -> np.ndarray | None:
        """[N] the gates' context share, 0.5 where both gates are 0; None without gates."""
        return None if self.gates is None else np.nan_to_num(context_share(self.gates), nan=0.5)


class Probe:
    """The model of a run over rows.

    Args:
        loaded: the run.
        rows: rows of `caer.data.rows` with a face and a photo.

    Attributes:
        inputs: the pictures that the run's output needs.
        tasks: those whose answer is one of several classes, by name.
    """

    def __init__(self, loaded: LoadedRun, rows: pd.DataFrame) -> None:
        self.loaded, self.rows = loaded, rows
        self.tasks = {name: task for name, task in loaded.tasks.items() if task.kind in ONE_OF}
        self.device = resolve_device(loaded.config)
        self.model = loaded.model.to(self.device).eval()
        self.inputs: set[str] = self.model.inputs(loaded.output)  # type: ignore[arg-type]

    def samples(self, inputs: set[str], alter: RowAlter | None = None) -> SampleDataset:
        """The rows as samples with these pictures, their stored pictures altered first."""
        return SampleDataset(self.rows, self.loaded.config, inputs, alter=alter)

    def encode(self, samples: Dataset[dict[str, Any]], inputs: set[str], what: str) -> tuple[Features, Tensor | None]:
        """Pooled features of samples, and attention [N, h, w] over their context images where there is attention.

        Args:
            samples: as many as there are rows.
            inputs: which of their pictures to encode.
            what: is done to them, for the progress.
        """
        size, count = self.loaded.config.data.batch_size, len(self.rows)
        batches = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
        pooled: dict[str, list[Tensor]] = {name: [] for name in sorted(inputs)}
        maps: list[Tensor] = []
        with self._computing(), progress(count, f"rows, {what}") as shown:
            for batch in make_loader(samples, batches, self.loaded.config):
                moved = to_device(batch, self.device)
                for name, parts in pooled.items():
                    branch = self.model.face if name == "face" else self.model.context
                    features, attention = branch.encode(moved[name])
                    parts.append(features.cpu())
                    if name == "context" and attention is not None:
                        maps.append(attention.float().squeeze(1).cpu())
                shown.advance(len(batch["sample_id"]))
        return {name: torch.cat(parts) for name, parts in pooled.items()}, torch.cat(maps) if maps else None

    def altered(self, intact: Features, alter: Alteration, what: str) -> Features:
        """Features of all inputs after an alteration of the stored pictures; `intact` gives those it cannot reach."""
        # A blurred mask lets some of the face through.
        through = {"context"} if self.loaded.config.data.mask.fill == "blur" else set()
        names = self.inputs & (alter.reaches | through)
        return {**intact, **self.encode(self.samples(names, alter), names, what)[0]}

    @contextmanager
    def _computing(self) -> Iterator[None]:
        bf16 = self.loaded.meta.get("precision") == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield

    def answer(self, features: Mapping[str, Tensor]) -> dict[str, Answers]:
        """The run's answers to features, by task."""
        count = len(next(iter(features.values())))
        parts = []
        with self._computing():
            for start in range(0, count, _AT_ONCE):
                chunk = {name: values[start : start + _AT_ONCE].to(self.device) for name, values in features.items()}
                parts.append(self.model({"features": chunk}))
        return {name: self._answers(name, parts) for name in self.tasks}

    def _answers(self, name: str, parts: list[Any]) -> Answers:
        task = self.tasks[name]

        def probabilities(logits: Tensor) -> np.ndarray:
            return task.probabilities(logits.float()).double().cpu().numpy()

        branches = {branch: torch.cat([part.branch_logits[branch][name] for part in parts]) for branch in parts[0].branch_logits}
        summed = probabilities(branches["face"] + branches["context"]) if len(branches) == 2 else None
        gates = None
        if parts[0].gates is not None:
            gates = torch.cat([part.gates[name] for part in parts]).double().cpu().numpy()
        fused = probabilities(torch.cat([part.logits[name] for part in parts]))
        answers = {branch: probabilities(logits) for branch, logits in branches.items()}
        known = {branch: logits.double().cpu().numpy() for branch, logits in branches.items()}
        return Answers(fused, answers, known, summed, gates)

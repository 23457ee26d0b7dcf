"""A dataset -> a manifest, on all cores, resumable.

Enters: a dataset, settings, an output folder. Leaves there: `faces/`, `images/`, `manifest.parquet` with its sidecar,
`summary.json`, and the parts from which a run that was killed, or is repeated with more photos, goes on. The rows depend
neither on the number of workers nor on kills.
"""

import importlib.metadata
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from preprocessing.chunks import Chunk, ContextMask, Job, chunks, is_done
from preprocessing.datasets.base import RUN_FILE, Dataset, locate
from preprocessing.decisions import Decisions, apply_decisions, read_decisions
from preprocessing.errors import UserError
from preprocessing.files import read_json, sha256_bytes, sha256_file, sole_writer, write_json
from preprocessing.lookup import plugin_config
from preprocessing.manifest import SCHEMA_VERSION, Row, read_part, write_manifest
from preprocessing.pool import run_chunks
from preprocessing.progress import progress
from preprocessing.records import build_detector, process
from preprocessing.settings import Settings
from preprocessing.types import RawSample

__all__ = ["ContextMask", "Result", "build_detector", "preprocess", "process"]


@dataclass(frozen=True)
class Result:
    """A finished run: the manifest's path and its row hash, and the content of `summary.json`."""

    manifest: Path
    row_hash: str
    summary: dict[str, Any]


def preprocess(
    dataset: Dataset,
    settings: Settings,
    out: Path,
    workers: int = 0,
    write_context: ContextMask | None = None,
    limit: int | None = None,
) -> Result:
    """Make or complete the manifest of a dataset.

    Args:
        dataset: from a dataset's `build(config)`.
        settings: how photos become records.
        out: folder to write to; it may hold an earlier run of the same dataset and settings.
        workers: processes; 0 for one a core.
        write_context: also write the masked photos, as training will see them, to `out/context/`.
        limit: only the first so many photos.

    Raises:
        UserError: the dataset is empty or inconsistent, `out` belongs to another run or cannot be written, a review decision
            does not fit.
    """
    build_detector(settings)  # says at once what is wrong with it
    samples = _samples(dataset, limit)
    started = time.monotonic()
    with sole_writer(out):
        identity = _identity(dataset, settings, write_context)
        _claim(out, identity)
        _sweep(out)
        job = Job(dataset.root, out, settings, _label_types(samples), write_context, _key(identity, _label_types(samples)))
        decisions = read_decisions(out)
        if settings.select == "all" and decisions.boxes:
            raise UserError(
                f"{out}/decisions.jsonl: action 'face' has no meaning with select: all; reject the other faces instead"
            )
        every = list(chunks(job, samples, decisions.boxes))
        done = _run(job, every, workers or os.cpu_count() or 1)
        counts = _Counts()
        parts = counts.watch(_decided(every, decisions, job.label_types))
        meta = write_manifest(out, parts, job.label_types, _meta(dataset, settings, identity))
        summary = counts.summary(len(samples), dataset.notes, decisions) | {"row_hash": meta["row_hash"]}
        summary["run"] = {"photos": done, "seconds": round(time.monotonic() - started, 2)}
        write_json(out / "summary.json", summary)
        _drop_stale_parts(out, every)
    return Result(out / "manifest.parquet", meta["row_hash"], summary)


def _samples(dataset: Dataset, limit: int | None) -> list[RawSample]:
    samples = list(dataset.samples())
    if not samples:
        raise UserError(f"{dataset.root}: the dataset's lists name no photo; expected one at least; fetch the lists again")
    for sample in samples:
        if "\0" in sample.image:
            raise UserError(
                f"{dataset.root}: the path {sample.image!r} holds a NUL character, which no file name can; mend the list"
            )
    if not any(locate(dataset.root, sample.image).exists() for sample in samples):
        first = samples[0].image
        raise UserError(
            f"{dataset.root}: none of the {len(samples)} listed photos is there, first {first!r}; --root holds the photos"
        )
    twice = [image for image, n in Counter(s.image for s in samples).items() if n > 1]
    if twice:
        raise UserError(f"{dataset.root}: {len(twice)} photos are listed more than once, first {twice[0]!r}; list each once")
    return samples[:limit]


def _label_types(samples: Iterable[RawSample]) -> dict[str, str]:
    """Task -> `double` if all its labels are numbers, else `string`; tasks in alphabetical order."""
    types: dict[str, str] = {}
    for sample in samples:
        for task, label in sample.labels.items():
            if isinstance(label, str):
                types[task] = "string"
            else:
                types.setdefault(task, "double")
    return dict(sorted(types.items()))


def _identity(dataset: Dataset, settings: Settings, context: ContextMask | None) -> dict[str, Any]:
    """What makes two runs the same: everything the rows depend on but the samples, which each chunk answers for."""
    detector = plugin_config("preprocessing.detectors", settings.detector, "detector")
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": _content(dataset.config, skip={"root"}),
        "settings": settings.model_dump(mode="json") | {"detector": _content(detector)},
        "context": None if context is None else context.model_dump(mode="json"),
    }


def _content(config: BaseModel, skip: set[str] | None = None) -> dict[str, Any]:
    """A config as JSON; a file that it names counts with its content."""
    content = config.model_dump(mode="json", exclude=skip)
    for name in content:
        value = getattr(config, name)
        paths = [p for p in (value if isinstance(value, list) else [value]) if isinstance(p, Path) and p.is_file()]
        if paths:
            content[name] = [{"file": str(path), "sha256": sha256_file(path)} for path in paths]
    return content


def _key(identity: Mapping[str, Any], label_types: Mapping[str, str]) -> str:
    return sha256_bytes(json.dumps([identity, label_types], sort_keys=True).encode())


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Mark `out` as the place of this run, or say what the run that it belongs to had else."""
    path = out / RUN_FILE
    if not path.is_file():
        if (out / "manifest.parquet").exists():
            raise UserError(f"{out}: holds a manifest without {RUN_FILE}, so what made it is unknown; choose another --out")
        write_json(path, identity)
        return
    found = read_json(path, "the mark of a preprocessing run")
    difference = _difference(found, identity)
    if difference:
        raise UserError(f"{out}: made with {difference}; choose another --out, or delete that folder")


def _difference(found: Any, wanted: Any, where: str = "") -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            difference = _difference(found.get(key), wanted.get(key), f"{where}.{key}" if where else key)
            if difference:
                return difference
        return ""
    return "" if found == wanted else f"{where} {json.dumps(found)}, now {json.dumps(wanted)}"


def _sweep(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for pattern in (".*.tmp", "parts/.*.tmp", "faces/*/.*.tmp", "images/*/.*.tmp", "context/*/.*.tmp"):
        for path in out.glob(pattern):
            path.unlink(missing_ok=True)


def _run(job: Job, every: Sequence[Chunk], workers: int) -> int:
    """Process the chunks that are not done; returns the number of photos processed."""
    waiting = [chunk for chunk in every if not is_done(job, chunk)]
    total = sum(len(chunk.samples) for chunk in every)
    left = sum(len(chunk.samples) for chunk in waiting)
    if waiting:
        with progress(total, "photos", done=total - left) as bar:
            for n in run_chunks(job, waiting, min(workers, len(waiting))):
                bar.advance(n)
    return left


def _decided(every: Iterable[Chunk], decisions: Decisions, label_types: Mapping[str, str]) -> Iterator[list[Row]]:
    for chunk in every:
        yield apply_decisions(read_part(chunk.part), decisions, label_types)


def _drop_stale_parts(out: Path, every: Iterable[Chunk]) -> None:
    current = {chunk.part.name for chunk in every}
    for path in (out / "parts").iterdir():
        if path.name not in current:
            path.unlink()


class _Counts:
    """Counts rows as they pass."""

    def __init__(self) -> None:
        self.rows = self.faces = 0
        self.status: Counter[str] = Counter()
        self.split: Counter[str] = Counter()
        self.labels: dict[str, Counter[str]] = {}
        self.seen: set[str] = set()

    def watch(self, parts: Iterable[list[Row]]) -> Iterator[list[Row]]:
        for rows in parts:
            for row in rows:
                self._add(row)
            yield rows

    def _add(self, row: Row) -> None:
        self.rows += 1
        self.faces += row["n_faces"] if row["rank"] == 0 else 0
        self.status[row["status"]] += 1
        self.split[row["split"] or "none"] += 1
        self.seen.add(row["sample_id"])
        for name, label in row.items():
            if name.startswith("label_") and label is not None:
                counter = self.labels.setdefault(name.removeprefix("label_"), Counter())
                counter[label if isinstance(label, str) else "numbers"] += 1

    def summary(self, photos: int, notes: Mapping[str, Any], decisions: Decisions) -> dict[str, Any]:
        decided = decisions.samples()
        content: dict[str, Any] = {
            "photos": photos,
            "rows": self.rows,
            "faces": self.faces,
            "status": dict(self.status),
            "split": dict(self.split),
            "labels": {task: dict(counter) for task, counter in self.labels.items()},
            "dataset": dict(notes),
        }
        if decided:
            content["decisions"] = {"applied": len(decided & self.seen), "of absent samples": len(decided - self.seen)}
        return content


def _meta(dataset: Dataset, settings: Settings, identity: Mapping[str, Any]) -> dict[str, Any]:
    detector = plugin_config("preprocessing.detectors", settings.detector, "detector")
    packages = ("numpy", "opencv-python-headless", "onnxruntime", "simplejpeg", "pillow")
    return {
        "dataset": dataset.config.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json") | {"detector": detector.model_dump(mode="json")},
        "detector": identity["settings"]["detector"],
        "context": identity["context"],
        "root": str(dataset.root.resolve()),
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }

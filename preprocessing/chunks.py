"""A chunk: a fixed run of samples, processed as one piece of work that is either done (its part is there) or not.

Enters: samples. Leaves: their pictures under OUT, then one part of the manifest whose name tells what it was made from: the
settings, the samples, the sizes and times of their files. A part of the same name is therefore never made twice, and one of
other inputs never used.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.datasets.base import locate
from preprocessing.detectors.base import Detector
from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes, write_atomic
from preprocessing.images import ImageError, decode_jpeg, encode_png, read_image
from preprocessing.labels import text_of
from preprocessing.manifest import Row, sample_id, write_part
from preprocessing.mask import mask_faces
from preprocessing.records import process
from preprocessing.settings import Settings, StrictModel
from preprocessing.types import FaceRecord, RawSample

CHUNK_SIZE = 32
"""Samples per chunk: what a killed worker loses at most. Fixed, so that parts do not depend on the number of workers."""

Box = tuple[float, float, float, float]


class ContextMask(StrictModel):
    """How `--write-context` hides faces; the counterpart of `data.mask` of a training config."""

    faces: Literal["subject", "all"] = "subject"
    fill: Literal["black", "mean", "blur"] = "black"
    margin: float = 0.0


@dataclass(frozen=True)
class Job:
    """What all chunks of a run share."""

    root: Path
    out: Path
    settings: Settings
    label_types: Mapping[str, str]
    context: ContextMask | None
    key: str
    """Hash of everything but the samples that the rows depend on."""


@dataclass(frozen=True)
class Chunk:
    """A run of samples and the boxes that a review chose among them, by sample id."""

    index: int
    samples: tuple[RawSample, ...]
    boxes: Mapping[str, Box]
    part: Path


def chunks(job: Job, samples: Sequence[RawSample], boxes: Mapping[str, Box]) -> Iterator[Chunk]:
    """Cut samples into chunks, in their order."""
    for index, start in enumerate(range(0, len(samples), CHUNK_SIZE)):
        piece = tuple(samples[start : start + CHUNK_SIZE])
        chosen = {identity: boxes[identity] for s in piece if (identity := sample_id(s.source, s.image, 0)) in boxes}
        content = [job.key, chosen, [[s.source, s.image, s.split, s.group, dict(s.labels), _stamp(job.root, s)] for s in piece]]
        name = sha256_bytes(json.dumps(content, sort_keys=True).encode())[:24]
        yield Chunk(index, piece, chosen, job.out / "parts" / f"{index:07d}-{name}.parquet")


def _stamp(root: Path, sample: RawSample) -> list[int]:
    try:
        status = locate(root, sample.image).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def is_done(job: Job, chunk: Chunk) -> bool:
    """Whether a chunk's part is there and whole, and with it every picture that it names: what was deleted is made again."""
    if not chunk.part.is_file():
        return False
    try:
        table = pq.read_table(chunk.part, columns=["sample_id", "face_file", "image_file"])
    except (OSError, pa.ArrowException):
        return False
    for row in table.to_pylist():
        context = _file("context", row["sample_id"], ".png") if job.context is not None and row["image_file"] else ""
        if not all((job.out / file).is_file() for file in (row["face_file"], row["image_file"], context) if file):
            return False
    return True


def process_chunk(
    job: Job, detector: Detector, chunk: Chunk, watch: Callable[[], AbstractContextManager[None]] = nullcontext
) -> int:
    """Process a chunk: pictures first, each under `watch`, then its part. Returns the number of samples."""
    rows: list[Row] = []
    for sample in chunk.samples:
        with watch():
            rows += process_sample(job, detector, sample, chunk.boxes)
    write_part(chunk.part, rows, job.label_types)
    return len(chunk.samples)


def process_sample(job: Job, detector: Detector, sample: RawSample, boxes: Mapping[str, Box]) -> list[Row]:
    """The manifest rows of one photo; its pictures are written."""
    wanted = boxes.get(sample_id(sample.source, sample.image, 0))
    try:
        image = read_image(locate(job.root, sample.image), job.settings.max_pixels)
        chosen = None if wanted is None else np.array(wanted, dtype=np.float32)
        records = process(image, job.settings, detector, sample.image, chosen)
    except ImageError as error:
        return [failed_row(job, sample, error.status, error.reason)]
    except UserError:
        raise
    except Exception as error:
        raise RuntimeError(f"{sample.image}: {type(error).__name__}: {error}") from error
    return [_row(job, sample, record) for record in records]


def failed_row(job: Job, sample: RawSample, status: str, reason: str) -> Row:
    """The row of a photo that gave no picture."""
    nothing = np.zeros((0, 5), dtype=np.float32)
    record = FaceRecord(0, status, reason, 0, 0, None, nothing, None, None, None, None, None, nothing[:, :4])
    return _row(job, sample, record)


def _row(job: Job, sample: RawSample, record: FaceRecord) -> Row:
    identity = sample_id(sample.source, sample.image, record.rank)
    face = record.face
    face_file = image_file = ""
    if record.face_jpeg is not None:
        face_file = _write(job.out, "faces", identity, ".jpg", record.face_jpeg)
    if record.image_jpeg is not None:
        photo = sample_id(sample.source, sample.image, 0)  # all faces of a photo share it
        image_file = (
            _write(job.out, "images", photo, ".jpg", record.image_jpeg) if record.rank == 0 else _file("images", photo, ".jpg")
        )
        if job.context is not None:
            _write(job.out, "context", identity, ".png", context_png(record, job.context))
    return {
        "sample_id": identity,
        "source": sample.source,
        "image": sample.image,
        "split": sample.split,
        "group": sample.group,
        "rank": record.rank,
        "width": record.width,
        "height": record.height,
        "box": _floats(None if face is None else face.box),
        "landmarks": _floats(None if face is None else face.landmarks),
        "score": None if face is None else face.score,
        "all_boxes": _floats(record.all_boxes),
        "n_faces": len(record.all_boxes),
        "status": record.status,
        "reason": record.reason,
        "face_file": face_file,
        "face_box": _floats(record.face_box),
        "face_landmarks": _floats(record.face_landmarks),
        "image_file": image_file,
        "image_box": _floats(record.image_box),
        "image_boxes": _floats(record.image_boxes),
        **{f"label_{task}": _label(sample.labels.get(task), kind) for task, kind in job.label_types.items()},
    }


def context_png(record: FaceRecord, mask: ContextMask) -> bytes:
    """The stored photo with its face or faces hidden, as training hides them when it loads the sample."""
    assert record.image_jpeg is not None
    subject = np.zeros((0, 4)) if record.image_box is None else record.image_box[None]
    boxes = record.image_boxes if mask.faces == "all" else subject
    return encode_png(mask_faces(decode_jpeg(record.image_jpeg), boxes, mask.fill, mask.margin))


def _file(kind: str, identity: str, suffix: str) -> str:
    return f"{kind}/{identity[:2]}/{identity}{suffix}"


def _write(out: Path, kind: str, identity: str, suffix: str, content: bytes) -> str:
    file = _file(kind, identity, suffix)
    write_atomic(out / file, content)
    return file


def _floats(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else np.asarray(values, dtype=np.float32).ravel().tolist()


def _label(value: Any, kind: str) -> Any:
    if value is None or kind == "double":
        return value
    return value if isinstance(value, str) else text_of(value)

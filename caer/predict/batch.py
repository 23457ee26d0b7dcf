"""`python -m caer predict`: paths in, a file of answers and annotated pictures out."""

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from caer.predict.annotate import annotate, picture_name
from caer.predict.answers import one_of
from caer.predict.outputs import check_out, open_writer
from caer.predict.predictor import Answered, Predictor
from caer.predict.sources import Photo, Sources, describe_ignored, find_sources
from preprocessing.errors import UserError
from preprocessing.files import write_atomic
from preprocessing.progress import Progress, progress


def predict_paths(
    run: Path,
    paths: Sequence[Path],
    out: Path | None = None,
    pictures: Path | None = None,
    *,
    every: int = 1,
    batch_size: int = 32,
    threads: int = 0,
) -> Counter[str]:
    """Answer what the paths name.

    Args:
        run: a run's folder, or an `.onnx` file.
        paths: see `caer.predict.sources.find_sources`.
        out: `.jsonl` or `.parquet`; None for JSON lines on standard output.
        pictures: folder for annotated pictures.
        every: of a video every so many-th frame.
        batch_size: see `Predictor.predict_many`.
        threads: see `Predictor.predict_many`.

    Returns:
        How many answers have which status.

    Raises:
        UserError: for a run, a path or a place to write that is not right; nothing is then written.
    """
    if out is not None:
        check_out(out)
    sources = find_sources(paths, every)
    _check_overwrites(sources, out, pictures)
    predictor = Predictor(run)
    if not predictor.temperatures and any(map(one_of, predictor.tasks.values())):
        print(f"note: confidence is as trained, {run} has no val predictions (`python -m caer evaluate`)", file=sys.stderr)
    done, started = _Done(), time.monotonic()
    quiet = out is None and sys.stdout.isatty()
    bar = nullcontext() if quiet else progress(sources.total, "pictures")
    with open_writer(out, predictor.tasks, predictor.network.origin) as writer, bar as shown:
        wanted, names = pictures is not None, _Names()
        for answered in predictor.predict_many(sources, batch_size=batch_size, threads=threads, pictures=wanted):
            writer.write(answered)
            if pictures is not None and answered.picture is not None:
                drawn = annotate(answered.picture, answered.faces, predictor.tasks)
                write_atomic(pictures / names.of(answered.photo), drawn)
            done.add(answered, shown)
    print(done.summary(time.monotonic() - started, sources), file=sys.stderr)
    return done.status


class _Done:
    """Counts for the closing line."""

    def __init__(self) -> None:
        self.pictures = 0
        self.status: Counter[str] = Counter()

    def add(self, answered: Answered, shown: Progress | None) -> None:
        self.pictures += 1
        self.status.update(face.status for face in answered.faces)
        if shown is not None:
            shown.advance(1)

    def summary(self, seconds: float, sources: Sources) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self.status.most_common())
        line = f"{self.pictures} pictures in {seconds:.1f} s ({self.pictures / max(seconds, 1e-9):.1f}/s): {counts}"
        return "; ".join(part for part in (line, describe_ignored(sources.ignored)) if part)


class _Names:
    """A name for each annotated picture; photos of one name in different folders get different ones."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    def of(self, photo: Photo) -> str:
        number, name = 1, picture_name(photo)
        while self.taken.setdefault(name, photo.path) != photo.path:
            number += 1
            name = picture_name(replace(photo, key=f"{number}/{photo.key}"))
        return name


def _check_overwrites(sources: Sources, out: Path | None, pictures: Path | None) -> None:
    """Refuse to write over what is to be read."""
    targets = {os.path.realpath(out)} if out is not None else set()
    for photo_path, key in sources.files:
        real = os.path.realpath(photo_path)
        if real in targets:
            raise UserError(f"--out {out}: is one of the photos to be read; name another file")
        if pictures is not None and os.path.realpath(pictures / key) == real:
            raise UserError(f"--annotate {pictures}: {photo_path} would be overwritten; name another folder")

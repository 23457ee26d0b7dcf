"""`python -m caer benchmark`: how fast photos are answered on this machine, and where the time goes."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from caer.data.dataset import collate
from caer.predict.predictor import Predictor
from caer.predict.sources import find_sources
from preprocessing.errors import UserError


def measure(run: Path, paths: Sequence[Path], limit: int, batch_size: int, threads: int) -> list[str]:
    """Lines that say photos and faces a second.

    Args:
        run: a run's folder, or an `.onnx` file.
        paths: see `caer.predict.sources.find_sources`.
        limit: at most so many photos.
        batch_size: see `Predictor.predict_many`.
        threads: see `Predictor.predict_many`.

    Raises:
        UserError: for a run or a path that is not right, or photos without anything to answer.
    """
    photos = list(itertools.islice(find_sources(paths), limit))
    predictor = Predictor(run)
    for _ in predictor.predict_many(photos[:2], batch_size=batch_size, threads=threads):
        pass  # the first photos pay for caches and compiled kernels
    started = time.perf_counter()
    answered = list(predictor.predict_many(photos, batch_size=batch_size, threads=threads))
    whole = time.perf_counter() - started
    faces = sum(face.answered_by != "none" for each in answered for face in each.faces)
    if not faces:
        raise UserError(f"{', '.join(map(str, paths))}: none of the {len(photos)} photos has anything to answer; name others")
    started = time.perf_counter()
    samples = [sample for photo in photos for sample in predictor.samples_of(photo)][:batch_size]
    finding = time.perf_counter() - started
    lines = [
        f"{len(photos)} photos, {faces} faces: {len(photos) / whole:.1f} photos/s, {faces / whole:.1f} faces/s",
        f"reading and finding faces on one thread: {len(photos) / finding:.1f} photos/s",
    ]
    return [*lines, *(_network(predictor, samples, size) for size in sorted({1, len(samples)}))]


def _network(predictor: Predictor, samples: list, size: int, seconds: float = 2.0) -> str:
    batch, rounds = collate(samples[:size]), 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        predictor.network(batch)
        rounds += 1
    took = (time.perf_counter() - started) / rounds
    return f"network, {size} face{'s' * (size > 1)} at once: {size / took:.1f} faces/s, {1000 * took:.0f} ms"

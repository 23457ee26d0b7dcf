"""RetinaFace with a ResNet50 backbone (Deng et al., CVPR 2020, https://arxiv.org/abs/1905.00641) in PyTorch.

Enters: an upright photo, or several. Leaves: faces with five landmarks. Network and weight file are those of the optional
package retina-face; resizing, decoding and suppression are ours, so photos of one size go through the network together, and
on a GPU where there is one.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from pydantic import Field

from preprocessing.detectors._torch import DeviceName, import_optional, pick_device, thread_limit
from preprocessing.detectors.base import clip_boxes, decode, faces_of
from preprocessing.errors import UserError
from preprocessing.files import sha256_file
from preprocessing.settings import StrictModel
from preprocessing.types import Face
from preprocessing.weights import weights_folder

FILE = "retinaface.pth"
SOURCE = "https://github.com/serengil/deepface_models/releases/download/v1.0/retinaface.pth"
ANCHORS = {32: (512, 256), 16: (128, 64), 8: (32, 16)}
"""Stride of the grid in pixels -> sides of its square anchors, in the order of the network's outputs."""
ANCHOR_CENTER = 8.0
"""Centre of the first anchor of every grid in pixels: that of a 16-pixel base box, whatever the stride."""


class Config(StrictModel):
    """Options of the detector `retinaface_r50`."""

    type: Literal["retinaface_r50"] = "retinaface_r50"
    weights: Path = Field(default_factory=lambda: weights_folder() / FILE)
    """State dict of retina-face's PyTorch network; default: `retinaface.pth` in `$CAER_WEIGHTS` or `weights/`."""
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    """Of that file, lower-case hex; where given, another file is refused."""
    max_side: int = Field(1600, ge=64)
    """Photos are reduced to this longer side first; faces are given in the photo's own pixels."""
    short_side: int = Field(0, ge=0)
    """Smaller photos are enlarged to it within `max_side` (the package: 1024); 0 never. Finds smaller faces, but slower."""
    min_score: float = Field(0.1, ge=0.01, le=1)
    """Anchors below it are not looked at; `threshold` of the settings decides what counts as a face."""
    overlap: float = Field(0.4, gt=0, lt=1)
    """IoU above which the worse of two boxes goes."""
    batch: int = Field(8, ge=1)
    """Most photos of one size in one pass through the network."""
    device: DeviceName = "auto"
    threads: int = Field(1, ge=1)
    """Of PyTorch on the CPU; preprocessing runs one worker process a core."""


class RetinaFaceR50:
    """The detector; used by one thread at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = pick_device(config.device)
        self.network = load_network(config).to(self.device)

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        """Faces by falling score; see `Detector.detect`."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """As `detect`, for several photos of any sizes; those that have one size after resizing share passes."""
        resized = [resize(image, self.config.short_side, self.config.max_side) for image in images]
        same: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, (small, _) in enumerate(resized):
            same[small.shape].append(index)
        found: list[list[Face]] = [[] for _ in images]
        for indices in same.values():
            for start in range(0, len(indices), self.config.batch):
                piece = indices[start : start + self.config.batch]
                outputs = self._forward(np.stack([resized[i][0] for i in piece]))
                for i, (scores, offsets, points) in zip(piece, zip(*outputs, strict=True), strict=True):
                    found[i] = self._faces(scores, offsets, points, resized[i], images[i].shape[:2])
        return found

    def _forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[N, H, W, 3] uint8 RGB -> face scores [N, A], offsets [N, A, 4], landmark offsets [N, A, 10]."""
        with thread_limit(self.config.threads), torch.inference_mode():
            outputs = self.network(torch.from_numpy(batch).to(self.device).float())
            n = len(batch)
            # per grid [N, h, w, 4 | 8 | 20]; of the four scores the last two are those of a face
            scores = [grid[..., 2:].reshape(n, -1) for grid in outputs[0::3]]
            offsets = [grid.reshape(n, -1, 4) for grid in outputs[1::3]]
            points = [grid.reshape(n, -1, 10) for grid in outputs[2::3]]
            joined = [torch.cat(grids, dim=1).float().cpu().numpy() for grids in (scores, offsets, points)]
        return joined[0], joined[1], joined[2]

    def _faces(
        self,
        scores: np.ndarray,
        offsets: np.ndarray,
        points: np.ndarray,
        resized: tuple[np.ndarray, np.ndarray],
        size: tuple[int, int],
    ) -> list[Face]:
        small, scale = resized
        height, width = small.shape[:2]
        boxes, landmarks, scores = decode(anchors(height, width), offsets, scores, points, min_score=self.config.min_score)
        boxes = clip_boxes(boxes, width, height)  # before the suppression, as this network is used
        return faces_of(boxes, landmarks, scores, overlap=self.config.overlap, scale=scale, size=size)


def build(config: Config) -> RetinaFaceR50:
    """The detector of a config."""
    return RetinaFaceR50(config)


def resize(image: np.ndarray, short_side: int, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo as the network sees it, and (2,) how much larger the original is in x and y."""
    height, width = image.shape[:2]
    factor = min(max(1.0, short_side / min(height, width)), max_side / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == (width, height):
        return image, np.ones(2)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how), np.array([width / size[0], height / size[1]])


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> np.ndarray:
    """(A, 3) `[center x, center y, side]` in pixels, in the order of the network's outputs: grid, row, column, size."""
    grids = []
    for stride, sides in ANCHORS.items():
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), np.array(sides), indexing="ij")
        grids.append(np.stack([x * stride + ANCHOR_CENTER, y * stride + ANCHOR_CENTER, side], axis=-1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float32)


def load_network(config: Config) -> torch.nn.Module:
    """The network with its weights, in eval mode.

    Raises:
        UserError: the package is not installed; the file is absent, not the one of `sha256`, or not this network's.
    """
    # the module of the network alone: the package's main module silences all warnings and picks a backend
    package = import_optional("retinaface.model.retinaface_pth_model", "retina-face", "retinaface_r50")
    network: torch.nn.Module = package.RetinaFace()
    state = _read_weights(config)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:160]
        raise UserError(
            f"{config.weights}: not the weights of retina-face's ResNet50 ({first}); get them from {SOURCE}"
        ) from None
    return network.eval()


def _read_weights(config: Config) -> dict[str, Any]:
    path = config.weights
    if not path.is_file():
        raise UserError(
            f"detector retinaface_r50: no weights at {path}; download {SOURCE} (118 MB) to that place, "
            f"or name the file with detector.weights"
        )
    found = sha256_file(path) if config.sha256 else ""
    if found != config.sha256:
        raise UserError(f"{path}: SHA-256 {found} is not the {config.sha256} of detector.sha256; fetch the file anew")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises anything on what is not its own
        first = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: cannot be read as a PyTorch state dict ({first}); get it from {SOURCE}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds a {type(state).__name__}, expected a state dict; get it from {SOURCE}")
    return state

"""A small manifest of drawn pictures, made through the real `process` with a detector that knows where it drew the face."""

from pathlib import Path

import numpy as np

from preprocessing.manifest import read_manifest, sample_id, write_manifest
from preprocessing.pipeline import process
from preprocessing.settings import Settings
from preprocessing.types import Face

CLASSES = ["smile", "sad", "angry"]
LANDMARKS = np.array([[0.34, 0.4], [0.66, 0.4], [0.5, 0.6], [0.38, 0.78], [0.62, 0.78]], np.float32)


class DrawnFace:
    """Finds the face that `draw` puts at x, y with the side 60; nothing where the photo's corner is white."""

    def __init__(self, landmarks: bool = True) -> None:
        self.landmarks = landmarks

    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        if image[0, 0, 0] > 200:
            return []
        x, y = place(key)
        box = np.array([x, y, x + 60, y + 60], np.float32)
        return [Face(box, LANDMARKS * 60 + box[:2] if self.landmarks else None, 0.99)]


def place(key: str) -> tuple[int, int]:
    number = int("".join(c for c in key if c.isdigit()) or 0)
    return 20 + number * 7 % 90, 10 + number * 5 % 60


def draw(key: str, label: int, face: bool) -> np.ndarray:
    """[150, 220, 3]: noise around a scene colour and a face patch whose colours tell the class."""
    rng = np.random.default_rng(sum(key.encode()))
    image = rng.integers(0, 60, (150, 220, 3)).astype(np.uint8) + np.uint8(40 * label)
    if not face:
        image[:20, :20] = 255
        return image
    x, y = place(key)
    image[y : y + 60, x : x + 60] = rng.integers(0, 40, (60, 60, 3)).astype(np.uint8)
    image[y : y + 60, x : x + 60, label] += 180
    return image


def made_manifest(
    folder: Path,
    splits: dict[str, int],
    *,
    source: str = "drawn",
    task: str = "emotion",
    classes: list[str] | None = None,
    no_face_every: int = 0,
    landmarks: bool = True,
    group_of: int = 1,
) -> Path:
    """Write a manifest of `splits` (name -> count) and return its path; every n-th photo may be without a face."""
    names, rows = classes or CLASSES, []
    settings = Settings(min_size=8, image_short=128)
    for split, count in splits.items():
        for i in range(count):
            key, label = f"{split}/{i:03d}.jpg", i % len(names)
            face = not (no_face_every and i % no_face_every == 0)
            record = process(draw(key, label, face), settings, DrawnFace(landmarks), key)[0]
            labels, group = {task: names[label]}, f"g{split}{i // group_of}"
            rows.append(manifest_row(folder, record, source=source, key=key, split=split, group=group, labels=labels))
    meta = {"dataset": {"type": source}, "settings": settings.model_dump(), "counts": {}}
    write_manifest(folder, [rows], {task: "string"}, meta)
    return folder / "manifest.parquet"


def manifest_row(folder, record, *, source, key, split, group, labels):
    """A manifest row of a record, its pictures written below `folder`."""
    sid = sample_id(source, key, record.rank)
    files = {"face": record.face_jpeg, "image": record.image_jpeg}
    for kind, jpeg in files.items():
        if jpeg is not None:
            path = folder / f"{kind}s" / f"{sid}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg)

    def flat(array):
        return None if array is None else np.asarray(array, np.float32).reshape(-1).tolist()

    return {
        "sample_id": sid,
        "source": source,
        "image": key,
        "split": split,
        "group": group,
        "rank": record.rank,
        "width": record.width,
        "height": record.height,
        "box": flat(record.face and record.face.box),
        "landmarks": flat(record.face and record.face.landmarks),
        "score": record.face and record.face.score,
        "all_boxes": flat(record.all_boxes),
        "n_faces": len(record.all_boxes),
        "status": record.status,
        "reason": record.reason,
        "face_file": "" if record.face_jpeg is None else f"faces/{sid}.jpg",
        "face_box": flat(record.face_box),
        "face_landmarks": flat(record.face_landmarks),
        "image_file": "" if record.image_jpeg is None else f"images/{sid}.jpg",
        "image_box": flat(record.image_box),
        "image_boxes": flat(record.image_boxes),
        **{f"label_{name}": value for name, value in labels.items()},
    }


def edit_manifest(path: Path, change) -> None:
    """Rewrite a manifest's rows: `change(row) -> row`, which may add annotations."""
    manifest = read_manifest(path)
    from preprocessing.manifest import read_part

    rows = [change(row) for row in read_part(path)]
    kinds = {t: "double" if manifest.rows[f"label_{t}"].dtype == float else "string" for t in manifest.tasks}
    added = {name.removeprefix("label_"): value for name, value in rows[0].items() if name.startswith("label_")}
    kinds |= {t: "double" if isinstance(value, float) else "string" for t, value in added.items() if t not in kinds}
    write_manifest(path.parent, [rows], kinds, manifest.meta)


def made_config(*manifests: Path, stages: dict | None = None, seed: int = 3, **data):
    """A config over manifests with small sizes, two tiny branches and three stages."""
    from caer.config import Config

    stage = {"output": "face", "trainable": [r"face\..*"], "epochs": 1}
    return Config.model_validate(
        {
            "name": "made",
            "seed": seed,
            "data": {
                "sources": [{"manifest": m} for m in manifests],
                "image_size": {"face": 48, "context": 64},
                "batch_size": 4,
                "workers": 0,
                **data,
            },
            "tasks": {"emotion": {"type": "classification", "classes": CLASSES}},
            "model": {
                "face": {"backbone": "test_efficientnet", "weights": "none"},
                "context": {"backbone": "test_resnet", "weights": "none"},
                "fusion": {"type": "gating", "hidden_dim": 8},
            },
            "monitor": {"metric": "emotion/accuracy"},
            "stages": stages
            or {
                1: stage,
                2: {"output": "context", "trainable": [r"context\..*"], "epochs": 1},
                3: {
                    "output": "fused",
                    "init": {"face": "stage1", "context": "stage2"},
                    "trainable": [r"fusion\..*"],
                    "data": "holdout",
                    "augmentation": None,
                    "cache_features": True,
                    "epochs": 1,
                },
            },
        }
    )

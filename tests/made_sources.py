"""Small made-up sources with the labels of the multi-task configs, and these configs on them."""

from conftest import ROOT
from made_manifest import DrawnFace, draw, manifest_row

from caer.config import Config, load_config
from preprocessing.manifest import write_manifest
from preprocessing.pipeline import process
from preprocessing.settings import Settings

EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
GROUPS = [(0.0, 2.0), (10.0, 19.0), (30.0, 39.0), (70.0, None)]
SMALL = ["device=cpu", "precision='32'", "data.workers=0", "data.batch_size=14", "stages.1.epochs=1", "model.face.weights=none"]


def of(names):
    return lambda i: names[i % len(names)]


SOURCES = {
    "genki4k": {"smile": of(["not_smiling", "smiling"])},
    "fer2013": {"emotion": of(EMOTIONS)},
    "fairface": {
        "gender": of(["female", "male"]),
        "race": of(["A", "B", "C"]),
        "age_low": lambda i: GROUPS[i % 4][0],
        "age_high": lambda i: GROUPS[i % 4][1],
    },
    "imdb_wiki": {"gender": of(["male", "female"]), "age": lambda i: float(3 + 11 * i % 90)},
    "clothes": {
        "sleeve": of(["long_sleeve", "short_sleeve", "sleeveless"]),
        "neckline": of(["crew_neckline", "v_neckline", "square_neckline", "no_neckline"]),
        "texture": of(["floral|striped", "none", "solid", None]),
    },
}


def made_source(folder, name, splits):
    """A manifest of drawn faces with a source's labels."""
    settings, rows, labels = Settings(min_size=8, image_short=128), [], SOURCES[name]
    for split, count in splits.items():
        for i in range(count):
            key = f"{split}/{i:03d}.jpg"
            record = process(draw(f"{name}{key}", i % 3, True), settings, DrawnFace(), key)[0]
            values = {task: value(i) for task, value in labels.items()}
            rows.append(manifest_row(folder, record, source=name, key=key, split=split, group="", labels=values))
    kinds = {task: "double" if task.startswith("age") else "string" for task in labels}
    write_manifest(folder, [rows], kinds, {"dataset": {"type": name}, "settings": settings.model_dump(), "counts": {}})


def made_sources(folder):
    """Every source under `data/NAME`: 14 train, 8 val and 8 test rows each."""
    for name in SOURCES:
        made_source(folder / "data" / name, name, {"train": 14, "val": 8, "test": 8})
    return folder


def shipped(name, data, runs, *overrides, weights=False):
    """A shipped config on the made-up sources, an epoch a stage, each source drawn once unless its weights are wanted."""
    config = load_config(ROOT / f"configs/multitask/{name}.yaml", [*SMALL, *overrides])
    sources = [
        s.model_copy(update={"manifest": data / s.manifest} | ({} if weights else {"weight": 1.0})) for s in config.data.sources
    ]
    stages = {number: stage if number == 1 else stage.model_copy(update={"epochs": 1}) for number, stage in config.stages.items()}
    update = {"data": config.data.model_copy(update={"sources": sources}), "stages": stages, "runs": runs}
    return Config.model_validate(config.model_copy(update=update).model_dump())


TINY = ["model.face.backbone=test_efficientnet", "data.image_size.face=48"]

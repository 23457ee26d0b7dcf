"""The article's networks at the article's size: EfficientNet-B0 and ResNeSt-50, 224 px, one real step of each stage."""

import importlib

import pytest
import torch
from conftest import ROOT
from made_manifest import made_config, made_manifest

from caer.config import Config, load_config
from caer.data.dataset import SampleDataset
from caer.engine.checkpoint import read_weights
from caer.engine.run import fit_stage
from caer.models import build_model
from caer.tasks import build_tasks


@pytest.mark.slow
def test_one_step_of_each_stage_at_224_px(tmp_path, monkeypatch):
    manifest = made_manifest(tmp_path / "made", {"train": 3, "val": 1}, group_of=1)
    settings = made_config(manifest, image_size={"face": 224, "context": 224}, batch_size=3, holdout_fraction=0.4).model_dump()
    settings["model"] |= {
        "face": {"backbone": "efficientnet_b0", "weights": "none"},
        "context": {"backbone": "resnest50d", "weights": "none", "attention": True},
    }
    for number in (1, 2):
        settings["stages"][number]["optimizer"] = {"type": "sam", "base": "adam", "lr": 1e-4, "rho": 0.05}
    settings["stages"][3] |= {"data": "train", "cache_features": False}
    config = Config.model_validate({**settings, "runs": tmp_path / "runs", "device": "cpu", "precision": "32"})
    for number in (1, 2, 3):
        fit_stage(config, number)
    one, two, three = (read_weights(config.run_folder / f"stage{n}" / "best.safetensors")[0] for n in (1, 2, 3))
    assert one["face.heads.emotion.weight"].shape == (3, 1280)
    assert two["context.heads.emotion.weight"].shape == (3, 2048)
    assert two["context.attention.reduce.weight"].shape == (256, 2048, 1, 1)
    fresh = build_model(config, pretrained=False).state_dict()
    for state, name in ((one, "face.backbone.net.conv_stem.weight"), (two, "context.backbone.net.conv1.0.weight")):
        assert not torch.equal(state[name], fresh[name])
        assert torch.equal(state[name], three[name])
    assert not torch.equal(three["fusion.heads.emotion.bias"], fresh["fusion.heads.emotion.bias"])


def test_the_benchmark_of_full_size_takes_real_steps_of_every_stage(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("full_size")
    monkeypatch.setattr(benchmark, "WARM", 1)
    monkeypatch.setattr(benchmark, "TIMED", 2)
    config = made_config(tmp_path / "no manifest is read")
    cpu = torch.device("cpu")
    for number in (1, 2, 3, None):
        cells = [cell.strip() for cell in benchmark.measure(config, number, 4, cpu, "32").strip("|").split("|")]
        assert cells[0].startswith("inference" if number is None else f"stage {number} (")
        assert cells[1] == "4"
        milliseconds, images = float(cells[2]), float(cells[3])
        assert images == pytest.approx(4e3 / milliseconds, rel=0.1)
    tasks, batch = build_tasks(config), benchmark.random_batch(config, build_tasks(config), 4, cpu)
    for number, part in ((1, "face."), (2, "context."), (3, "fusion.")):
        model = build_model(config, pretrained=False)
        before = {name: value.clone() for name, value in model.named_parameters()}
        benchmark.update(model, tasks, config.stage(number), batch, torch.autocast("cpu", enabled=False))()
        moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        assert moved
        assert all(name.startswith(part) for name in moved)


@pytest.mark.parametrize("name", ["faces_shared", "dataframe_xception"])
def test_the_benchmark_of_full_size_draws_targets_of_every_kind(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("full_size")
    tasks = build_tasks(load_config(ROOT / f"configs/multitask/{name}.yaml"))
    generator = torch.Generator().manual_seed(0)
    for task in tasks.values():
        losses = task.loss(torch.zeros(8, task.out_dim), benchmark.random_targets(task, 8, generator))
        assert losses.shape == (8,)
        assert bool((losses > 0).any())


def test_the_benchmark_of_loading_reads_files_once_where_they_are_kept(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("loading")
    manifest = made_manifest(tmp_path / "made", {"train": 24, "val": 3})
    reads, read = [], SampleDataset._read
    monkeypatch.setattr(SampleDataset, "_read", lambda self, i, path, kind: reads.append(path) or read(self, i, path, kind))
    for in_memory, times in ((False, 2), (True, 1)):
        reads.clear()
        assert benchmark.rate(made_config(manifest, in_memory=in_memory, workers=0), 1, 8) > 0
        assert len(reads) == times * len(set(reads)) > 0

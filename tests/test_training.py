"""Stages through `fit_stage`: what trains and what stays, masked losses, what a run leaves behind, and what is refused."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from made_manifest import CLASSES, edit_manifest, made_config, made_manifest
from made_step import in_one_process, loss_of
from safetensors import safe_open

from caer.config import Config
from caer.data.loaders import StageData
from caer.engine.checkpoint import load_run, read_checkpoint, read_weights
from caer.engine.module import StageModule
from caer.engine.run import fit_stage
from caer.models import build_model
from caer.tasks import build_tasks
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return made_manifest(tmp_path_factory.mktemp("made"), {"train": 40, "val": 9}, no_face_every=8)


def config_of(manifest, runs, **changes):
    config = made_config(manifest)
    return Config.model_validate({**config.model_dump(), "runs": runs, "device": "cpu", "precision": "32", **changes})


def one_stage(manifest, runs, **stage):
    settings = {"output": "face", "trainable": [r"face\..*"], "epochs": 1, **stage}
    return config_of(manifest, runs, stages={1: settings})


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    """All three stages of a run, and what they printed."""
    config = config_of(manifest, tmp_path_factory.mktemp("runs"))
    for number in config.stages:
        fit_stage(config, number)
    return config


def weights_of(config, stage):
    return read_weights(config.run_folder / f"stage{stage}" / "best.safetensors")[0]


def module_of(config, number=1, **model_changes):
    tasks = build_tasks(config)
    model = build_model(config, output=config.stage(number).output)
    return StageModule(model, tasks, config, number, history=[])


# What trains


def test_each_stages_trainable_set(trained):
    """Printed, and checked by name: stage 1 the face branch, 2 the context branch, 3 the fusion alone."""
    expected = {1: {"face"}, 2: {"context"}, 3: {"fusion"}}
    for number, parts in expected.items():
        module = module_of(trained, number)
        names = [name for name, p in module.model.named_parameters() if p.requires_grad]
        print(f"stage {number}: {len(names)} tensors train: {names[0]} ... {names[-1]}")
        assert names == module.trainable_names
        assert {name.split(".")[0] for name in names} == parts
        assert all(name in names for name, _ in module.model.named_parameters() if name.split(".")[0] in parts)


def test_frozen_parts_are_bit_identical_after_stage_3_buffers_included(trained):
    one, two, three = (weights_of(trained, number) for number in (1, 2, 3))
    for part, before in (("face", one), ("context", two)):
        names = [name for name in three if name.startswith(f"{part}.")]
        assert any("running_mean" in name for name in names)
        assert set(names) == set(before)
        assert all(torch.equal(three[name], before[name]) for name in names)
    fresh = build_model(trained, pretrained=False).state_dict()
    assert any(not torch.equal(three[name], fresh[name]) for name in three if name.startswith("fusion."))


@pytest.mark.parametrize("cached", [False, True])
def test_frozen_branches_stay_in_eval_mode_also_while_pictures_pass_through(manifest, tmp_path, cached):
    stages = made_config(manifest).model_dump()["stages"]
    stages[3] |= {"cache_features": cached, "epochs": 2}
    config = config_of(manifest, tmp_path, stages=stages)
    for number in (1, 2, 3):
        fit_stage(config, number)
    one, three = weights_of(config, 1), weights_of(config, 3)
    last = read_checkpoint(config.run_folder / "stage3" / "last.ckpt")["model"]
    for state in (three, last):
        assert all(torch.equal(state[name], one[name]) for name in one)


def test_batchnorm_of_the_training_branch_does_move(manifest, tmp_path):
    config = one_stage(manifest, tmp_path)
    fit_stage(config, 1)
    before, after = build_model(config, output="face").state_dict(), weights_of(config, 1)
    moved = [name for name in after if "running_mean" in name]
    assert moved
    assert all(not torch.equal(after[name], before[name]) for name in moved)


def test_sam_counts_batchnorm_once_an_update_in_a_stage(manifest, tmp_path):
    config = one_stage(manifest, tmp_path, optimizer={"type": "sam", "base": "adam", "lr": 1e-3}, epochs=2)
    fit_stage(config, 1)
    last = read_checkpoint(config.run_folder / "stage1" / "last.ckpt")
    counts = {int(value) for name, value in last["model"].items() if name.endswith("num_batches_tracked")}
    assert counts == {last["global_step"]}
    assert last["global_step"] == 2 * len(StageData(config, 1, build_tasks(config), {"face"}).train_loader(0))


def test_head_warmup_trains_the_head_alone_at_first(manifest, tmp_path):
    warmup = {"pattern": r"face\.heads\..*", "epochs": 1, "lr": 0.01}
    config = one_stage(manifest, tmp_path, epochs=2, head_warmup=warmup, optimizer={"type": "sgd", "lr": 1e-3})
    seen = {}
    from caer.engine import run

    original = run._Fit._keep

    def keep(self, module, row):
        seen[int(row["epoch"])] = {name: value.clone() for name, value in self.model.state_dict().items()}
        original(self, module, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run._Fit, "_keep", keep)
        fit_stage(config, 1)
    fresh = build_model(config, output="face").state_dict()
    changed = {e: {n.split(".")[1] for n in fresh if not torch.equal(state[n], fresh[n])} for e, state in seen.items()}
    assert changed == {1: {"heads"}, 2: {"heads", "backbone"}}
    rows = list(csv.DictReader((config.run_folder / "stage1" / "metrics.csv").open()))
    assert [float(row["lr"]) for row in rows] == [0.01, 1e-3]


def test_a_fusion_without_parameters_only_puts_the_branches_together(manifest, tmp_path):
    stages = made_config(manifest).model_dump()["stages"]
    stages[3] = {"output": "fused", "init": {"face": "stage1", "context": "stage2"}, "epochs": 0}
    config = config_of(manifest, tmp_path, stages=stages)
    config = Config.model_validate({**config.model_dump(), "model": {**config.model.model_dump(), "fusion": {"type": "sum"}}})
    results = [fit_stage(config, number) for number in (1, 2, 3)]
    assert (results[2].epochs, results[2].best_epoch) == (0, 0)
    three = weights_of(config, 3)
    assert all(torch.equal(three[name], value) for name, value in (weights_of(config, 1) | weights_of(config, 2)).items())
    assert load_run(config.run_folder).stage == 3
    assert fit_stage(config, 3).already_done


# Losses


def batch_for(module, labelled):
    count = len(labelled)
    torch.manual_seed(0)
    return {
        "face": torch.randint(0, 256, (count, 3, 48, 48), dtype=torch.uint8),
        "targets": {"emotion": torch.tensor([0, 1, 2, 0][:count])},
        "labelled": {"emotion": torch.tensor(labelled)},
        "has_face": torch.ones(count, dtype=torch.bool),
        "sample_id": [f"id{i}" for i in range(count)],
        "source": ["drawn"] * count,
    }


@pytest.fixture
def module(manifest, tmp_path):
    return in_one_process(module_of(one_stage(manifest, tmp_path)))


def test_a_rows_without_a_label_does_not_count_and_gets_no_gradient(module):
    batch = batch_for(module, [True, True, False, True])
    batch["targets"]["emotion"][2] = -1
    loss = loss_of(module, batch)
    kept = {k: (v[[0, 1, 3]] if isinstance(v, torch.Tensor) else v) for k, v in batch.items()}
    logits = module.model({"face": kept["face"]}).logits["emotion"]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(loss, expected)
    assert module._train_sums["emotion"][1] == 3


def test_a_row_without_a_face_does_not_count_for_the_face_branch(module):
    batch = batch_for(module, [True] * 4)
    batch["has_face"][1] = False
    loss_of(module, batch)
    assert module._train_sums["emotion"][1] == 3


def test_a_batch_without_labels_has_loss_zero_and_gradients_of_exactly_zero(module):
    loss = loss_of(module, batch_for(module, [False] * 4))
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for p in module.model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool((gradient == 0).all()) for gradient in gradients)


def test_the_mean_is_over_the_labelled_rows_of_all_processes(module, monkeypatch):
    """One process has 3 labelled rows, the other 1: each row weighs a quarter, once gradients are averaged over the two."""
    module._trainer.world_size = 2
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.add_(1))
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert module._mean(losses, torch.zeros(3, 2)).item() / 2 == pytest.approx(9 / 4)
    assert module._mean(losses[:0], torch.zeros(0, 2)).item() == 0


def test_head_warmup_in_several_processes_is_refused(manifest, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    warmup = {"pattern": r"face\.heads\..*", "epochs": 1, "lr": 0.01}
    with pytest.raises(UserError, match="works in one process only"):
        fit_stage(one_stage(manifest, tmp_path, epochs=2, head_warmup=warmup), 1)


def test_a_loss_that_is_not_finite_names_task_step_and_samples(module):
    original = module.tasks["emotion"].loss

    def broken(logits, targets):
        losses = original(logits, targets)
        return torch.where(torch.arange(len(losses)) == 1, torch.nan, losses)

    module.tasks["emotion"].loss = broken
    with pytest.raises(UserError, match=r"loss of task 'emotion' is not finite at step 7 for samples id2; "):
        loss_of(module, batch_for(module, [True, False, True, True]))


def test_task_weights_scale_the_total(manifest, tmp_path):
    rows = {}
    for weight in (1.0, 3.0):
        tasks = {"emotion": {"type": "classification", "classes": CLASSES, "weight": weight}}
        config = config_of(
            manifest, tmp_path / str(weight), stages=one_stage(manifest, tmp_path).model_dump()["stages"], tasks=tasks
        )
        fit_stage(config, 1)
        rows[weight] = next(csv.DictReader((config.run_folder / "stage1" / "metrics.csv").open()))
    for weight, row in rows.items():
        assert float(row["train/loss"]) == pytest.approx(weight * float(row["train/emotion/loss"]))
        assert float(row["train/emotion/weighted_loss"]) == float(row["train/loss"])


def test_two_tasks_train_together_and_a_missing_label_is_no_obstacle(manifest, tmp_path):
    two = tmp_path / "two" / manifest.name
    import shutil

    shutil.copytree(manifest.parent, two.parent)
    edit_manifest(two, lambda row: row | {"label_emotion": "" if row["image"].endswith("3.jpg") else row["label_emotion"]})
    tasks = {
        "emotion": {"type": "classification", "classes": CLASSES, "class_weights": "inverse", "label_smoothing": 0.1},
        "again": {"type": "classification", "classes": CLASSES, "column": "emotion"},
    }
    config = config_of(two, tmp_path / "runs", tasks=tasks, stages=one_stage(two, tmp_path).model_dump()["stages"])
    fit_stage(config, 1)
    row = next(csv.DictReader((config.run_folder / "stage1" / "metrics.csv").open()))
    assert {"val/emotion/accuracy", "val/again/macro_f1"} <= set(row)
    assert np.isfinite(float(row["train/loss"]))


# What a run leaves behind


def test_what_a_stage_leaves_behind(trained):
    folder = trained.run_folder / "stage1"
    names = {path.name for path in folder.iterdir()}
    assert {"best.ckpt", "last.ckpt", "best.safetensors", "metrics.csv", "config.yaml", "provenance.json", "tensorboard"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    provenance = json.loads((folder / "provenance.json").read_text())
    for key in ("commit", "versions", "machine", "seed", "protocol_hash", "row_hash", "manifests", "class_counts", "parameters"):
        assert provenance[key], key
    assert provenance["precision"] == "32"
    assert len(provenance["class_counts"]["emotion"]) == len(CLASSES)
    with safe_open(folder / "best.safetensors", "pt") as file:
        assert file.metadata()["stage"] == "1"


def test_checkpoints_hold_tensors_and_plain_python_only(trained):
    for name in ("best.ckpt", "last.ckpt"):
        content = torch.load(trained.run_folder / "stage1" / name, weights_only=True)
        assert {"schema_version", "stage", "epoch", "model", "history"} <= set(content)


def test_the_best_epoch_is_the_one_that_is_kept(manifest, tmp_path):
    config = one_stage(manifest, tmp_path, epochs=4, optimizer={"type": "adam", "lr": 3e-3})
    result = fit_stage(config, 1)
    rows = list(csv.DictReader((result.folder / "metrics.csv").open()))
    scores = [float(row["val/emotion/accuracy"]) for row in rows]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert result.best_score == max(scores)
    assert result.best_epoch == scores.index(max(scores)) + 1
    best = read_checkpoint(result.folder / "best.ckpt")
    assert best["epoch"] == result.best_epoch
    assert all(torch.equal(best["model"][name], value) for name, value in weights_of(config, 1).items())


def test_a_loaded_run_scores_what_training_said(trained):
    for number in (1, 2, 3):
        loaded = load_run(trained.run_folder / f"stage{number}")
        data = StageData(trained, number, loaded.tasks, loaded.model.inputs(loaded.output))
        right = total = 0
        for batch in data.val_loader():
            with torch.no_grad():
                answers = loaded.model(batch).logits["emotion"].argmax(1)
            rows = batch["labelled"]["emotion"]
            right += int((answers[rows] == batch["targets"]["emotion"][rows]).sum())
            total += int(rows.sum())
        assert right / total == pytest.approx(loaded.meta["best_score"])


def test_progress_says_what_trains_and_how_it_goes(manifest, tmp_path, capfd):
    fit_stage(one_stage(manifest, tmp_path, epochs=2), 1)
    out, err = capfd.readouterr()
    assert re.search(r"stage 1 \(face\): [\d,]+ of [\d,]+ parameters train; \d+ train and \d+ val rows", out)
    assert (
        len(re.findall(r"stage 1 epoch \d/2 +loss [\d.]+ +val loss [\d.]+ +emotion/accuracy .* img/s +left \d+:\d\d", out)) == 2
    )
    assert not err, "no warnings, tips or half bars"


def test_early_stopping_ends_the_stage(manifest, tmp_path):
    """The head alone trains, at a rate that moves nothing: no epoch can be better than the first."""
    still = {"trainable": [r"face\.heads\..*"], "optimizer": {"type": "sgd", "lr": 1e-9}}
    config = one_stage(manifest, tmp_path, epochs=9, early_stopping=2, **still)
    result = fit_stage(config, 1)
    assert result.epochs == 3
    assert result.best_epoch == 1
    assert fit_stage(config, 1).already_done


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"gradient": True}])
def test_bf16_and_gradient_clipping_train_with_sam(manifest, tmp_path, changes):
    stage = {"output": "face", "trainable": [r"face\..*"], "epochs": 1, "optimizer": {"type": "sam", "lr": 1e-3}}
    if changes.pop("gradient", False):
        stage["gradient_clip"] = 0.1
    config = config_of(manifest, tmp_path, stages={1: stage}, **changes)
    fit_stage(config, 1)
    assert all(bool(torch.isfinite(value).all()) for value in weights_of(config, 1).values())


# What is refused


def test_a_finished_stage_is_not_trained_again(trained, capsys):
    before = (trained.run_folder / "stage1" / "best.safetensors").stat().st_mtime_ns
    result = fit_stage(trained, 1)
    assert result.already_done
    assert "already done" in capsys.readouterr().out
    assert (trained.run_folder / "stage1" / "best.safetensors").stat().st_mtime_ns == before


def test_other_settings_in_the_same_folder_are_refused_with_both_ways_on(trained):
    settings = trained.model_dump()
    settings["data"]["batch_size"] = 5
    with pytest.raises(UserError, match=r"other settings: data\.batch_size 4 -> 5; give the run another name .* or delete"):
        fit_stage(Config.model_validate(settings), 1)


def test_settings_of_another_stage_or_of_speed_do_not_matter(trained):
    settings = trained.model_dump()
    settings["data"]["workers"] = 1
    settings["stages"][3]["epochs"] = 9
    assert fit_stage(Config.model_validate(settings), 1).already_done


def test_other_data_behind_the_same_path_are_refused(manifest, tmp_path):
    import shutil

    shutil.copytree(manifest.parent, tmp_path / "copy")
    config = one_stage(tmp_path / "copy" / manifest.name, tmp_path / "runs")
    fit_stage(config, 1)
    edit_manifest(tmp_path / "copy" / manifest.name, lambda row: row | {"group": "g"})
    with pytest.raises(UserError, match="trained on another version of"):
        fit_stage(config, 1)


def test_a_stage_whose_start_was_trained_again_is_not_called_done(manifest, tmp_path):
    config = config_of(manifest, tmp_path)
    for number in (1, 2, 3):
        fit_stage(config, number)
    with pytest.MonkeyPatch.context() as patch:
        from caer.engine import module

        patch.setattr(module, "derive_seed", lambda *parts: 11)
        fit_stage(config, 1, resume=False)
    with pytest.raises(UserError, match="started from another face than"):
        fit_stage(config, 3)


def test_a_missing_earlier_stage_names_the_command(manifest, tmp_path):
    config = config_of(manifest, tmp_path)
    with pytest.raises(UserError, match=r"stage 3 starts from stage1, which is not finished .* --stage 1 first"):
        fit_stage(config, 3)
    assert not config.run_folder.exists(), "nothing is written by a call that fails"


def test_a_part_can_come_from_another_run(manifest, trained, tmp_path):
    init = {"face": str(trained.run_folder / "stage1")}
    config = one_stage(manifest, tmp_path, trainable=[r"face\.heads\..*"], init=init, optimizer={"type": "sgd", "lr": 0.1})
    fit_stage(config, 1)
    ours, theirs = weights_of(config, 1), weights_of(trained, 1)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if name.startswith("face.backbone"))
    assert not torch.equal(ours["face.heads.emotion.weight"], theirs["face.heads.emotion.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"monitor": {"metric": "emotion/f1"}}, "'emotion/f1' is unknown; known: loss, emotion/loss, emotion/accuracy"),
        ({"monitor": {"metric": "loss", "mode": "max"}}, "better when smaller"),
        ({"model": {"face": {"backbone": "resnet181", "weights": "none"}}}, "unknown backbone 'resnet181'; near it"),
        ({"stages": {1: {"output": "face", "trainable": ["context.*"], "epochs": 1}}}, r"parts are face\.backbone, face\.heads"),
        ({"tasks": {"emotion": {"type": "classification", "classes": ["smile", "sad"]}}}, "declares smile, sad"),
        ({"data": {"sources": [{"manifest": "absent.parquet"}]}}, "absent.parquet"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(manifest, tmp_path, changes, message):
    base = one_stage(manifest, tmp_path).model_dump()
    base["model"] |= {"context": None, "fusion": None}
    with pytest.raises(ValueError, match=message):
        fit_stage(Config.model_validate({**base, **changes}), 1)
    assert not (tmp_path / "made").exists()


def test_an_undeclared_stage_lists_the_declared(manifest, tmp_path):
    with pytest.raises(UserError, match="stage 7 is not declared; made declares 1"):
        fit_stage(one_stage(manifest, tmp_path), 7)


def test_load_run_says_what_is_missing(trained, tmp_path):
    assert load_run(trained.run_folder).stage == 3
    assert load_run(trained.run_folder.parent).stage == 3, "runs/NAME with one seed"
    with pytest.raises(UserError, match="no such run folder"):
        load_run(tmp_path / "absent")
    (tmp_path / "a" / "seed1").mkdir(parents=True)
    (tmp_path / "a" / "seed2").mkdir()
    with pytest.raises(UserError, match="has 2 seeds; name one of seed1, seed2"):
        load_run(tmp_path / "a")
    with pytest.raises(UserError, match="holds no stages"):
        load_run(tmp_path / "a" / "seed1")
    (tmp_path / "a" / "seed1" / "stage1").mkdir()
    with pytest.raises(UserError, match="no stage is finished"):
        load_run(tmp_path / "a" / "seed1")


def test_damaged_and_foreign_checkpoints_are_named(tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "bad.ckpt")
    torch.save({"schema_version": 99}, tmp_path / "new.ckpt")
    with pytest.raises(UserError, match="schema_version 99 is unknown; this code reads 1"):
        read_checkpoint(tmp_path / "new.ckpt")
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    with pytest.raises(UserError, match=r"not a readable \.safetensors"):
        read_weights(tmp_path / "bad.safetensors")

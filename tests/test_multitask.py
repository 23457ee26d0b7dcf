"""The shared backbone: BKNet's shapes and size, heads that do not disturb one another, losses of mixed batches."""

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from made_step import in_one_process, loss_of
from pydantic import ValidationError

from caer.config import Config, load_config
from caer.engine.module import StageModule
from caer.models import build_model
from caer.models.bknet import BKNet
from caer.models.multitask import ConvNeck
from caer.tasks import build_tasks
from preprocessing.errors import UserError

EMOTIONS = ["angry", "happy", "sad"]
TASKS = {
    "emotion": {"type": "classification", "classes": EMOTIONS},
    "group": {"type": "ordinal", "classes": ["young", "middle", "old"]},
    "age": {"type": "regression", "range": (0, 100), "low_column": "low", "high_column": "high", "weight": 2.0},
    "pattern": {"type": "multilabel", "classes": ["floral", "striped"]},
}


def config(tasks=TASKS, side=48, **model):
    face = {"backbone": "test_efficientnet", "weights": "none", "aligned": False, **model.pop("face", {})}
    return Config.model_validate(
        {
            "name": "x",
            "device": "cpu",
            "data": {"sources": [{"manifest": "m"}], "image_size": {"face": side}, "workers": 0},
            "tasks": tasks,
            "model": {"type": "multitask", "face": face, **model},
            "monitor": {"metric": "loss", "mode": "min"},
            "stages": {1: {"output": "face", "trainable": [r"face\..*"], "epochs": 1}},
        }
    )


def batch_of(labelled, side=48):
    """Rows that are labelled for the tasks they name; what is not labelled holds values that would do harm."""
    count = len(labelled)
    targets = {"emotion": [0, 1, 2], "group": [2, 0, 1], "age": [[30.0, 30.0], [20.0, 29.0], [70.0, 100.0]], "pattern": [0, 3, 2]}
    missing = {"emotion": -1, "group": -1, "age": [float("nan")] * 2, "pattern": -1}
    return {
        "face": torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
        "targets": {
            name: torch.tensor([values[i % 3] if name in labelled[i] else missing[name] for i in range(count)])
            for name, values in targets.items()
        },
        "labelled": {name: torch.tensor([name in row for row in labelled]) for name in targets},
        "has_face": torch.ones(count, dtype=torch.bool),
        "sample_id": [f"id{i}" for i in range(count)],
        "source": ["drawn"] * count,
    }


@pytest.fixture
def module():
    return in_one_process(StageModule(build_model(config(heads=[8])), build_tasks(config()), config(), 1, history=[]))


# BKNet


def test_bknet_halves_its_map_in_each_block():
    x, sides = torch.zeros(1, 1, 48, 48), []
    for block in BKNet().blocks:
        x = block(x)
        sides.append((x.shape[1], x.shape[2]))
    assert sides == [(32, 24), (64, 12), (128, 6), (256, 3)]


def test_bknets_parameters_by_hand():
    """3x3 convolutions without bias and two numbers a channel of BatchNorm; heads with bias."""
    convs = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256)
    norms = 2 * (2 * 32 + 2 * 64 + 2 * 128 + 3 * 256)
    assert sum(p.numel() for p in BKNet().parameters()) == convs + norms == 1_762_976
    head = 2304 * 256 + 256 + 256 * 256 + 256
    whole = build_model(load_config(ROOT / "configs/multitask/bknet_smile_emotion_gender.yaml"))
    answers = 257 * (2 + 7 + 2)
    assert sum(p.numel() for p in whole.parameters()) == convs + norms + 3 * head + answers == 3_733_419


@pytest.mark.parametrize("name", ["bknet_smile_emotion_gender", "bknet_smile_age_gender"])
def test_bknet_is_trained_as_published(name):
    whole = load_config(ROOT / f"configs/multitask/{name}.yaml")
    stage = whole.stages[1]
    sgd = {"type": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "decay_vectors": False}
    assert sgd.items() <= stage.optimizer.model_dump().items()
    assert {"type": "decay", "gamma": 0.95, "every": 2000, "min_lr": 0}.items() <= stage.schedule.model_dump().items()
    assert stage.augmentation.model_dump() == {"flip": 0.5, "pad": 10, "rotate": 10, "crop_scale": 1, "color": 0, "gray": 0}
    assert (whole.data.batch_size, whole.model.heads, whole.model.dropout) == (128, [256, 256], 0.5)
    assert [source.weight for source in whole.data.sources if "genki4k" in str(source.manifest)] == [10]


def test_bknet_sees_bytes_minus_128_over_255_in_grey():
    model = build_model(config(face={"backbone": "bknet"})).eval()
    seen = []
    model.face.backbone.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    grey = torch.full((1, 3, 48, 48), 200, dtype=torch.uint8)
    red = torch.zeros_like(grey)
    red[:, 0] = 255
    model({"face": grey}), model({"face": red})
    assert seen[0].shape == (1, 1, 48, 48)
    torch.testing.assert_close(seen[0], torch.full((1, 1, 48, 48), 72 / 255))
    torch.testing.assert_close(seen[1], torch.full((1, 1, 48, 48), 0.299 - 128 / 255))


def test_bknet_takes_48_pixels_only():
    with pytest.raises(UserError, match=r"takes images of 48 px, not 64; set data\.image_size"):
        build_model(config(side=64, face={"backbone": "bknet"}))


# The network


@pytest.mark.parametrize("parts", [{}, {"heads": [8, 4]}, {"trunk": [16]}, {"neck": "conv", "trunk": [16, 8], "heads": [4]}])
def test_every_task_has_logits_of_its_width(parts):
    side = 192 if "neck" in parts else 48
    model = build_model(config(side=side, **parts)).eval()
    output = model(batch_of([set()] * 2, side))
    assert {name: tuple(logits.shape) for name, logits in output.logits.items()} == {
        "emotion": (2, 3),
        "group": (2, 2),
        "age": (2, 1),
        "pattern": (2, 2),
    }
    assert output.branch_logits["face"] is output.logits
    assert model.inputs("face") == {"face"}


def test_vgg16_with_the_head_of_the_fairface_article_has_2048_values_and_no_unused_weights():
    with torch.device("meta"):  # counted, not filled: VGG16's own classifier, which is dropped, takes seconds to draw
        model = build_model(load_config(ROOT / "configs/multitask/fairface_vgg16.yaml"), pretrained=False)
    assert model.face.neck.out_dim == 2048
    head = (512 * 512 * 9 + 512) + (2048 * 512 + 512) + (512 * 128 + 128) + (128 * 64 + 64) + (65 + 2 * 65)
    assert sum(p.numel() for p in model.parameters()) == 14_714_688 + head, "VGG16's convolutions and the head"


def test_the_neck_is_convolution_pooling_relu_and_all_values():
    torch.manual_seed(0)
    neck, features = ConvNeck(3, 7), torch.randn(2, 3, 7, 7)
    expected = F.relu(F.max_pool2d(F.conv2d(features, neck.conv.weight, neck.conv.bias), 2)).reshape(2, -1)
    torch.testing.assert_close(neck(features), expected)
    assert neck.out_dim == expected.shape[1] == 12
    assert (expected == 0).any()


def test_mirror_averages_a_face_and_its_mirror_image_outside_training():
    plain, steady = build_model(config(heads=[8])).eval(), build_model(config(heads=[8], mirror=True)).eval()
    batch = batch_of([{"emotion"}] * 3)
    mirrored = batch | {"face": batch["face"].flip(-1)}
    features = (plain.face.encode(batch["face"])[0] + plain.face.encode(mirrored["face"])[0]) / 2
    expected = plain.face.classify(features)
    for name, logits in steady(batch).logits.items():
        torch.testing.assert_close(logits, expected[name])
        torch.testing.assert_close(steady(mirrored).logits[name], logits)
        assert not torch.allclose(plain(batch).logits[name], logits)
    steady.train()
    torch.manual_seed(0)
    trained = steady.face.encode(batch["face"])[0]
    plain.train()
    torch.manual_seed(0)
    torch.testing.assert_close(trained, plain.face.encode(batch["face"])[0])
    cached = steady.eval().face.encode(batch["face"])[0]
    steady.train()
    steady.face.backbone.eval()
    torch.testing.assert_close(
        steady.face.encode(batch["face"])[0], cached, msg="a frozen backbone in training gives something else"
    )


def test_mirror_is_refused_where_features_keep_their_places():
    with pytest.raises(ValidationError, match="a neck `conv` reads a map"):
        config(side=192, mirror=True, neck="conv")
    with pytest.raises(UserError, match=r"model\.mirror: backbone 'bknet' keeps what it finds where it found it"):
        build_model(config(face={"backbone": "bknet"}, mirror=True))


def test_a_neck_needs_a_map():
    with pytest.raises(UserError, match=r"at least 4x4, and 48 px give 2x2"):
        build_model(config(neck="conv"))
    with pytest.raises(UserError, match="spatial feature map"):
        build_model(config(side=160, neck="conv", face={"backbone": "test_vit"}))


def test_a_head_is_the_same_whichever_other_tasks_there_are():
    many, one = build_model(config(heads=[8])), build_model(config({"age": TASKS["age"]}, heads=[8]))
    theirs = many.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_another_stage_than_the_first_lists_the_declared():
    with pytest.raises(UserError, match="stage 2 is not declared; x declares 1"):
        config().stage(2)


def test_dropout_without_layers_to_drop_from_is_refused():
    with pytest.raises(ValueError, match=r"`dropout` is that of `trunk` and `heads`, and there are none; set face.dropout"):
        config(dropout=0.5)
    assert config(dropout=0.5, trunk=[8]).model.dropout == 0.5


# Losses of mixed batches


def test_an_absent_task_gives_exactly_zero_gradient_to_its_head(module):
    loss_of(module, batch_of([{"emotion"}, {"age"}, {"emotion"}])).backward()
    for name, head in module.model.face.heads.items():
        gradients = [p.grad for p in head.parameters()]
        assert all(g is not None for g in gradients), "DDP waits for every parameter's gradient"
        assert any(bool((g != 0).any()) for g in gradients) == (name in {"emotion", "age"})
        assert all(bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize(
    "labelled",
    [
        [{"emotion"}, {"age"}, {"pattern"}, {"group"}],
        [{"emotion", "age", "group", "pattern"}] * 3,
        [{"emotion"}, {"emotion"}, {"age", "emotion"}, set(), {"age"}],
        [{"pattern"}, {"pattern"}],
        [set(), set()],
    ],
)
def test_the_loss_of_a_mixed_batch_is_the_sum_over_its_parts(module, labelled):
    """Each task's part: the mean over its labelled rows alone, whatever else the batch holds, times the task's weight."""
    whole = loss_of(module, batch_of(labelled)).item()
    expected = 0.0
    for name, task in module.tasks.items():
        batch = batch_of(labelled)
        rows = batch["labelled"][name]
        if rows.any():
            logits = module.model({"face": batch["face"][rows]}).logits[name]
            expected += task.weight * task.loss(logits, batch["targets"][name][rows]).mean().item()
    assert whole == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_nan_in_a_masked_cell_does_not_spread(module):
    batch = batch_of([{"emotion"}, {"emotion", "age"}])
    batch["targets"]["emotion"][batch["targets"]["emotion"] < 0] = 10**6
    assert bool(batch["targets"]["age"][0].isnan().all())
    loss = loss_of(module, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(p.grad).all()) for p in module.model.parameters() if p.grad is not None)

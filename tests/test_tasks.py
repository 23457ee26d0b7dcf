"""The classification task: targets, losses, weights, decoding."""

import numpy as np
import pandas as pd
import pytest
import torch

from caer.config import Config
from caer.tasks import build_tasks
from caer.tasks.classification import Config as Classification
from caer.tasks.classification import build
from preprocessing.errors import UserError

CLASSES = ["smile", "sad", "angry"]


def task(name="emotion", **options):
    return build(Classification(classes=CLASSES, **options), name)


def test_encode_and_decode_are_inverse():
    targets = task().encode(pd.Series(["sad", "smile", "angry"]), "m.parquet")
    assert targets.tolist() == [1, 0, 2]
    assert targets.dtype == np.int64
    assert task().decode(np.eye(3)[targets]) == ["sad", "smile", "angry"]


@pytest.mark.parametrize("nothing", ["", None, float("nan"), pd.NA])
def test_a_missing_annotation_is_minus_one(nothing):
    assert task().encode(pd.Series(["sad", nothing], dtype=object), "m").tolist() == [1, -1]


def test_an_undeclared_class_names_file_and_row():
    with pytest.raises(UserError, match=r"m\.parquet: row 1 has emotion = 'joy'; task 'emotion' declares smile, sad, angry"):
        task().encode(pd.Series(["sad", "joy"]), "m.parquet")


def test_words_that_yaml_reads_as_booleans_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"YAML reads yes, no, .* as booleans; put such classes in quotes"):
        Classification(classes=[False, True])


def test_numbers_match_their_text():
    numbered = build(Classification(classes=[0, 1]), "smile")
    assert numbered.classes == ["0", "1"]
    assert numbered.encode(pd.Series([1.0, 0.0, np.nan]), "m").tolist() == [1, 0, -1]
    assert numbered.encode(pd.Series(["1", "0"]), "m").tolist() == [1, 0]


@pytest.mark.parametrize("text", ["4_6", "nan", "inf"])
def test_edges_read_numbers_only(text):
    age = build(Classification(classes=["young", "old"], edges=[0, 40, 100], outside="missing"), "age")
    with pytest.raises(UserError, match=f"row 0 has age = '{text}'; task 'age' with `edges` reads numbers"):
        age.encode(pd.Series([text]), "m.parquet")


def test_the_column_is_the_tasks_name_unless_given():
    assert task().column == "emotion"
    assert task(column="fer_label").column == "fer_label"


def test_loss_is_unreduced_cross_entropy():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    losses = task().loss(logits, torch.tensor([1, 2]))
    expected = [-torch.log_softmax(logits[0], 0)[1].item(), np.log(3)]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-6)


def test_label_smoothing_by_hand():
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    log_p = torch.log_softmax(logits, 1)[0]
    expected = -(0.9 * log_p[1] + 0.1 * log_p.mean())
    torch.testing.assert_close(task(label_smoothing=0.1).loss(logits, torch.tensor([1]))[0], expected)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalized_cross_entropy_by_hand(q):
    logits = torch.tensor([[1.0, 2.0, 0.5], [30.0, -30.0, 0.0]], requires_grad=True)
    targets = torch.tensor([1, 1])
    p = logits.detach().softmax(1)[[0, 1], targets]
    losses = task(loss="generalized", q=q).loss(logits, targets)
    torch.testing.assert_close(losses.detach(), (1 - p**q) / q)
    assert losses[1] <= 1 / q + 1e-6, "however far from its label, a row costs no more"


def test_generalized_cross_entropy_becomes_cross_entropy_towards_zero_and_weighs_gradients_by_p_to_the_q():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets = torch.tensor([0, 1, 2, 1, 0])
    plain = task().loss(logits, targets)
    torch.testing.assert_close(task(loss="generalized", q=1e-4).loss(logits, targets), plain, rtol=1e-3, atol=1e-4)
    (of_plain,) = torch.autograd.grad(plain.sum(), logits)
    (of_robust,) = torch.autograd.grad(task(loss="generalized", q=0.7).loss(logits, targets).sum(), logits)
    p = logits.detach().softmax(1)[torch.arange(5), targets]
    torch.testing.assert_close(of_robust, of_plain * p[:, None] ** 0.7)


def drawn(counts):
    """Targets of so many rows of each class, each drawn once."""
    return np.repeat(np.arange(len(counts)), counts), np.ones(sum(counts))


def test_class_weights_go_by_what_an_epoch_draws():
    """Ten draws of each of 10 rows are as many as one draw of each of 100."""
    weighted = task(class_weights="inverse")
    targets = np.repeat([0, 1, 2], [10, 100, 50])
    weighted.fit(targets, np.where(targets == 0, 10.0, 1.0))
    losses = weighted.loss(torch.zeros(3, 3), torch.arange(3))
    assert losses[0] == losses[1]
    assert losses[2] == pytest.approx(2 * losses[0].item())


def test_generalized_cross_entropy_takes_class_weights_and_no_smoothing():
    weighted = task(loss="generalized", class_weights="inverse")
    weighted.fit(*drawn([60, 30, 10]))
    losses = weighted.loss(torch.zeros(3, 3), torch.arange(3))
    assert losses[2] > losses[1] > losses[0]
    with pytest.raises(ValueError, match="label_smoothing"):
        task(loss="generalized", label_smoothing=0.1)


@pytest.mark.parametrize("kind", ["inverse", "effective"])
def test_class_weights_have_mean_one_over_the_training_rows_and_favour_the_rare(kind):
    counts = np.array([60, 30, 10])
    weighted = task(class_weights=kind)
    weighted.fit(*drawn(counts))
    logits = torch.zeros(3, 3)
    weights = weighted.loss(logits, torch.arange(3)) / task().loss(logits, torch.arange(3))
    assert (weights.numpy() * counts).sum() / counts.sum() == pytest.approx(1)
    assert weights[2] > weights[1] > weights[0]
    if kind == "inverse":
        np.testing.assert_allclose(weights.numpy() * counts, 100 / 3, rtol=1e-5)


def test_a_class_without_rows_gets_weight_zero_not_infinity():
    weighted = task(class_weights="inverse")
    weighted.fit(*drawn([5, 5, 0]))
    assert weighted.loss(torch.zeros(3, 3), torch.arange(3)).tolist()[2] == 0


def test_metric_names_are_what_metrics_returns():
    scores = task().metrics(np.array([0, 1, 2]), np.eye(3))
    assert tuple(scores) == task().metric_names
    assert scores["accuracy"] == scores["macro_f1"] == 1
    assert all(isinstance(score, float) for score in scores.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "clasification", "classes": CLASSES}, "unknown task 'clasification'; known: .*classification"),
        ({"type": "classification", "classes": ["a"]}, "classes"),
        ({"type": "classification", "classes": ["a", "a"]}, "not distinct"),
        ({"type": "classification", "classes": [True, False]}, "classes"),
        ({"type": "classification", "classes": CLASSES, "smoothing": 0.1}, "unknown key 'smoothing'"),
        ({"classes": CLASSES}, "no 'type' given"),
    ],
)
def test_a_wrong_task_is_an_error_of_the_config(options, message):
    settings = {
        "name": "x",
        "data": {"sources": [{"manifest": "m"}]},
        "tasks": {"emotion": options},
        "model": {"face": {}},
        "monitor": {"metric": "loss", "mode": "min"},
        "stages": {1: {"output": "face", "trainable": [".*"], "epochs": 1}},
    }
    with pytest.raises(ValueError, match=message):
        Config.model_validate(settings)


def test_tasks_keep_the_configs_order():
    options = {"type": "classification", "classes": CLASSES}
    settings = {
        "name": "x",
        "data": {"sources": [{"manifest": "m"}]},
        "tasks": {"b": options, "a": options},
        "model": {"face": {}},
        "monitor": {"metric": "loss", "mode": "min"},
        "stages": {1: {"output": "face", "trainable": [".*"], "epochs": 1}},
    }
    assert list(build_tasks(Config.model_validate(settings))) == ["b", "a"]

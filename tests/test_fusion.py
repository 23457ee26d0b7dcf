"""Fusions: what the gates are, what they do to rows without a face, and how options are read."""

import pytest
import torch
from torch import nn

from gating.fusion import Constant, GatingNet, Sum, build_fusion, fusions
from gating.model import TwoBranchNet

TASKS = {"emotion": 3, "smile": 2}
ALL = sorted(fusions())
GATED = ["constant", "gating", "sum"]


class Tiny(nn.Module):
    """A branch that pools by channel means."""

    out_dim = 4

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({task: nn.Linear(4, width) for task, width in TASKS.items()})
        self.calls = 0

    def encode(self, images):
        self.calls += 1
        return self.body(images.float().mean(dim=(2, 3)) / 255), None

    def classify(self, pooled):
        return {task: head(pooled) for task, head in self.heads.items()}


def net(kind, **options):
    torch.manual_seed(0)
    fusion = build_fusion({"type": kind, **options}, TASKS, 4, 4)
    for parameter in fusion.parameters():
        nn.init.normal_(parameter, std=0.5)
    return TwoBranchNet(Tiny(), Tiny(), fusion).eval()


def batch_of(count=6, inputs=("face", "context", "image"), seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = {key: torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator) for key in inputs}
    return {**images, "has_face": torch.tensor([True, False] * (count // 2))}


@pytest.mark.parametrize("kind", ALL)
def test_shapes_and_gates_of_every_fusion(kind):
    model = net(kind)
    out = model(batch_of())
    assert {task: tuple(logits.shape) for task, logits in out.logits.items()} == {"emotion": (6, 3), "smile": (6, 2)}
    assert set(out.branch_logits) == {"face", "context"}
    assert all(logits.dtype == torch.float32 for logits in out.logits.values())
    if kind == "concat":
        assert out.gates is None
    else:
        assert {tuple(gate.shape) for gate in out.gates.values()} == {(6, 2)}


@pytest.mark.parametrize("kind", GATED)
def test_logits_are_the_gated_sum_of_the_branches_logits(kind):
    out = net(kind)({**batch_of(), "has_face": torch.ones(6, dtype=torch.bool)})
    for task, logits in out.logits.items():
        face, context = out.branch_logits["face"][task], out.branch_logits["context"][task]
        torch.testing.assert_close(logits, out.gates[task][:, :1] * face + out.gates[task][:, 1:] * context)


@pytest.mark.parametrize("gates", ["branch", "class"])
def test_gating_lies_between_zero_and_one_and_is_one_pair_per_branch_or_class(gates):
    out = net("gating", gates=gates)({**batch_of(), "has_face": torch.ones(6, dtype=torch.bool)})
    shape = {"branch": (6, 2), "class": (6, 2, 3)}[gates]
    gate = out.gates["emotion"]
    assert gate.shape == shape
    assert bool(((gate > 0) & (gate < 1)).all())
    if gates == "class":
        face, context = out.branch_logits["face"]["emotion"], out.branch_logits["context"]["emotion"]
        torch.testing.assert_close(out.logits["emotion"], gate[:, 0] * face + gate[:, 1] * context)


def test_gating_starts_at_the_branches_mean():
    model = TwoBranchNet(Tiny(), Tiny(), build_fusion({"type": "gating"}, TASKS, 4, 4)).eval()
    out = model(batch_of())
    assert bool((out.gates["smile"][0] == 0.5).all())


@pytest.mark.parametrize("gates", ["branch", "class"])
def test_a_row_without_a_face_is_answered_by_the_context_with_gates_zero_and_g(gates):
    batch = batch_of()
    model = net("gating", gates=gates)
    out, seen = model(batch), model({**batch, "has_face": torch.ones(6, dtype=torch.bool)})
    for task in TASKS:
        gate, whole = out.gates[task][1::2], seen.gates[task][1::2]
        assert bool((gate[:, 0] == 0).all())
        assert torch.equal(gate[:, 1], whole[:, 1])
        weight = whole[:, 1] if gates == "class" else whole[:, 1:]
        torch.testing.assert_close(out.logits[task][1::2], weight * out.branch_logits["context"][task][1::2])
        assert torch.equal(out.logits[task][::2], seen.logits[task][::2])


def test_a_faceless_row_under_concat_gets_the_contexts_own_logits():
    out = net("concat")(batch_of())
    assert torch.equal(out.logits["emotion"][1::2], out.branch_logits["context"]["emotion"][1::2])


@pytest.mark.parametrize("kind", GATED)
def test_what_the_face_branch_makes_of_an_absent_face_does_not_matter(kind):
    model, batch = net(kind), batch_of()
    other = {**batch, "face": batch["face"].clone()}
    other["face"][1::2] = 200
    one, two = model(batch), model(other)
    assert torch.equal(one.logits["emotion"], two.logits["emotion"])


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_gives_what_its_samples_give_one_by_one(kind):
    model, batch = net(kind), batch_of()
    whole = model(batch).logits["emotion"]
    alone = [model({key: value[i : i + 1] for key, value in batch.items()}).logits["emotion"] for i in range(6)]
    torch.testing.assert_close(whole, torch.cat(alone))


@pytest.mark.parametrize("kind", ALL)
def test_cached_features_give_what_the_pictures_give(kind):
    model, batch = net(kind), batch_of()
    cached = {"features": model.encode(batch), "has_face": batch["has_face"]}
    assert torch.equal(model(cached).logits["smile"], model(batch).logits["smile"])


def test_masked_and_unmasked_photo_pass_through_the_context_encoder_together():
    model = net("gating")
    model(batch_of())
    assert model.context.calls == 1
    features = model.encode(batch_of())
    torch.testing.assert_close(features["image"], model.context.encode(batch_of()["image"])[0])


def test_inputs_name_what_an_output_needs():
    model = net("gating")
    assert model.inputs("face") == {"face"}
    assert model.inputs("context") == {"context"}
    assert model.inputs("fused") == {"face", "context", "image"}
    assert net("concat").inputs("fused") == {"face", "context"}
    with pytest.raises(ValueError, match=r"this network has face$"):
        TwoBranchNet(Tiny(), None).inputs("context")


def test_one_branch_answers_when_only_its_input_is_there():
    model, batch = net("gating"), batch_of()
    out = model({"face": batch["face"]})
    assert set(out.branch_logits) == {"face"}
    assert torch.equal(out.logits["emotion"], out.branch_logits["face"]["emotion"])
    with pytest.raises(ValueError, match="needs image in the batch"):
        model({"face": batch["face"], "context": batch["context"]})
    with pytest.raises(ValueError, match="none of the inputs"):
        model({"image_of_another_kind": batch["face"]})


def test_the_gating_network_owns_only_its_own_parameters_and_gradients_stay_there():
    model = net("gating").train()
    for part in (model.face, model.context):
        part.requires_grad_(False)
    model(batch_of()).logits["emotion"].sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient
    assert all(name.startswith("fusion.") for name in with_gradient)
    assert "fusion.heads.smile.weight" not in with_gradient, "another task's gates are not touched"


def test_controls():
    assert not list(Sum(TASKS, 4, 4).parameters())
    assert sum(p.numel() for p in Constant({"emotion": 3}, 4, 4).parameters()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "gate"}, "unknown type 'gate'; known: .*concat.*gating.*sum"),
        ({}, "unknown type None"),
        ({"type": "sum", "hidden_dim": 3}, "unknown option 'hidden_dim' of sum; known: none"),
        ({"type": "gating", "hiden_dim": 3}, "unknown option 'hiden_dim' of gating; known: hidden_dim, dropout, gates"),
        ({"type": "gating", "hidden_dim": 0}, "hidden_dim 0"),
        ({"type": "gating", "dropout": 1.5}, "dropout 1.5"),
        ({"type": "gating", "gates": "pixel"}, "gates 'pixel'; known: branch, class"),
        ({"type": "gating", "tasks": {}}, "unknown option 'tasks'"),
    ],
)
def test_wrong_options_name_what_is_known(options, message):
    with pytest.raises(ValueError, match=message):
        build_fusion(options, TASKS, 4, 4)


def test_every_fusion_of_the_file_is_known_by_its_name():
    assert {"sum", "constant", "concat", "gating"} <= set(fusions())
    assert fusions()["gating"] is GatingNet

"""Adaptive Fusion: softmax weights over the branches, a joint classifier, and rows without a face."""

import pytest
import torch
from torch import nn

from gating.fusion import AdaptiveFusion, Constant, build_fusion, fusions
from gating.model import TwoBranchNet

TASKS = {"emotion": 5, "age": 6}


def features(n=4, face=8, context=12, seed=0):
    gen = torch.Generator().manual_seed(seed)
    return {"face": torch.randn(n, face, generator=gen), "context": torch.randn(n, context, generator=gen)}


class Flat(nn.Module):
    """A branch whose features are its input."""

    def __init__(self, width, tasks=TASKS):
        super().__init__()
        self.out_dim = width
        self.heads = nn.ModuleDict({t: nn.Linear(width, k) for t, k in tasks.items()})

    def classify(self, pooled):
        return {t: head(pooled) for t, head in self.heads.items()}


def test_every_fusion_is_found_by_name():
    assert set(fusions()) == {"sum", "constant", "concat", "adaptive", "gating"}


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_weights_are_a_softmax_over_the_branches(norm):
    fusion = build_fusion({"type": "adaptive", "hidden_dim": 6, "dropout": 0.0, "norm": norm}, TASKS, 8, 12).eval()
    logits, gates = fusion(features(), {})
    assert {t: tuple(x.shape) for t, x in logits.items()} == {"emotion": (4, 5), "age": (4, 6)}
    for gate in gates.values():
        torch.testing.assert_close(gate.sum(dim=1), torch.ones(4))
        assert ((gate > 0) & (gate < 1)).all()


def test_a_weight_scales_its_branch_before_the_joint_classifier():
    """With scores fixed by hand the answer is the classifier of the scaled, concatenated features."""
    torch.manual_seed(0)
    fusion = AdaptiveFusion({"emotion": 5}, 8, 12, hidden_dim=6, dropout=0.0, norm="none").eval()
    for score, bias in ((fusion.face_score, 1.0), (fusion.context_score, -1.0)):
        score[2].weight.data.zero_()
        score[2].bias.data.fill_(bias)
    pooled = features()
    logits, gates = fusion(pooled, {})
    share = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(gates["emotion"], torch.stack([share, 1 - share]).expand(4, 2))
    joined = torch.cat([share * pooled["face"], (1 - share) * pooled["context"]], dim=1)
    torch.testing.assert_close(logits["emotion"], fusion.heads["emotion"](fusion.body(joined)))


def test_all_parameters_learn():
    fusion = AdaptiveFusion(TASKS, 8, 12, hidden_dim=16, norm="layer").eval()
    logits, _ = fusion(features(16), {})
    sum(x.square().sum() for x in logits.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fusion.parameters())


def test_rows_without_a_face_get_the_context_branchs_own_answer():
    """Its weights scale features, not logits: the context's logits stand unscaled, with gates (0, 1)."""
    torch.manual_seed(0)
    face, context = Flat(8), Flat(12)
    net = TwoBranchNet(face, context, AdaptiveFusion(TASKS, 8, 12, dropout=0.0)).eval()
    pooled = features()
    has_face = torch.tensor([True, False, True, False])
    output = net({"features": pooled, "has_face": has_face})
    everyone = net({"features": pooled})
    for task in TASKS:
        torch.testing.assert_close(output.logits[task][~has_face], context.classify(pooled["context"])[task][~has_face])
        assert output.gates[task][~has_face].tolist() == [[0.0, 1.0]] * 2
        torch.testing.assert_close(output.logits[task][has_face], everyone.logits[task][has_face])
        torch.testing.assert_close(output.gates[task][has_face], everyone.gates[task][has_face])


def test_one_row_in_training_does_not_stop_batch_norm():
    fusion = AdaptiveFusion({"emotion": 5}, 8, 12, norm="batch").train()
    logits, _ = fusion(features(1), {})
    assert torch.isfinite(logits["emotion"]).all()
    assert fusion.face_norm.num_batches_tracked == 0


def test_constant_gates_per_class():
    fusion = Constant({"emotion": 3}, 8, 12, gates="class")
    fusion.weights["emotion"].data = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    face, context = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0, 20.0, 30.0]])
    logits, gates = fusion({}, {"face": {"emotion": face}, "context": {"emotion": context}})
    assert logits["emotion"].tolist() == [[1.0, 20.0, 16.5]]
    assert gates["emotion"].shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "adaptive", "gates": "class"}, "unknown option 'gates' of adaptive; known: hidden_dim, dropout, norm"),
        ({"type": "adaptive", "norm": "group"}, "norm 'group'; known: layer, batch, none"),
        ({"type": "adaptive", "hidden_dim": 0}, "hidden_dim 0"),
        ({"type": "adaptive", "dropout": 1}, "dropout 1"),
        ({"type": "constant", "gates": "pixel"}, "gates 'pixel'; known: branch, class"),
        ({"type": "product"}, "known: adaptive, concat, constant, gating, sum"),
    ],
)
def test_mistakes_name_what_is_known(options, message):
    with pytest.raises(ValueError, match=message):
        build_fusion(options, TASKS, 8, 12)

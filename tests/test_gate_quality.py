"""Gate quality on made-up predictions: values known by hand, gates that are perfect, useless and wrong."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_predictions import made_predictions
from sklearn.metrics import roc_auc_score

from caer.evaluation import ranking
from caer.evaluation.gate_quality import GateRows, gate_rows, judge_gate, mixed_controls, mixes_logits, permuted_right, remix
from gating.fusion import weigh

RNG = np.random.default_rng


def rows_with(gates, face, context, targets=None, fused=None, confidence=0.8) -> GateRows:
    """Rows whose branches answer the given classes; the fused answer is the gates' mix unless given."""
    targets = [0] * len(face) if targets is None else targets
    made = made_predictions(targets, fused or face, face=face, context=context, gates=gates, confidence=confidence)
    rows = gate_rows(made, "emotion")
    if fused is not None:
        return rows
    return GateRows(rows.targets, rows.mixed(rows.gates), rows.face, rows.context, rows.gates, rows.codes)


def drawn_rows(count: int = 300, seed: int = 0) -> GateRows:
    """Random branches, and gates that know something about them."""
    rng = RNG(seed)
    targets = rng.integers(0, 3, count)
    face, context = (np.where(rng.random(count) < skill, targets, rng.integers(0, 3, count)) for skill in (0.5, 0.5))
    knows = 0.3 * ((context == targets).astype(float) - (face == targets)) + rng.normal(0, 0.3, count)
    towards = 1 / (1 + np.exp(-4 * knows))
    gates = np.stack([1 - towards, towards], axis=1)
    return rows_with([tuple(pair) for pair in gates], face.tolist(), context.tolist(), targets.tolist())


# ---- ranking ----


def test_auc_by_hand():
    # Pairs (marked, other): (3, 1) won, (3, 2) won, (2, 1) won, (2, 2) tied.
    assert ranking.auc(np.array([3, 2, 1, 2]), np.array([1, 1, 0, 0])) == pytest.approx(3.5 / 4)
    assert np.isnan(ranking.auc(np.array([1.0, 2.0]), np.array([1, 1])))
    assert np.isnan(ranking.auc(np.array([]), np.array([])))


def test_auc_agrees_with_scikit_learn_on_ties_too():
    rng = RNG(3)
    scores, marks = rng.integers(0, 9, 200) / 3, rng.random(200) < 0.4
    assert ranking.auc(scores, marks) == pytest.approx(roc_auc_score(marks, scores))


def test_a_resample_is_judged_as_if_its_rows_were_written_out():
    rng = RNG(5)
    scores, marks, weights = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.5, rng.integers(0, 4, 40)
    written = np.repeat(np.arange(40), weights)
    for by_weights, direct in ((ranking._auc_of_weights, ranking.auc), (ranking._aurc_of_weights, ranking.aurc)):
        weighed = by_weights(scores, marks)(weights[None].astype(float))[0]
        assert weighed == pytest.approx(direct(scores[written], marks[written]))


def test_aurc_by_hand():
    # In order of confidence: right, wrong, right. Risks 0, 1/2, 1/3.
    confidence, wrong = np.array([0.5, 0.9, 0.7]), np.array([0, 0, 1])
    assert ranking.aurc(confidence, wrong) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert ranking.risk_at(confidence, wrong, [1 / 3, 2 / 3, 1.0]) == pytest.approx([0, 1 / 2, 1 / 3])


def test_equal_confidences_count_as_all_their_orders_do_on_average():
    confidence, wrong = np.array([0.9, 0.6, 0.6, 0.6, 0.2]), np.array([0, 1, 0, 0, 1])
    orders = [[0, *middle, 4] for middle in itertools.permutations([1, 2, 3])]
    mean = np.mean([ranking.aurc(np.arange(5, 0, -1), wrong[order]) for order in orders])
    assert ranking.aurc(confidence, wrong) == pytest.approx(mean)
    assert ranking.aurc(np.ones(5), wrong) == pytest.approx(wrong.mean())


def test_intervals_hold_the_value_and_shrink_with_rows_not_with_copies_in_a_group():
    rng = RNG(7)
    scores, marks = rng.random(120), rng.random(120) < 0.5
    one = ranking.auc_estimate(scores, marks, np.arange(120))
    assert one.low < one.value < one.high
    copies = ranking.auc_estimate(np.tile(scores, 4), np.tile(marks, 4), np.tile(np.arange(120), 4))
    assert copies.value == pytest.approx(one.value)
    assert copies.high - copies.low == pytest.approx(one.high - one.low, rel=0.1)


# ---- the gate ----


def test_a_gate_that_is_the_oracle():
    face, context = [0, 1, 0, 1, 2, 0], [1, 0, 0, 0, 1, 2]
    gates = [(0.9, 0.1) if f == 0 else (0.1, 0.9) for f in face]
    found = judge_gate(rows_with(gates, face, context))
    assert found["disagreements"] == {
        "n": 4,
        "context_right": 2,
        "auc": {"value": 1.0, "low": None, "high": None},
        "preferred": {"value": 1.0, "low": pytest.approx(0.025 ** (1 / 4)), "high": 1.0},
    }
    assert found["regret"]["value"] == 0.0
    assert found["accuracy"]["oracle"]["value"] == found["accuracy"]["fused"]["value"] == pytest.approx(5 / 6)


def test_a_constant_gate_knows_nothing_and_permuting_it_changes_nothing():
    rows = drawn_rows()
    constant = rows_with([(0.7, 0.4)] * 60, rows.face.argmax(1)[:60].tolist(), rows.context.argmax(1)[:60].tolist())
    found = judge_gate(constant)
    assert found["disagreements"]["auc"]["value"] == 0.5
    assert found["controls"]["permuted"]["difference"]["value"] == 0.0
    assert found["controls"]["mean"]["difference"]["value"] == 0.0


def test_a_gate_that_always_prefers_the_wrong_branch_has_auc_0_and_the_whole_regret():
    found = judge_gate(rows_with([(0.1, 0.9), (0.9, 0.1)], [0, 1], [1, 0]))
    assert found["disagreements"]["auc"]["value"] == 0.0
    assert found["disagreements"]["preferred"]["value"] == 0.0
    assert found["regret"]["value"] == 1.0


def test_equal_gates_prefer_neither():
    assert judge_gate(rows_with([(0.5, 0.5)] * 3, [0, 1, 0], [1, 0, 2]))["disagreements"]["preferred"]["value"] == 0.5


def test_regret_is_negative_where_the_mix_is_right_and_both_branches_are_wrong():
    found = judge_gate(rows_with([(0.5, 0.5)] * 2, [1, 1], [2, 2], fused=[0, 1]))
    assert found["regret"]["value"] == pytest.approx(-0.5)
    assert found["controls"] is None, "no mix of these branches gives that answer"


@pytest.mark.parametrize("per_class", [False, True])
def test_log_probabilities_serve_as_logits_with_one_gate_a_branch(per_class):
    generator = torch.Generator().manual_seed(1)
    face, context = (4 * torch.randn(50, 5, generator=generator) + shift for shift in (3.0, -7.0))
    gates = torch.rand(50, 2, 5, generator=generator) if per_class else torch.rand(50, 2, generator=generator)
    fused = weigh(face, context, gates).softmax(dim=1).double().numpy()
    probabilities = [logits.softmax(dim=1).double().numpy() for logits in (face, context)]
    rows = GateRows(fused.argmax(1), fused, *probabilities, gates.double().numpy(), np.arange(50))
    # The constants of the rows cancel in softmax where they are the same for every class.
    assert np.allclose(rows.mixed(rows.gates), fused, atol=1e-5) is not per_class
    assert mixes_logits(rows) is not per_class
    assert (mixed_controls(rows) is None) is per_class
    known = replace(rows, logits=(face.double().numpy(), context.double().numpy()))
    assert np.allclose(known.mixed(known.gates), fused, atol=1e-5)
    assert mixed_controls(known)["permuted"]["accuracy"]["value"] < 1


def test_a_probability_that_underflowed_is_no_obstacle():
    face, context, gates = np.array([[1.0, 0.0]]), np.array([[0.3, 0.7]]), np.array([[0.0, 1.0]])
    rows = GateRows(np.array([1]), context, face, context, gates, np.array([0]))
    assert rows.mixed(gates) == pytest.approx(context)
    assert remix(np.log(context), np.log(context), np.array([[0.5, 0.5]])) == pytest.approx(context)


def test_permuted_gates_by_hand():
    # Only the mix decides: with the other row's gates both rows follow the wrong branch.
    rows = rows_with([(0.9, 0.1), (0.1, 0.9)], [0, 1], [1, 0])
    right = permuted_right(rows, permutations=400)
    assert right == pytest.approx(np.full(2, right[0])), "both rows swap at once"
    assert right[0] == pytest.approx(0.5, abs=0.1)
    assert np.array_equal(permuted_right(rows), permuted_right(rows)), "seeded"


def test_gates_that_know_beat_their_permutation():
    found = judge_gate(drawn_rows())
    assert found["disagreements"]["auc"]["low"] > 0.5
    assert found["controls"]["permuted"]["difference"]["low"] > 0
    assert 0 < found["regret"]["low"] < found["regret"]["value"] < found["regret"]["high"]
    fused = found["risk_coverage"]["fused"]
    assert fused["risk"][-1] == pytest.approx(fused["error"]) == pytest.approx(1 - found["accuracy"]["fused"]["value"])
    json.dumps(found, allow_nan=False)


def test_the_order_of_rows_does_not_matter():
    rows, order = drawn_rows(), RNG(1).permutation(300)
    turned = GateRows(*(getattr(rows, name)[order] for name in ("targets", "fused", "face", "context", "gates", "codes")))
    one, two = judge_gate(rows), judge_gate(turned)
    assert one["disagreements"]["auc"]["value"] == pytest.approx(two["disagreements"]["auc"]["value"])
    assert one["regret"] == pytest.approx(two["regret"])
    assert one["risk_coverage"]["fused"]["risk"] == pytest.approx(two["risk_coverage"]["fused"]["risk"])


def test_gates_per_class_are_averaged_for_the_share_and_kept_for_the_rest():
    made = made_predictions([0, 1], [0, 1], face=[0, 1], context=[1, 1], gates=[(0.6, 0.9, 0.6, 0.1, 0.2, 0.3)] * 2)
    rows = gate_rows(made, "emotion")
    assert rows.gates.shape == (2, 2, 3)
    assert rows.share == pytest.approx([0.2 / 0.9] * 2)


def test_only_rows_that_both_branches_and_the_gate_answered():
    gates = [(0.6, 0.4), (0.0, 0.4), (0.6, 0.4)]
    made = made_predictions([0, 0, -1], [0, 0, 0], face=[0, -1, 0], context=[0] * 3, gates=gates, status=["ok", "no_face", "ok"])
    assert len(gate_rows(made, "emotion").targets) == 1
    assert gate_rows(made_predictions([0], [0], face=[0]), "emotion") is None
    assert gate_rows(made_predictions([0], [0], gates=[(0.5, 0.5)]), "emotion") is None, "CAER-Net has no branches"

"""Gate summaries on hand-made gates."""

import numpy as np
import pytest

from gating.gate_stats import branch_gates, context_share, summarize_gates


def test_share_of_the_context_by_hand():
    gates = np.array([[0.2, 0.6], [1.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
    np.testing.assert_allclose(context_share(gates), [0.75, 0.0, 1.0, np.nan])


def test_gates_per_class_are_averaged_over_classes():
    gates = np.array([[[0.2, 0.4], [0.6, 1.0]]])
    np.testing.assert_allclose(branch_gates(gates), [[0.3, 0.8]])


def test_summary_by_group_and_for_all():
    gates = np.array([[0.2, 0.6], [0.4, 0.4], [0.9, 0.1]])
    rows = summarize_gates(gates, ["b", "b", "a"])
    assert [row["group"] for row in rows] == ["a", "b", "all"]
    assert rows[1]["n"] == 2
    assert rows[1]["face_mean"] == pytest.approx(0.3)
    assert rows[1]["face_sd"] == pytest.approx(0.1)
    assert rows[1]["context_share"] == pytest.approx((0.75 + 0.5) / 2)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        context_share(np.zeros(3))
    with pytest.raises(ValueError, match="2 group names for 1 samples"):
        summarize_gates(np.zeros((1, 2)), ["a", "b"])

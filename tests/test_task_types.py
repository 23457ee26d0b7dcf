"""Numbers, ordered classes and tags: targets, losses, decoding and scores, against hand-computed and reference values."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import made_predictions
from sklearn.metrics import average_precision_score, cohen_kappa_score

from caer.evaluation import numbers, ordered, tags
from caer.evaluation.judged import TagRows
from caer.evaluation.predictions import task_rows
from caer.evaluation.summary import scores
from caer.evaluation.tag_summary import tag_scores
from caer.tasks import multilabel, ordinal, regression
from preprocessing.errors import UserError

GROUPS = ["baby", "child", "ten-twenty", "thirty-forty", "fifty", "senior"]
TAGS = ["floral", "striped", "dotted"]


def age(**options):
    return regression.build(regression.Config(range=(0, 100), unit="years", **options), "age")


def intervals(**options):
    return age(low_column="age_low", high_column="age_high", **options)


def group():
    return ordinal.build(ordinal.Config(classes=GROUPS), "group")


def pattern(**options):
    return multilabel.build(multilabel.Config(classes=TAGS, **options), "pattern")


def encoded(task, **columns):
    table = task.encode_rows(pd.DataFrame({f"label_{name}": values for name, values in columns.items()}), "m.parquet")
    return np.stack([table["low_age"], table["high_age"]], axis=1)


# Numbers


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.01, 99.99, allow_subnormal=False), min_size=1, max_size=20), st.sampled_from(["sigmoid", "linear"]))
def test_ages_round_trip(ages, scaling):
    task = age(scaling=scaling)
    targets = torch.tensor(task.encode(pd.Series(ages), "m"))
    answers = task.probabilities(task.logits_of(targets.unsqueeze(1))).numpy()
    np.testing.assert_allclose(task.decode(answers), ages, rtol=1e-4, atol=1e-3)


def test_a_known_number_is_an_interval_of_its_own_and_the_known_number_wins():
    targets = encoded(intervals(), age=[31.0, None, 7.0, None], age_low=[None, 20.0, 3.0, None], age_high=[None, 29.0, 9.0, None])
    np.testing.assert_array_equal(targets, [[31, 31], [20, 29], [7, 7], [np.nan, np.nan]])


def test_an_open_interval_ends_with_the_range():
    np.testing.assert_array_equal(encoded(intervals(), age_low=[70.0, None], age_high=[None, 2.0]), [[70, 100], [0, 2]])


@pytest.mark.parametrize(
    ("wrong", "kind", "shown"),
    [(-1.0, object, "-1.0"), (116.0, float, "116.0"), (float("inf"), float, "inf"), ("old", object, "'old'")],
)
def test_a_number_outside_the_range_names_file_and_row(wrong, kind, shown):
    message = f"m.parquet: row 1 has age = {shown}; task 'age' declares numbers from 0 to 100 years (tasks.age.range)"
    with pytest.raises(UserError, match=re.escape(message)):
        age().encode(pd.Series([3.0, wrong], name="label_age", dtype=kind), "m.parquet")


def test_an_open_interval_that_begins_where_the_range_ends_is_not_taken_for_a_known_number():
    message = r"row 1 has an open interval of age that begins where the range ends, at 100; widen tasks\.age\.range"
    with pytest.raises(UserError, match=message):
        encoded(intervals(), age=[None, None], age_low=[3.0, 100.0], age_high=[9.0, None])


def test_the_ends_of_an_interval_are_taken_as_they_are():
    assert numbers.distances(np.array([[20.0, 29.0]]), np.array([29.6])) == pytest.approx(0.6)


def test_a_turned_interval_is_an_error():
    with pytest.raises(UserError, match=r"m\.parquet: row 0 has an interval of age from 9 to 3"):
        encoded(intervals(), age_low=[9.0], age_high=[3.0])


@pytest.mark.parametrize("kind", ["l1", "smooth_l1", "mse"])
def test_inside_the_interval_there_is_neither_loss_nor_gradient(kind):
    task = intervals(loss=kind)
    logits = task.logits_of(torch.tensor([[25.0], [35.0], [12.0]])).requires_grad_()
    losses = task.loss(logits, torch.tensor([[20.0, 29.0]] * 3))
    losses.sum().backward()
    assert losses[0] == logits.grad[0] == 0
    assert (losses[1:] > 0).all()
    assert logits.grad[1] > 0 > logits.grad[2], "each is drawn to its nearer end"


def test_losses_by_hand_in_shares_of_the_range():
    logits, target = age().logits_of(torch.tensor([[40.0]])), torch.tensor([[30.0, 30.0]])
    expected = {"l1": 0.1, "mse": 0.01, "smooth_l1": 0.1 - 0.5 * 0.05}
    for kind, value in expected.items():
        assert age(loss=kind).loss(logits, target).item() == pytest.approx(value, abs=1e-6)


def test_sigmoid_scaling_cannot_leave_the_range():
    answers = age().probabilities(torch.tensor([[-50.0], [0.0], [50.0]]))
    assert answers[:, 0].tolist() == pytest.approx([0, 50, 100], abs=1e-4)


def test_errors_by_hand_known_numbers_and_intervals_apart():
    targets = np.array([[30, 30], [40, 40], [20, 29], [20, 29]], float)
    scores = numbers.scores(targets, np.array([33.0, 39.0, 25.0, 31.0]))
    assert scores == pytest.approx(
        {"mae": 2, "rmse": 5**0.5, "mae_to_midpoint": (0.5 + 6.5) / 2, "distance": 6 / 4, "inside": 0.5}
    )


def test_scores_name_the_midpoint_and_mae_is_of_known_numbers_only():
    task, targets, answers = intervals(), np.array([[20.0, 29.0]]), np.array([[24.5]])
    scores = task.metrics(targets, answers)
    assert tuple(scores) == task.metric_names == ("mae", "rmse", "mae_to_midpoint", "distance", "inside", "closeness")
    assert np.isnan(scores["mae"])
    assert scores["mae_to_midpoint"] == 0
    assert scores["closeness"] == 1
    assert age().metric_names == ("mae", "rmse", "closeness")


def test_the_prior_is_the_median_of_the_midpoints():
    task = intervals()
    assert task.prior(task.count(np.array([[30.0, 30.0], [20.0, 29.0], [60.0, 60.0]]))) == [30]
    assert task.prior([]) == task.prior(task.count(np.zeros((0, 2)))) == [50]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"range": (5, 5)}, "does not rise"), ({"range": (0, 9), "low_column": "low"}, "both"), ({}, "range")],
)
def test_a_wrong_regression_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        regression.Config(**options)


# Ordered classes


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(-20, 20, allow_subnormal=False), min_size=5, max_size=5), min_size=1, max_size=8))
def test_class_probabilities_sum_to_one_and_the_loss_is_their_log(logits):
    logits, task = torch.tensor(logits), group()
    probabilities = task.probabilities(logits)
    np.testing.assert_allclose(probabilities.sum(dim=1).numpy(), 1, atol=1e-5)
    for k in range(6):
        losses = task.loss(logits, torch.full((len(logits),), k))
        torch.testing.assert_close((-losses).exp(), probabilities[:, k], rtol=1e-4, atol=1e-6)


def test_continuation_ratios_by_hand():
    """sigmoid 1/2 each: stop at the first with 1/2, go on to the second with 1/2, and so on."""
    assert group().probabilities(torch.zeros(1, 5))[0].tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 32])


def test_a_row_trains_only_the_questions_that_its_class_poses():
    logits = torch.zeros(1, 5, requires_grad=True)
    group().loss(logits, torch.tensor([2])).sum().backward()
    assert (logits.grad[0, :2] < 0).all()
    assert logits.grad[0, 2] > 0
    assert (logits.grad[0, 3:] == 0).all()


def test_groups_encode_and_decode_in_their_order():
    targets = group().encode(pd.Series(["senior", "", "baby"]), "m")
    assert targets.tolist() == [5, -1, 0]
    assert group().decode(np.eye(6)[targets[[0, 2]]]) == ["senior", "baby"]
    with pytest.raises(UserError, match=r"row 0 has group = 'teen'"):
        group().encode(pd.Series(["teen"]), "m")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_quadratic_kappa_is_scikit_learns(pairs):
    truth, answers = np.array(pairs).T
    ours = ordered.quadratic_kappa(truth, np.eye(5)[answers])
    if len({*truth.tolist(), *answers.tolist()}) == 1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(truth, answers, weights="quadratic", labels=range(5)))


def test_quadratic_kappa_by_hand():
    """One answer is one class off, one two: 1 + 4 = 5 squared classes, where chance with these shares expects 42 / 6 = 7."""
    truth, answers = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    assert ordered.quadratic_kappa(truth, np.eye(3)[answers]) == pytest.approx(1 - 5 / 7)
    assert ordered.within_one(truth, np.eye(3)[answers]) == pytest.approx(5 / 6)


def test_answers_that_are_all_within_one_class_have_an_interval_all_the_same():
    predictions = made_predictions([0, 1, 2] * 10, [0, 1, 1] * 10)
    predictions.meta["kinds"] = {"emotion": "ordered"}
    rows = task_rows(predictions, "emotion")
    found = scores(rows, np.ones(30, bool))["within_one"]
    assert found["value"] == found["high"] == 1
    assert 0.8 < found["low"] < 1


def test_within_one_by_hand():
    assert ordered.within_one(np.array([0, 1, 5, 3]), np.eye(6)[[1, 1, 3, 4]]) == 0.75


def test_ordinal_scores_have_the_names_they_declare():
    assert tuple(group().metrics(np.array([0, 3]), np.eye(6)[[0, 4]])) == group().metric_names


# Tags


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sets(st.sampled_from(TAGS)), min_size=1, max_size=10))
def test_tags_round_trip(rows):
    task = pattern()
    targets = task.encode(pd.Series(["|".join(sorted(row)) or "none" for row in rows]), "m")
    words = task.decode(tags.many_hot(targets, 3).astype(float))
    assert [set(word.split("|")) - {"none"} for word in words] == rows


def test_none_is_an_annotation_and_an_empty_cell_is_not():
    assert pattern().encode(pd.Series(["none", "", None, "dotted | floral"], dtype=object), "m").tolist() == [0, -1, -1, 5]


def test_an_undeclared_tag_names_file_and_row():
    with pytest.raises(UserError, match=r"m\.parquet: row 1 has pattern = 'floral\|plaid', and 'plaid' is no tag"):
        pattern().encode(pd.Series(["floral", "floral|plaid"]), "m.parquet")


def test_the_loss_is_binary_cross_entropy_a_sample():
    logits, targets = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 5, 7, 2])
    truth = torch.tensor([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]]).float()
    expected = [F.binary_cross_entropy_with_logits(row, t).item() for row, t in zip(logits, truth, strict=True)]
    assert pattern().loss(logits, targets).tolist() == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.3001, 0.9])), min_size=1, max_size=30))
def test_average_precision_is_scikit_learns(pairs):
    truth, probabilities = np.array([t for t, _ in pairs]), np.array([p for _, p in pairs])
    ours = tags.average_precision(truth, probabilities)
    assert np.isnan(ours) if not truth.any() else ours == pytest.approx(average_precision_score(truth, probabilities))


def test_map_by_hand():
    """The first tag's rows stand on places 1 and 3, the second's on place 3."""
    truth = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], bool)
    probabilities = np.array([[0.9, 0.5], [0.8, 0.2], [0.7, 0.4], [0.1, 0.1]])
    assert tags.average_precisions(truth, probabilities) == pytest.approx([(1 + 2 / 3) / 2, 1 / 3])
    assert tags.mean_average_precision(truth, probabilities) == pytest.approx(7 / 12)


def test_map_leaves_out_tags_that_no_row_has():
    truth, probabilities = np.array([[1, 0], [0, 0]], bool), np.array([[0.9, 0.4], [0.1, 0.6]])
    assert tags.mean_average_precision(truth, probabilities) == 1
    assert tags.micro_f1(truth, probabilities >= 0.5) == pytest.approx(2 / 3)


def test_a_row_is_right_only_in_every_tag():
    truth = np.array([[True, False], [True, True], [False, False]])
    chosen = np.array([[True, False], [True, False], [False, False]])
    assert tags.exact(truth, chosen).tolist() == [True, False, True]


def test_tags_that_are_all_right_have_no_interval_from_draws_that_do_not_differ():
    truth = np.eye(3, dtype=bool)
    rows = TagRows(pd.DataFrame(), ["a", "b", "c"], truth, truth * 0.8, truth, np.ones(3, bool), np.arange(3))
    found = tag_scores(rows, np.ones(3, bool))
    assert [found[name]["value"] for name in ("map", "micro_f1", "exact")] == [1, 1, 1]
    assert found["map"]["low"] is None
    assert found["micro_f1"]["low"] is None
    assert 0 < found["exact"]["low"] < 1


def test_tag_scores_have_the_names_they_declare():
    assert tuple(pattern().metrics(np.array([5, 0]), np.full((2, 3), 0.5))) == pattern().metric_names


@pytest.mark.parametrize("classes", [["a|b", "c"], ["none", "c"], ["a", "a"], [f"t{i}" for i in range(63)]])
def test_tags_that_cannot_be_told_apart_are_refused(classes):
    with pytest.raises(ValueError, match=r"tag|distinct|62"):
        multilabel.Config(classes=classes)

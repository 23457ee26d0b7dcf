"""Variants over seeds on the same rows: scores, contrasts and verdicts known by hand; what is not comparable is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_predictions import CLASSES, made_predictions
from scipy import stats

from caer.comparison import claims, contrasts, scores
from caer.comparison.answers import Answers, align
from caer.comparison.contrasts import Pair
from caer.evaluation import metrics
from caer.evaluation.predictions import Predictions
from caer.evaluation.statistics import Estimate, Plan
from preprocessing.errors import UserError


def made(targets: list[int], answers: list[int], **changes) -> Predictions:
    predictions = made_predictions(targets, answers, **changes)
    return replace(predictions, meta={**predictions.meta, "protocol_hash": "p" * 64, "split": "test"})


def right_or_wrong(**right: list[list[int]]) -> Answers:
    """Variants over seeds 1, 2, ... whose answers are right where a 1 stands; each row is its own group, each target class 0."""
    count = len(next(iter(right.values()))[0])
    probabilities = {
        name: {seed: np.where(np.array(row)[:, None], [0.8, 0.2], [0.3, 0.7]) for seed, row in enumerate(rows, 1)}
        for name, rows in right.items()
    }
    return Answers("emotion", ["yes", "no"], np.zeros(count, int), np.arange(count), probabilities)


def contrast(answers: Answers, a: str = "a", b: str = "b") -> contrasts.Contrast:
    return contrasts.contrasts({"emotion": answers}, [Pair(f"{a} - {b}", a, b, "emotion")])[0]


def test_rows_are_brought_into_one_order():
    first = made([0, 1, 2, 1], [0, 1, 2, 2])
    shuffled = Predictions(first.rows.iloc[[2, 0, 3, 1]].reset_index(drop=True), first.meta)
    answers = align({"a": {1: first}, "b": {1: shuffled}}, "emotion")
    np.testing.assert_array_equal(answers.probabilities["a"][1], answers.probabilities["b"][1])
    assert answers.targets.tolist() == [0, 1, 2, 1]
    assert answers.variants == ["a", "b"]


def test_mean_and_sd_over_seeds():
    answers = align(
        {"a": {s: made([0, 1, 2, 1], row) for s, row in enumerate([[0, 1, 2, 1], [0, 1, 2, 2], [0, 1, 1, 2]])}}, "emotion"
    )
    scored = scores.score(answers, "a")
    assert scored.mean["accuracy"] == pytest.approx(np.mean([1, 0.75, 0.5]))
    assert scored.sd["accuracy"] == pytest.approx(0.25)
    expected = [metrics.macro_f1(answers.targets, answers.probabilities["a"][s]) for s in range(3)]
    assert scored.mean["macro_f1"] == pytest.approx(np.mean(expected))
    assert scored.sd["macro_f1"] == pytest.approx(np.std(expected, ddof=1))
    assert scored.confusion.sum() == 12
    assert scored.confusion.trace() == 9
    assert sum(row["count"] for row in scored.bins) == 12
    assert set(scored.by_seed) == {0, 1, 2}
    assert len(scored.class_f1) == len(CLASSES)


def test_one_seed_has_no_sd_and_a_perfect_variant_the_exact_bound():
    scored = scores.score(right_or_wrong(a=[[1] * 20]), "a")
    assert math.isnan(scored.sd["accuracy"])
    assert scored.intervals["accuracy"].low == pytest.approx(stats.beta.ppf(0.025, 20, 1))
    assert scored.intervals["macro_f1"].low is None


def test_answers_without_probabilities_have_no_calibration():
    answers = replace(right_or_wrong(a=[[1, 0, 1]], b=[[1, 1, 0]]), unscaled=frozenset({"a"}))
    scored = scores.score(answers, "a")
    assert scored.mean["accuracy"] == pytest.approx(2 / 3)
    assert all(math.isnan(scored.mean[name]) for name in scores.CALIBRATION)
    assert scored.bins == []
    assert "nll" not in contrast(answers).differences


def test_the_interval_of_a_difference_is_that_of_the_multinomial():
    # a alone is right on 30 rows, b alone on 10, of 200: 200 * difference is X - Y of a multinomial(200; 0.15, 0.05, 0.8).
    a, b = np.repeat([1, 0, 1], [30, 10, 160]), np.repeat([0, 1, 1], [30, 10, 160])
    answers = right_or_wrong(a=[a.tolist()], b=[b.tolist()])
    gap = contrasts.difference(answers, "a", "b", plan=Plan(draws=50_000))
    draws = np.random.default_rng(0).multinomial(200, [0.15, 0.05, 0.8], size=200_000)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / 200, [0.025, 0.975])
    assert gap.value == pytest.approx(0.1)
    assert (gap.low, gap.high) == (pytest.approx(low, abs=0.0051), pytest.approx(high, abs=0.0051))


def test_p_and_mcnemar_of_enumerated_signs():
    # Over the seeds, rows differ by +1, +1, +1, +1/2 and 0. Of 16 sign patterns those with |sum| >= 3.5 are the two of one sign.
    a = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 1]]
    b = [[0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    found = contrast(right_or_wrong(a=a, b=b))
    assert found.p == pytest.approx(2 / 16)
    assert found.mcnemar == {1: pytest.approx(2 / 16), 2: pytest.approx(2 / 8)}
    assert found.discordant == pytest.approx(7 / 10)
    assert found.differences["accuracy"].value == pytest.approx(0.7)


def test_no_difference_is_a_zero_with_p_one():
    found = contrast(right_or_wrong(a=[[1, 0, 1, 1]], b=[[1, 0, 1, 1]]))
    assert found.differences["accuracy"] == Estimate(0, 0, 0)
    assert found.p == found.holm == found.mcnemar[1] == 1
    assert found.smallest_detectable == 0


def test_swapping_the_pair_changes_the_sign_and_nothing_else():
    rng = np.random.default_rng(5)
    answers = right_or_wrong(a=rng.integers(0, 2, (3, 60)).tolist(), b=rng.integers(0, 2, (3, 60)).tolist())
    forth, back = contrast(answers, "a", "b"), contrast(answers, "b", "a")
    assert forth.p == back.p
    assert forth.smallest_detectable == pytest.approx(back.smallest_detectable)
    for name in contrasts.METRICS:
        there, other = forth.differences[name], back.differences[name]
        assert there.value == pytest.approx(-other.value)
        assert there.low <= there.value <= there.high
    means = [scores.score(answers, name).mean["macro_f1"] for name in "ab"]
    assert forth.differences["macro_f1"].value == pytest.approx(means[0] - means[1])


def test_holm_over_the_declared_contrasts():
    # By enumeration p = 2/16, 2/4 and 1; times 3, 2 and 1.
    answers = right_or_wrong(a=[[1, 1, 1, 1]], b=[[0, 0, 0, 0]], c=[[1, 1, 0, 0]], d=[[1, 1, 1, 1]])
    pairs = [Pair(f"a{other}", "a", other, "emotion") for other in "bcd"]
    found = contrasts.contrasts({"emotion": answers}, pairs)
    assert [c.p for c in found] == [0.125, 0.5, 1.0]
    assert [c.holm for c in found] == [0.375, 1.0, 1.0]
    assert contrasts.contrasts({"emotion": answers}, []) == []


def test_only_common_seeds_are_paired():
    answers = right_or_wrong(a=[[1, 1, 0], [1, 1, 1], [0, 0, 0]], b=[[1, 0, 0]])
    found = contrast(answers)
    assert (found.seeds, found.left_out) == ([1], [2, 3])
    assert found.differences["accuracy"].value == pytest.approx(1 / 3)
    apart = replace(answers, probabilities={"a": {1: answers.probabilities["a"][1]}, "b": {2: answers.probabilities["b"][1]}})
    with pytest.raises(UserError, match=r"a \(seeds 1\) and b \(seeds 2\) have no seed in common"):
        contrast(apart)


@pytest.mark.parametrize(
    ("low", "high", "margin", "kind", "word"),
    [
        (0.011, 0.05, 0.01, "greater", "supported"),
        (0.01, 0.05, 0.01, "greater", "undecided"),
        (-0.02, 0.01, 0.01, "greater", "undecided"),
        (-0.02, 0.009, 0.01, "greater", "contradicted"),
        (0.0, 0.0, 0.0, "greater", "undecided"),
        (-0.009, 0.009, 0.01, "equivalent", "supported"),
        (-0.01, 0.009, 0.01, "equivalent", "undecided"),
        (-0.02, 0.0, 0.01, "equivalent", "undecided"),
        (0.011, 0.03, 0.01, "equivalent", "contradicted"),
        (-0.03, -0.011, 0.01, "equivalent", "contradicted"),
        (-0.03, -0.01, 0.01, "equivalent", "undecided"),
        (None, None, 0.01, "greater", "undecided"),
    ],
)
def test_verdicts_at_their_edges(low, high, margin, kind, word):
    assert claims.verdict(Estimate(0.0, low, high), margin, kind) == word


def test_fewer_than_five_seeds_screen():
    rng = np.random.default_rng(2)
    a, b = (rng.random((5, 400)) < [[0.9]]).astype(int), (rng.random((5, 400)) < [[0.6]]).astype(int)
    five = claims.judge(right_or_wrong(a=a.tolist(), b=b.tolist()), "a", "b", margin=0.1)
    assert str(five) == "supported"
    four = claims.judge(right_or_wrong(a=a[:4].tolist(), b=b.tolist()), "a", "b", margin=0.1)
    assert str(four) == "supported (screening)"
    assert four.seeds == [1, 2, 3, 4]


def test_equivalence_is_decided_by_the_ninety_percent_interval():
    rng = np.random.default_rng(3)
    answers = right_or_wrong(a=rng.integers(0, 2, (5, 300)).tolist(), b=rng.integers(0, 2, (5, 300)).tolist())
    narrow = claims.judge(answers, "a", "b", margin=0.5, kind="equivalent")
    wide = claims.judge(answers, "a", "b", margin=0.5)
    assert (narrow.level, wide.level) == (0.90, 0.95)
    assert wide.difference.low < narrow.difference.low < narrow.difference.high < wide.difference.high
    assert str(narrow) == "supported"


def test_equal_answers_prove_an_equivalence_only_where_they_are_many():
    def verdict(rows: int, metric: str = "accuracy") -> claims.Verdict:
        same = [[1, 0] * (rows // 2)] * 5
        return claims.judge(right_or_wrong(a=same, b=same), "a", "b", margin=0.01, kind="equivalent", metric=metric)

    few, many = verdict(20), verdict(400)
    assert (str(few), str(many)) == ("undecided", "supported")
    assert few.difference.high == pytest.approx(1 - 0.05 ** (1 / 20))
    assert few.difference.low == -few.difference.high
    assert str(verdict(400, "macro_f1")) == "undecided"


def test_groups_make_the_interval_longer():
    a, b = np.tile([1, 1, 1, 0], 25), np.tile([0, 1, 1, 1], 25)
    single = right_or_wrong(a=[np.sort(a).tolist()], b=[np.sort(b)[::-1].tolist()])
    grouped = replace(single, codes=np.arange(100) // 10)
    lone, whole = (contrasts.difference(x, "a", "b") for x in (single, grouped))
    assert whole.high - whole.low > 1.5 * (lone.high - lone.low)


def change(predictions: Predictions, **meta) -> Predictions:
    return replace(predictions, meta={**predictions.meta, **meta})


def test_what_is_not_comparable_is_refused_with_the_reason():
    one = made([0, 1, 2, 1], [0, 1, 2, 1])
    fewer, moved = made([0, 1, 2], [0, 1, 2]), made([0, 1, 2, 2], [0, 1, 2, 1])
    cases = {
        "1 rows are only in the first, 0 only in the second": fewer,
        "1 rows have other targets": moved,
        "the split rule behind them": change(one, protocol_hash="q" * 64),
        "one judges split test, the other val": change(one, split="val", protocol_hash="q" * 64),
        r"tasks and classes are emotion \(smile, sad, angry\) and emotion \(a, b, c\)": made(
            [0, 1, 2, 1], [0, 1, 2, 1], classes=["a", "b", "c"]
        ),
    }
    for reason, other in cases.items():
        with pytest.raises(UserError, match=f"a seed 1 and b seed 2 cannot stand in one table: .*{reason}.*protocol pppp"):
            align({"a": {1: one}, "b": {2: other}}, "emotion")
    with pytest.raises(UserError, match="no predictions to compare"):
        align({}, "emotion")


def test_unknown_names_are_listed():
    answers = right_or_wrong(a=[[1, 0]], b=[[0, 1]])
    with pytest.raises(UserError, match="unknown variant 'c'; known: a, b"):
        contrast(answers, "a", "c")
    with pytest.raises(UserError, match="unknown task 'age'; known: emotion"):
        contrasts.contrasts({"emotion": answers}, [Pair("x", "a", "b", "age")])
    with pytest.raises(UserError, match="unknown metric 'f1'; known: accuracy"):
        claims.judge(answers, "a", "b", 0.0, metric="f1")

"""Review decisions: append-only, later lines win, re-applied."""

import pytest

from preprocessing.decisions import FILE, Decision, Decisions, append_decision, apply_decisions, read_decisions
from preprocessing.errors import UserError

A, B = "a" * 64, "b" * 64
ROWS = [
    {"sample_id": A, "status": "ok", "reason": "", "label_t": "x", "label_n": 1.0},
    {"sample_id": B, "status": "ok", "reason": ""},
]
TYPES = {"t": "string", "n": "double"}


def decided(tmp_path, *decisions: Decision) -> list[dict]:
    for decision in decisions:
        append_decision(tmp_path, decision)
    return apply_decisions(ROWS, read_decisions(tmp_path), TYPES)


@pytest.mark.parametrize(("given", "kept"), [(3.0, "3"), (2.5, "2.5"), (20230117.0, "20230117")])
def test_a_number_for_a_task_of_names_is_written_whole(tmp_path, given, kept):
    first, _ = decided(tmp_path, Decision(sample_id=A, action="relabel", task="t", label=given))
    assert first["label_t"] == kept


@pytest.mark.parametrize("given", ["nan", "inf", "4_6", "old"])
def test_what_is_no_number_is_refused_for_a_task_of_numbers(tmp_path, given):
    with pytest.raises(UserError, match="its labels are numbers"):
        decided(tmp_path, Decision(sample_id=A, action="relabel", task="n", label=given))


def test_reject_accept_relabel(tmp_path):
    first, second = decided(
        tmp_path,
        Decision(sample_id=A, action="reject", reason="no face"),
        Decision(sample_id=A, action="relabel", task="t", label="y"),
        Decision(sample_id=A, action="relabel", task="n", label="2.5"),
        Decision(sample_id=B, action="reject"),
        Decision(sample_id=B, action="accept"),
    )
    assert first == {"sample_id": A, "status": "rejected", "reason": "no face", "label_t": "y", "label_n": 2.5}
    assert second == ROWS[1]
    assert ROWS[0]["status"] == "ok"


def test_a_label_can_be_taken_away(tmp_path):
    first, _ = decided(tmp_path, Decision(sample_id=A, action="relabel", task="t", label=None))
    assert first["label_t"] is None


def test_a_face_can_be_chosen_and_taken_back(tmp_path):
    append_decision(tmp_path, Decision(sample_id=A, action="face", box=(1, 2, 3, 4)))
    assert read_decisions(tmp_path).boxes == {A: (1, 2, 3, 4)}
    append_decision(tmp_path, Decision(sample_id=A, action="face"))
    assert read_decisions(tmp_path).boxes == {}


def test_a_line_cut_short_by_a_kill_is_no_line(tmp_path):
    append_decision(tmp_path, Decision(sample_id=A, action="reject"))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"sample_id": "bb')
    assert set(read_decisions(tmp_path).rejected) == {A}


def test_a_line_after_one_cut_short_is_not_lost(tmp_path):
    (tmp_path / FILE).write_text('{"sample_id": "bb')
    append_decision(tmp_path, Decision(sample_id=A, action="reject"))
    assert set(read_decisions(tmp_path).rejected) == {A}


@pytest.mark.parametrize(
    "line",
    ['{"sample_id": "x", "action": "reject"}', '{"action": "reject"}', "nonsense", f'{{"sample_id": "{A}", "action": "eat"}}'],
)
def test_wrong_lines_are_named(tmp_path, line):
    (tmp_path / FILE).write_text(f"\n{line}\n")
    with pytest.raises(UserError, match="line 2"):
        read_decisions(tmp_path)


def test_labels_must_fit_the_dataset(tmp_path):
    with pytest.raises(UserError, match="task 'u'; the dataset has n, t"):
        decided(tmp_path, Decision(sample_id=A, action="relabel", task="u", label="y"))
    with pytest.raises(UserError, match="numbers"):
        apply_decisions(ROWS, Decisions(labels={A: {"n": "many"}}), TYPES)


def test_no_file_is_no_decision(tmp_path):
    assert read_decisions(tmp_path).samples() == set()


def test_undo_takes_back_the_line_that_it_names(tmp_path):
    for decision in (
        Decision(sample_id=A, action="reject", key="1"),
        Decision(sample_id=A, action="relabel", task="t", label="y", key="2"),
        Decision(sample_id=A, action="relabel", task="t", label="z", key="3"),
        Decision(sample_id=A, action="undo", key="3"),
        Decision(sample_id=A, action="undo", key="1"),
        Decision(sample_id=A, action="undo", key="unknown"),
    ):
        append_decision(tmp_path, decision)
    held = read_decisions(tmp_path)
    assert (held.rejected, held.labels) == ({}, {A: {"t": "y"}})
    assert [decision.key for decision in held.history[A]] == ["2"]


def test_a_line_sent_twice_counts_once(tmp_path):
    for key in ("1", "1", "2"):
        append_decision(tmp_path, Decision(sample_id=A, action="reject", key=key))
    append_decision(tmp_path, Decision(sample_id=A, action="undo", key="2"))
    append_decision(tmp_path, Decision(sample_id=A, action="undo", key="1"))
    held = read_decisions(tmp_path)
    assert (held.rejected, held.history) == ({}, {})


def test_undo_without_a_key_is_no_decision():
    with pytest.raises(ValueError, match="needs the key"):
        Decision(sample_id=A, action="undo")

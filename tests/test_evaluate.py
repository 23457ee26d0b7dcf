"""Evaluation: made-up predictions with scores known by hand, and a tiny trained run end to end."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from made_manifest import CLASSES, edit_manifest, made_config, made_manifest
from made_predictions import made_predictions

from caer.engine.run import fit_stage
from caer.evaluation import ceilings, metrics, subgroups, summary
from caer.evaluation.console import summary_lines
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.ledger import read_ledger, record_look
from caer.evaluation.predictions import (
    Predictions,
    group_names,
    read_predictions,
    same_origin,
    task_rows,
    write_predictions,
)
from caer.predict.confidence import fitted_temperatures
from preprocessing.demo.world import EMOTIONS, HIDDEN, PRESETS, draw_world
from preprocessing.errors import UserError

# ---- made-up predictions ----


def test_scores_and_confusion_by_hand():
    predictions = made_predictions([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2])
    task = summary.summarize(predictions, None)["emotion"]
    assert task["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert task["rows"]["all"]["accuracy"]["value"] == pytest.approx(4 / 6)
    assert task["rows"]["all"]["macro_f1"]["value"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    angry = task["per_class"][2]
    assert (angry["class"], angry["support"], angry["predicted"]) == ("angry", 1, 2)
    assert angry["precision"]["value"] == pytest.approx(1 / 2)
    # One row of the class, and it is right: the bootstrap sees no doubt, the exact interval does.
    assert angry["recall"]["value"] == 1.0
    assert angry["recall"]["low"] == pytest.approx(0.025)
    json.dumps(task, allow_nan=False)


def test_rows_without_a_label_are_no_part_of_a_task():
    task = task_rows(made_predictions([0, -1, 1], [0, 0, 0]), "emotion")
    assert task.targets.tolist() == [0, 1]
    assert task.correct().tolist() == [1.0, 0.0]


def test_faceless_rows_stay_in_the_denominator():
    predictions = made_predictions([0, 0, 0, 0], [0, 0, 1, 1], status=["ok", "ok", "ok", "no_face"])
    task = summary.summarize(predictions, None)["emotion"]
    assert (task["rows"]["all"]["n"], task["rows"]["detected"]["n"]) == (4, 3)
    assert task["rows"]["all"]["accuracy"]["value"] == 0.5
    assert task["rows"]["detected"]["accuracy"]["value"] == pytest.approx(2 / 3)


def test_branches_side_by_side_and_the_paired_difference():
    n = 40
    targets = [0] * n
    face = [0] * 20 + [1] * 19 + [-1]  # the last row has no face: the class prior answers, which is class 0
    context = [1] * 25 + [0] * 15
    fused = [0] * 30 + [1] * 10
    predictions = made_predictions(targets, fused, face=face, context=context, gates=[(0.9, 0.1)] * (n - 1) + [(0.0, 0.4)])
    branches = summary.summarize(predictions, None)["emotion"]["branches"]
    side = branches["all"]
    assert (side["face"]["value"], side["context"]["value"], side["fused"]["value"]) == (21 / 40, 15 / 40, 30 / 40)
    assert side["fused_minus"]["face"]["value"] == pytest.approx(9 / 40)
    assert side["fused_minus"]["face"]["low"] > 0
    assert branches["better"] == "face"
    assert 0 < side["p_better"] < 0.05


def test_the_better_branch_is_named_by_val_not_by_the_judged_rows():
    judged = made_predictions([0] * 10, [0] * 10, face=[0] * 10, context=[1] * 10)
    val = made_predictions([0] * 10, [0] * 10, face=[1] * 10, context=[0] * 10)
    branches = summary.summarize(judged, val)["emotion"]["branches"]
    assert (branches["better"], branches["chosen_on"]) == ("context", "val")


def test_one_branch_has_nothing_to_compare_and_no_gates():
    task = summary.summarize(made_predictions([0, 1], [0, 1], face=[0, 1]), None)["emotion"]
    assert task["branches"] is None
    assert task["gates"] is None


def test_gates_by_class_leave_faceless_rows_out():
    gates = [(0.8, 0.2), (0.6, 0.6), (0.2, 0.8), (0.0, 0.5)]
    predictions = made_predictions([0, 0, 1, 1], [0, 0, 1, 1], gates=gates, status=["ok", "ok", "ok", "no_face"])
    table = summary.summarize(predictions, None)["emotion"]["gates"]
    assert table["n"] == 3
    assert [row["group"] for row in table["by_class"]] == ["smile", "sad", "all"]
    assert table["by_class"][0]["context_share"]["value"] == pytest.approx((0.2 + 0.5) / 2)
    assert table["by_class"][1]["context_mean"] == pytest.approx(0.8)


def test_gates_per_class_are_averaged():
    predictions = made_predictions([0], [0], gates=[(0.2, 0.4, 0.6, 0.1, 0.1, 0.4)])  # type: ignore[list-item]
    np.testing.assert_allclose(task_rows(predictions, "emotion").gates, [[0.4, 0.2]])


def test_temperature_comes_from_val_and_heals_test():
    rng = np.random.default_rng(0)
    right = rng.random(600) < 0.6  # 60% right at 95% confidence: far too sure
    answers = np.where(right, 0, 1).tolist()
    judged = made_predictions([0] * 600, answers, confidence=0.95)
    val = made_predictions([0] * 600, answers[::-1], confidence=0.95)
    calibration = summary.summarize(judged, val)["emotion"]["calibration"]
    assert calibration["fitted_on"] == "val"
    assert calibration["temperature"] > 2
    assert calibration["before"]["ece"] == pytest.approx(0.95 - right.mean())
    assert calibration["after"]["ece"] < 0.05
    assert calibration["after"]["nll"] < calibration["before"]["nll"]


def test_val_is_cross_fitted_on_itself_and_absent_val_gives_no_temperature():
    predictions = made_predictions([0, 1, 0, 1] * 10, [0, 1, 1, 1] * 10, confidence=0.9)
    assert summary.summarize(predictions, predictions)["emotion"]["calibration"]["fitted_on"] == "val, cross-fitted over groups"
    assert summary.summarize(predictions, None)["emotion"]["calibration"]["temperature"] is None


def test_groups_are_clips_else_photos():
    rows = made_predictions([0] * 4, [0] * 4, groups=["a", "a", "", ""], images=["1", "2", "3", "3"]).rows
    names = group_names(rows)
    assert names[0] == names[1]
    assert names[2] == names[3]
    assert len(set(names)) == 2


def test_prediction_files_round_trip(tmp_path):
    predictions = made_predictions([0, -1, 2], [0, 1, 2], face=[0, -1, 2], gates=[(0.5, 0.25), None, (1.0, 0.0)])
    path = tmp_path / "predictions.parquet"
    write_predictions(predictions, path)
    found = read_predictions(path)
    assert found.tasks == predictions.tasks
    assert found.row_hash == predictions.row_hash
    assert found.rows.to_dict("list").keys() == predictions.rows.to_dict("list").keys()
    for column in ("prob_emotion", "face_prob_emotion", "context_prob_emotion", "gates_emotion", "target_emotion"):
        assert found.rows[column].tolist() == predictions.rows[column].tolist()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no such file"), (b"junk", "cannot be read as Parquet"), ("foreign", "schema_version None is unknown")],
)
def test_foreign_prediction_files_are_refused_in_one_line(tmp_path, content, expected):
    path = tmp_path / "predictions.parquet"
    if content == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    elif content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_predictions(path)


# ---- drawn data ----


def drawn_truth(count: int) -> pd.DataFrame:
    """Truth of photos that nobody has drawn, as `read_truth` gives it."""
    random = np.random.default_rng(7)
    worlds = [vars(draw_world(PRESETS["demo_v1"], random)) for _ in range(count)]
    truth = pd.DataFrame(worlds).assign(preset="demo_v1", path=[f"photos/{i}.jpg" for i in range(count)])
    truth["reliable"] = ~truth["stage"] & (truth["face_emotion"] != HIDDEN)
    return truth.set_index("path")


def test_demo_facts_give_ceilings_and_the_gate_on_unreliable_faces():
    truth = drawn_truth(200)
    hidden = truth["face_emotion"] == HIDDEN
    gates = [(0.0, 0.5) if h else (0.8, 0.2) if r else (0.4, 0.6) for h, r in zip(hidden, truth["reliable"], strict=True)]
    status = ["no_face" if h else "ok" for h in hidden]
    targets = [EMOTIONS.index(name) for name in truth["emotion"]]
    predictions = made_predictions(targets, targets, classes=list(EMOTIONS), gates=gates, status=status)
    facts = ceilings.demo_facts(task_rows(predictions, "emotion"), "emotion", truth.sample(frac=1, random_state=0))
    known = facts["ceilings"]["expected"]
    assert known["context"] < known["both"] < known["both_with_cue"] < 1
    gate = facts["gate_reliability"]
    assert gate["unreliable"]["value"] == pytest.approx(0.6)
    assert gate["difference"]["value"] == pytest.approx(0.4)
    assert gate["n_reliable"] + gate["n_unreliable"] == status.count("ok")


def test_rows_that_were_not_drawn_have_no_demo_facts():
    predictions = made_predictions([0, 1], [0, 1], images=["photos/0.jpg", "elsewhere.jpg"])
    assert ceilings.demo_facts(task_rows(predictions, "emotion"), "emotion", drawn_truth(3)) == {}


# ---- subgroups and ledger ----


def test_subgroups_by_name_and_by_quarters():
    table = pd.DataFrame({"label_race": ["a", "b", None, ""], "score": [0.1, 0.2, 0.3, 0.4], "box": [[1], [2], [3], [4]]})
    assert subgroups.find_column("race", table).tolist() == ["a", "b", "(missing)", "(missing)"]
    with pytest.raises(UserError, match="unknown --by column 'box'; known: label_race, score"):
        subgroups.find_column("box", table)
    quarters = subgroups.subgroup_names(pd.Series([*range(100), np.nan]))
    assert quarters.value_counts().drop("(missing)").between(24, 26).all()
    assert sorted(quarters.unique())[1].startswith("1: 0 to ")
    with pytest.raises(UserError, match="60 different values; give a column with at most 40"):
        subgroups.subgroup_names(pd.Series([f"name{i}" for i in range(60)], name="image"))


def test_subgroup_sizes_add_up():
    task = task_rows(made_predictions([0, 0, 1, 1], [0, 1, 1, 1]), "emotion")
    names = pd.Series(["x", "y", "x"], index=["id0000", "id0001", "id0002"])
    found = {row["value"]: row for row in subgroups.by_column(task, names)}
    assert {name: row["n"] for name, row in found.items()} == {"x": 2, "y": 1, "(missing)": 1}
    assert list(found)[-1] == "(missing)"
    assert found["y"]["accuracy"]["value"] == 0.0


def test_a_column_without_values_on_a_tasks_rows_makes_no_subgroups():
    task = task_rows(made_predictions([0, 1], [0, 1]), "emotion")
    assert subgroups.by_column(task, pd.Series(["x"], index=["of another source"])) == []


def test_the_ledger_counts_looks_at_the_same_split(tmp_path):
    first = record_look(tmp_path, {"split": "test", "scores": {}})
    record_look(tmp_path, {"split": "private_test", "scores": {}})
    second = record_look(tmp_path, {"split": "test", "scores": {"emotion/accuracy": 0.5}})
    assert (first["earlier_looks"], second["earlier_looks"]) == (0, 1)
    assert len(read_ledger(tmp_path)) == 3
    (tmp_path / "ledger.jsonl").write_text("no json\n")
    with pytest.raises(UserError, match="not a ledger"):
        read_ledger(tmp_path)


# ---- a trained run ----


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run of three stages; (run folder, manifest)."""
    root = tmp_path_factory.mktemp("trained")
    manifest = made_manifest(root / "data", {"train": 48, "val": 18, "test": 22}, no_face_every=6, group_of=2)
    config = made_config(manifest, holdout_fraction=0.3).model_copy(update={"runs": root / "runs"})
    for stage in (1, 2, 3):
        fit_stage(config, stage)
    return config.run_folder, manifest


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run without evaluations."""
    return shutil.copytree(trained[0], tmp_path / "runs" / "made" / "seed3")


def test_every_labelled_row_is_judged_and_the_files_agree(run):
    evaluation = evaluate_run(run, "test", by=["group", "emotion"])
    folder = run / "eval" / "test"
    assert evaluation.folder == folder
    found = read_predictions(folder / "predictions.parquet")
    assert len(found.rows) == 22
    assert found.rows["answered_by"].value_counts().to_dict() == {"model": 18, "context": 4}
    written = json.loads((folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(evaluation.metrics))
    task = task_rows(found, "emotion")
    assert written["tasks"]["emotion"]["rows"]["all"]["accuracy"]["value"] == metrics.accuracy(task.targets, task.probabilities)
    assert [row["n"] for row in written["tasks"]["emotion"]["subgroups"]["group"]] == [2] * 11
    assert {row["value"] for row in written["tasks"]["emotion"]["subgroups"]["emotion"]} == set(CLASSES)
    assert {path.name for path in folder.glob("*.png")} >= {
        "confusion_emotion.png",
        "reliability_emotion.png",
        "gates_emotion.png",
    }
    assert (folder / "report.html").stat().st_size > 50_000
    assert (folder / "samples.html").read_text().count('class="sample"') == 18  # the rows with a face
    assert (folder / "curves_emotion.png").is_file()
    assert any("fused" in line for line in summary_lines(evaluation))
    np.testing.assert_allclose(np.array(found.rows["prob_emotion"].tolist()).sum(1), 1, atol=1e-6)


def test_faceless_rows_are_answered_from_the_context_with_a_closed_face_gate(run):
    rows = evaluate_run(run, "test", report=False).predictions.rows
    alone = rows[rows["answered_by"] == "context"]
    assert (alone["status"] == "no_face").all()
    for face, gates in zip(alone["face_prob_emotion"], alone["gates_emotion"], strict=True):
        assert face is None
        assert gates[0] == 0
        assert gates[1] > 0


def test_a_face_only_stage_answers_faceless_rows_with_the_class_shares_of_training(run):
    evaluation = evaluate_run(run / "stage1", "test")
    assert evaluation.folder == run / "stage1" / "eval" / "test"
    rows, meta = evaluation.predictions.rows, evaluation.predictions.meta
    prior = rows[rows["answered_by"] == "prior"]
    assert len(prior) == 4
    assert (prior["status"] == "no_face").all()
    counts = json.loads((run / "stage1" / "provenance.json").read_text())["class_counts"]["emotion"]
    np.testing.assert_allclose(meta["priors"]["emotion"], np.array(counts) / sum(counts))
    assert all(row == meta["priors"]["emotion"] for row in prior["prob_emotion"])
    assert evaluation.metrics["tasks"]["emotion"]["calibration"]["n"] == 18


def test_a_context_stage_looks_at_faceless_rows_too(run):
    rows = evaluate_run(run / "stage2", "val", report=False).predictions.rows
    assert (rows["answered_by"] == "model").all()
    assert rows["face_prob_emotion"].isna().all()


def test_only_other_splits_than_val_reach_the_ledger_and_each_look_counts(run):
    assert evaluate_run(run, "val", report=False).metrics["looks"] is None
    assert read_ledger(run) == []
    first = evaluate_run(run, "test", report=False)
    second = evaluate_run(run / "stage1", "test", report=False)
    assert [first.metrics["looks"]["earlier_looks"], second.metrics["looks"]["earlier_looks"]] == [0, 1]
    lines = read_ledger(run)
    assert [line["stage"] for line in lines] == [3, 1]
    assert lines[0]["row_hash"] == first.predictions.row_hash
    assert lines[0]["scores"]["emotion/accuracy"] == first.metrics["tasks"]["emotion"]["rows"]["all"]["accuracy"]["value"]


def test_evaluation_repeats_itself(run):
    first, second = (evaluate_run(run, "val", report=False) for _ in range(2))
    assert first.metrics["tasks"] == second.metrics["tasks"]
    pd.testing.assert_frame_equal(first.predictions.rows, second.predictions.rows)


def test_reuse_is_no_further_look_and_ends_with_other_weights(run):
    first = evaluate_run(run, "test", by=["group"])
    again = evaluate_run(run, "test", by=["group"], reuse=True)
    assert again.metrics == json.loads(json.dumps(first.metrics))
    assert len(read_ledger(run)) == 1
    evaluate_run(run, "test", by=["emotion"], reuse=True)
    assert len(read_ledger(run)) == 2, "another subgroup is another evaluation"
    shutil.rmtree(run / "stage3")
    assert evaluate_run(run, "test", reuse=True).metrics["run"]["stage"] == 2
    assert len(read_ledger(run)) == 3


def test_val_predictions_are_made_once_and_again_for_other_weights(run):
    stored = run / "eval" / "val" / "predictions.parquet"
    evaluate_run(run, "test", report=False)
    before = stored.stat().st_mtime_ns
    evaluate_run(run, "test", report=False)
    assert stored.stat().st_mtime_ns == before
    stored.write_bytes(b"of another time")
    evaluate_run(run, "test", report=False)
    assert len(read_predictions(stored).rows) == 18
    shutil.rmtree(run / "stage3")  # RUN now means stage 2
    assert evaluate_run(run, "test", report=False).metrics["run"]["stage"] == 2
    assert stored.stat().st_mtime_ns != before


def test_stored_answers_are_not_taken_for_those_of_other_settings(run):
    first = evaluate_run(run, "val", report=False)
    settings = yaml.safe_load((run / "stage3/config.yaml").read_text())
    settings["data"]["mask"]["margin"] = 0.5
    (run / "stage3/config.yaml").write_text(yaml.safe_dump(settings))
    again = evaluate_run(run, "val", report=False, reuse=True)
    assert again.metrics["run"]["settings_sha256"] != first.metrics["run"]["settings_sha256"]
    settings["data"]["workers"] += 1
    (run / "stage3/config.yaml").write_text(yaml.safe_dump(settings))
    assert fitted_temperatures(run / "stage3"), "how many processes read the photos decides no answer"
    stored = read_predictions(run / "eval/val/predictions.parquet")
    old = Predictions(stored.rows, {key: value for key, value in stored.meta.items() if key != "settings_sha256"})
    assert same_origin(old.meta, {key: stored.meta[key] for key in ("weights_sha256", "settings_sha256")})
    assert not same_origin(old.meta, {"weights_sha256": "other", "settings_sha256": "s"})
    settings["data"]["mask"]["margin"] = 0.6
    (run / "stage3/config.yaml").write_text(yaml.safe_dump(settings))
    assert not fitted_temperatures(run / "stage3")


def test_rejected_rows_leave_the_denominator_and_unreadable_ones_stay(trained, tmp_path):
    root = shutil.copytree(trained[1].parent, tmp_path / "data")

    def review(row):
        if row["split"] == "test" and row["image"].endswith("001.jpg"):
            return {**row, "status": "rejected"}
        if row["split"] == "test" and row["image"].endswith("002.jpg"):
            return {**row, "status": "unreadable", "face_file": "", "image_file": ""}
        return row

    edit_manifest(root / "manifest.parquet", review)
    run = shutil.copytree(trained[0], tmp_path / "runs" / "made" / "seed3")
    for path in run.glob("stage*/config.yaml"):
        path.write_text(path.read_text().replace(str(trained[1].parent), str(root)))
    evaluation = evaluate_run(run, "test", report=False)
    assert evaluation.metrics["rows"]["rejected_in_review"] == 1
    assert len(evaluation.predictions.rows) == 21
    unreadable = evaluation.predictions.rows.query("status == 'unreadable'")
    assert unreadable["answered_by"].tolist() == ["prior"]


@pytest.mark.parametrize(
    ("split", "by", "expected"),
    [
        ("train", [], "not judged on the rows it was trained on; give val or test"),
        ("tset", [], r"no labelled rows of split 'tset'; there are test \(22\), train \(48\), val \(18\)"),
        ("test", ["rase"], "unknown --by column 'rase'; known: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, split, by, expected):
    with pytest.raises(UserError, match=expected):
        evaluate_run(run, split, by)
    assert not (run / "eval").exists()
    assert not (run / "ledger.jsonl").exists()


def test_predictions_object_is_what_the_file_says(run):
    evaluation = evaluate_run(run, "val", report=False)
    assert isinstance(evaluation.predictions, Predictions)
    assert evaluation.metrics["run"]["row_hash"] == read_predictions(evaluation.folder / "predictions.parquet").row_hash


def test_reuse_makes_up_for_a_page_that_was_not_written_without_a_further_look(run):
    judged = evaluate_run(run, "test", report=False)
    (judged.folder / "report.html").unlink(missing_ok=True)
    looks = len(read_ledger(run))
    again = evaluate_run(run, "test", reuse=True)
    assert (again.folder / "report.html").is_file()
    assert len(read_ledger(run)) == looks
    assert again.metrics["tasks"] == json.loads(json.dumps(judged.metrics["tasks"]))

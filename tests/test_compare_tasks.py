"""One network against one a task: paired on the same rows, trained alike, judged once, and refused before anything is trained."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from made_predictions import made_predictions
from made_sources import TINY, made_sources, shipped

from caer.comparison import networks
from caer.comparison.network_facts import Network, network_facts
from caer.comparison.networks import Comparison, TaskResult, compare_networks, compare_task, row_scores
from caer.comparison.networks_plan import plan_networks, single_task
from caer.comparison.networks_report import notes, table, to_json, write_comparison
from caer.config import Config, load_config
from caer.engine import run
from caer.engine.checkpoint import LoadedRun, read_provenance
from caer.engine.history import write_csv
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.judged import judged_rows
from caer.evaluation.ledger import read_ledger
from caer.evaluation.predictions import Predictions
from caer.evaluation.statistics import Estimate
from caer.models import build_model
from preprocessing.errors import UserError
from preprocessing.files import read_json, write_json

MACHINE = {"system": "s", "processor": "P", "cores": 2, "gpu": None}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_sources(tmp_path_factory.mktemp("sources"))


def small(data, runs, *overrides, **settings):
    """Smile and age in two stages, and an optional emotion that no source annotates."""
    config = shipped("faces_shared", data, runs, *TINY, "tasks.emotion.optional=true", *overrides).model_dump()
    config["tasks"] = {name: config["tasks"][name] for name in ("emotion", "smile", "age")}
    config["data"]["sources"] = [source for source in config["data"]["sources"] if "fer2013" not in str(source["manifest"])]
    config["monitor"] = {"metric": "mean", "of": ["smile/accuracy", "age/closeness"]}
    config["stages"][2] = config["stages"][1] | {"init": {"face": "stage1"}}
    return Config.model_validate(config | settings)


class Stop(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """A comparison that was stopped after its first network and called again; what the second call trained."""
    config, trained = small(data, tmp_path_factory.mktemp("runs")), []
    fit, run_fit = networks.fit_stage, run._Fit.run

    def only_the_first(each, stage):
        if each.name != config.name:
            raise Stop
        return fit(each, stage)

    def recorded(self):
        trained.append(self.config.name)
        return run_fit(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "fit_stage", only_the_first)
        with pytest.raises(Stop):
            compare_networks(config, "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run._Fit, "run", recorded)
        return config, compare_networks(config, "test"), trained


# Pairing


def two_tasks(distances, right):
    """Predictions of a class and of a number whose truth is 30, so far off."""
    count = len(distances)
    classes = made_predictions([0] * count, [0 if is_right else 1 for is_right in right])
    numbers = {"target_age": 30.0, "low_age": 30.0, "high_age": 30.0, "pred_age": 30.0 + np.asarray(distances)}
    rows = classes.rows.assign(**numbers, face_pred_age=numbers["pred_age"], context_pred_age=np.nan)
    meta = {
        "tasks": classes.meta["tasks"] | {"age": []},
        "kinds": {"emotion": "classes", "age": "number"},
        "facts": {"emotion": {}, "age": {"unit": "years", "range": [0, 100]}},
        "priors": classes.meta["priors"] | {"age": [30.0]},
    }
    return Predictions(rows, meta)


def test_rows_are_paired_by_their_name_in_whatever_order_the_tables_stand():
    """Every row is 1 or 1.5 years nearer together, and two are right only so: paired, the intervals lie on one side of zero."""
    steps = np.arange(40)
    together = two_tasks(steps, steps < 30)
    alone = two_tasks(steps + 1 + 0.5 * (steps % 2), steps < 28)
    turned = replace(alone, rows=alone.rows.iloc[::-1].reset_index(drop=True))
    age = compare_task("age", judged_rows(together, "age"), judged_rows(turned, "age"), 1.0)
    assert (age.score, age.unit, age.rows) == ("distance", "years", 40)
    assert age.difference.value == pytest.approx(-1.25)
    assert -1.5 <= age.difference.low < age.difference.high <= -1
    emotion = compare_task("emotion", judged_rows(together, "emotion"), judged_rows(turned, "emotion"), 1.0)
    assert (emotion.score, emotion.unit) == ("accuracy", "")
    assert emotion.difference.value == pytest.approx(0.05)
    assert emotion.difference.low >= 0
    for task in (age, emotion):
        assert task.difference.value == pytest.approx(task.together.value - task.alone.value)


def test_networks_that_were_judged_on_other_rows_do_not_compare():
    whole = two_tasks(range(6), [True] * 6)
    part = replace(whole, rows=whole.rows.iloc[:5])
    with pytest.raises(AssertionError, match="every row"):
        compare_task("age", judged_rows(whole, "age"), judged_rows(part, "age"), 1.0)


def test_the_distance_is_that_to_the_interval():
    score, values = row_scores(judged_rows(two_tasks([-2, 0, 3], [True] * 3), "age"))
    assert score == "distance"
    assert values.tolist() == [2, 0, 3]


# A comparison from its start to its page


def test_an_interrupted_comparison_goes_on_where_it_was_stopped(compared):
    config, _, trained = compared
    assert trained == [f"{config.name}_only_{task}" for task in ("smile", "age") for _ in config.stages]


def test_a_number_is_compared_by_its_distance_and_a_task_without_rows_is_named(compared, tmp_path):
    config, comparison, _ = compared
    found = [(task.task, task.score, task.unit, task.rows) for task in comparison.tasks]
    assert found == [("smile", "accuracy", "", 8), ("age", "distance", "years", 8)]
    assert comparison.left_out == {"emotion": "no usable row of train is labelled for it"}
    page = write_comparison(comparison, config, tmp_path).read_text()
    assert "| age: distance | 8 |" in page
    assert "Left out: emotion (no usable row of train is labelled for it)." in page
    assert "optimistic" not in page


def test_each_network_has_its_epochs_updates_and_origin(compared, tmp_path):
    config, comparison, _ = compared
    assert [network.name for network in comparison.networks] == [
        config.name,
        f"{config.name}_only_smile",
        f"{config.name}_only_age",
    ]
    assert [network.monitor for network in comparison.networks] == ["mean", "smile/accuracy", "age/closeness"]
    assert [(network.epochs, network.updates) for network in comparison.networks] == [(2, 4), (2, 2), (2, 2)]
    for network, folder in zip(comparison.networks, comparison.runs, strict=True):
        first, facts = (read_provenance(Path(folder).parent / f"stage{number}") for number in config.stages)
        assert network.commits == [first["commit"], facts["commit"]]
        assert network.machines == [first["machine"], facts["machine"]]
        assert network.seconds == round(first["seconds"] + facts["seconds"], 3)
        assert network.weights_sha256 == facts["weights_sha256"]
        assert network.manifest_hashes == [source["row_hash"] for source in facts["manifests"]]
    assert [comparison.training, *(task.seconds for task in comparison.tasks)] == [n.seconds for n in comparison.networks]
    page = write_comparison(comparison, config, tmp_path).read_text()
    assert "| faces_shared_only_age | age/closeness | 2 | 2 | 2 |" in page
    assert "Counted in updates, not in epochs: warm-up." in page
    assert "By each network" not in page
    stored = read_json(tmp_path / "compare_tasks.json", "")
    judged = read_json(config.run_folder / "eval/test/metrics.json", "")["run"]
    assert {name: stored[name] for name in ("row_hash", "protocol_hash", "manifest_hashes")} == {
        name: judged[name] for name in ("row_hash", "protocol_hash", "manifest_hashes")
    }
    assert stored["networks"][2]["row_hash"] != stored["row_hash"]


def test_a_comparison_that_is_repeated_looks_at_test_no_more_and_leaves_evaluations_as_they_are(compared, monkeypatch):
    config, first, _ = compared
    folder = evaluate_run(config.run_folder, "test", by=["race"], report=False).folder
    (folder / "report.html").write_text("a page")
    looks = len(read_ledger(config.run_folder))
    monkeypatch.setattr(run._Fit, "run", lambda self: pytest.fail("trained again"))
    again = compare_networks(config, "test")
    assert again.tasks == first.tasks
    assert len(read_ledger(config.run_folder)) == looks
    assert (folder / "report.html").read_text() == "a page"
    assert read_json(folder / "metrics.json", "")["tasks"]["age"]["subgroups"]["race"]
    assert not (config.run_folder / "stage1/eval").exists()


def test_tags_are_compared_by_the_rows_that_are_right_in_all(data, tmp_path):
    config = shipped("dataframe_xception", data, tmp_path / "runs", *TINY)
    comparison = compare_networks(config, "val")
    assert [(task.task, task.score, task.rows) for task in comparison.tasks] == [
        ("sleeve", "accuracy", 8),
        ("neckline", "accuracy", 8),
        ("texture", "exact", 6),
    ]
    assert comparison.training > 0
    assert min(comparison.inference) > 0
    page = write_comparison(comparison, config, tmp_path / "reports").read_text()
    assert "| sleeve: accuracy | 8 |" in page
    assert "all scores are optimistic" in page
    assert "By each network's own monitor, and so not in the same epoch: early stopping, falls of the rate (plateau)." in page
    assert "{" not in page
    stored = json.loads((tmp_path / "reports/compare_tasks.json").read_text())
    assert stored["inference_ratio"] == pytest.approx(comparison.inference[1] / comparison.inference[0])


# What the page says of times, commits and machines


def made_network(**changes):
    facts = {
        "name": "n",
        "tasks": ["smile"],
        "monitor": "loss",
        "epochs": 3,
        "best_epoch": 2,
        "updates": 30,
        "seconds": 60.0,
        "caching_seconds": 0.0,
        "commits": ["a" * 40],
        "machines": [MACHINE],
        "judged_by": "a" * 40,
        "row_hash": "r",
        "protocol_hash": "p",
        "weights_sha256": "w",
        "manifest_hashes": ["m"],
    }
    return Network(**facts | changes)


def made_comparison(*own):
    """Two tasks whose own networks have the given facts."""
    half = Estimate(0.5, 0.4, 0.6)
    made = [made_network(), *(made_network(**facts) for facts in own)]
    tasks = [TaskResult(f"t{i}", "accuracy", "", 9, half, half, half, each.seconds) for i, each in enumerate(made[1:])]
    return Comparison(tasks, "val", made[0].seconds, (1.0, 2.0), ["r"] * 3, made, {})


def test_networks_of_one_commit_and_machine_need_no_note():
    comparison = made_comparison({"seconds": 30.0}, {"seconds": 60.0})
    assert notes(comparison) == []
    assert "| training, s | | 60 | 90 | 1.5 times |" in table(comparison)


def test_other_commits_and_machines_are_said():
    elsewhere = {"commits": ["a" * 40, "b" * 40 + "+changes"], "machines": [MACHINE, MACHINE | {"gpu": "G"}]}
    assert notes(made_comparison({}, elsewhere)) == [
        "Training times do not compare: the networks were trained on different machines (P, 2 cores; P, 2 cores, G).",
        "The networks were trained at different commits: aaaaaaaaaaaa, bbbbbbbbbbbb+changes.",
    ]


def test_a_time_that_no_record_has_is_unknown():
    comparison = made_comparison({}, {"seconds": None, "caching_seconds": None})
    assert "| training, s | | 60 | unknown | unknown |" in table(comparison)
    assert to_json(comparison)["training_ratio"] is None
    assert notes(comparison) == [
        "A training time is unknown where a run's record does not say how long its cached features took."
    ]


@pytest.mark.parametrize(
    ("name", "recorded", "seconds"),
    [
        ("fairface_vgg16", {"caching_seconds": 50.0}, 57.0),
        ("fairface_vgg16", {"caching_seconds": None}, None),
        ("fairface_vgg16", {}, None),
        ("faces_shared", {}, 7.0),
    ],
)
def test_cached_features_count_as_training_where_they_are_recorded(tmp_path, name, recorded, seconds):
    config = load_config(ROOT / f"configs/multitask/{name}.yaml")
    run = made_stages(config, tmp_path, {"seconds": 7.0, **recorded})
    hashes = dict.fromkeys(("row_hash", "protocol_hash", "weights_sha256", "manifest_hashes"), "h")
    network = network_facts(run, {"evaluated_by": {"commit": "c"}, **hashes})
    assert network.seconds == seconds
    assert (network.updates, network.epochs, network.best_epoch) == (
        8 * len(config.stages),
        2 * len(config.stages),
        run.stage * 2 - 1,
    )
    assert network.commits == [None] * len(config.stages)


def made_stages(config, folder, recorded):
    """A run of two epochs a stage, as its files tell of it."""
    known = {"finished": True, "precision": "32", "manifests": [], "class_counts": {}, "init": {}, "parameters": {"total": 1}}
    known |= {"epochs": 2, "best_epoch": 1, "best_score": 0.5, "weights_sha256": "w", **recorded}
    for number in config.stages:
        stage, facts = folder / f"stage{number}", known | {"stage": number}
        stage.mkdir()
        write_csv(stage / "metrics.csv", [{"epoch": 1, "global_step": 4}, {"epoch": 2, "global_step": 8}])
        write_json(stage / "provenance.json", facts)
    return LoadedRun(config, None, {}, number, stage, facts)


# Refused before anything is trained


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(networks, "fit_stage", lambda *args: pytest.fail("trained before its input was checked"))


def test_a_two_branch_model_cannot_be_compared_so():
    with pytest.raises(UserError, match="model of type multitask with two tasks or more"):
        compare_networks(load_config(ROOT / "configs/demo.yaml"))


@pytest.mark.parametrize(
    ("split", "message"), [("train", "is not judged on the rows it was trained on"), ("tset", "rows of split 'tset'")]
)
def test_a_wrong_split_is_refused(data, tmp_path, untrained, split, message):
    with pytest.raises(UserError, match=message):
        compare_networks(small(data, tmp_path), split)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.balanced_sampling=true", "would differ in more than their tasks; set it to false"),
        ("tasks.emotion.optional=false", r"the label column 'emotion'"),
        ("stages.1.groups=[{pattern: 'face\\.heads\\.smile\\..*', lr: 1.0e-3}]", "groups: pattern .* matches no parameter"),
        (
            "stages.1.head_warmup={pattern: 'face\\.heads\\.smile\\..*', epochs: 1, lr: 1.0e-3}",
            "head_warmup: pattern .* matches no",
        ),
    ],
)
def test_settings_that_would_end_a_later_network_are_refused(data, tmp_path, untrained, override, message):
    with pytest.raises(UserError, match=message):
        compare_networks(small(data, tmp_path, "stages.1.epochs=2", override))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"data": "holdout"}, "would hold out other rows in each network of its own"),
        ({"trainable": [r"face\.heads\.smile\..*"]}, r"network faces_shared_only_age: .*pattern .* matches no parameter"),
    ],
)
def test_a_later_stage_that_would_end_a_comparison_is_refused(data, tmp_path, untrained, stage, message):
    config = small(data, tmp_path)
    stages = {number: each.model_dump() for number, each in config.stages.items()}
    with pytest.raises(UserError, match=message):
        compare_networks(small(data, tmp_path, stages=stages | {2: stages[2] | stage}))


def test_a_task_without_rows_to_be_judged_on_is_refused_unless_it_is_optional(data, tmp_path, untrained, monkeypatch):
    config = small(data, tmp_path)
    monkeypatch.setattr("caer.comparison.networks_plan.without_rejected", lambda rows: (rows[rows["source"] != "fairface"], 0))
    with pytest.raises(UserError, match=r"no usable row of test is labelled for task 'age'.*tasks\.age\.optional=true"):
        compare_networks(config, "test")
    tasks = {name: options | {"optional": True} for name, options in config.tasks.items()}
    with pytest.raises(
        UserError, match=r"fewer than two tasks can be compared \(emotion: no usable row of train .*; age: .* of test"
    ):
        compare_networks(config.model_copy(update={"tasks": tasks}), "test")


def test_a_score_that_intervals_cannot_have_is_refused(data, tmp_path, untrained):
    monitor = {"metric": "mean", "mode": "min", "of": ["smile/nll", "age/mae"]}
    with pytest.raises(UserError, match=r"network faces_shared_only_age: monitor 'age/mae' has no value: val has intervals only"):
        compare_networks(small(data, tmp_path, monitor=monitor))


def test_a_run_folder_of_other_settings_is_refused(data, tmp_path, untrained):
    config = small(data, tmp_path)
    stale = single_task(config, "age").model_dump(mode="json")
    stale["data"]["batch_size"] = 7
    folder = tmp_path / "faces_shared_only_age/seed17/stage1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(stale))
    (folder / "last.ckpt").touch()
    with pytest.raises(UserError, match=r"only_age.* was trained with other settings: data\.batch_size 7 -> 14"):
        compare_networks(config)


# A task alone


def test_a_task_alone_keeps_everything_but_the_other_tasks(data, tmp_path):
    config = small(data, tmp_path)
    alone = single_task(config, "age")
    given, kept = config.model_dump(), alone.model_dump()
    assert {key for key in given if given[key] != kept[key]} == {"name", "tasks", "monitor"}
    assert alone.tasks == {"age": config.tasks["age"]}
    assert alone.monitor.metric == "age/closeness"
    assert alone.run_folder != config.run_folder


def test_a_task_alone_starts_from_the_same_weights(data, tmp_path):
    config = small(data, tmp_path)
    together, alone = (build_model(each, pretrained=False).state_dict() for each in (config, single_task(config, "age")))
    assert any("heads.age" in name for name in alone)
    assert all(torch.equal(together[name], value) for name, value in alone.items())


def test_a_task_that_the_monitor_does_not_name_is_chosen_by_its_loss(data, tmp_path):
    own = single_task(small(data, tmp_path, monitor={"metric": "smile/accuracy"}), "age")
    assert (own.monitor.metric, own.monitor.mode) == ("loss", "min")


def test_a_plan_writes_nothing(data, tmp_path):
    config = small(data, tmp_path / "runs")
    plan = plan_networks(config, "val")
    assert list(plan.alone) == ["smile", "age"]
    assert not (tmp_path / "runs").exists()


def test_a_task_whose_name_no_run_can_have_is_refused(data, tmp_path):
    config = small(data, tmp_path)
    odd = Config.model_validate(config.model_dump() | {"tasks": {"a b": {"type": "classification", "classes": ["x", "y"]}}})
    with pytest.raises(UserError, match="task 'a b' alone: name: "):
        single_task(odd, "a b")

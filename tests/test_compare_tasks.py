"""One network against one a task: paired on the same rows, trained alike."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_predictions import made_predictions
from made_sources import TINY, made_sources, shipped

from caer.comparison.networks import compare_networks, compare_task, row_scores, single_task
from caer.comparison.networks_report import write_comparison
from caer.config import Config, load_config
from caer.evaluation.judged import judged_rows
from caer.evaluation.predictions import Predictions
from caer.models import build_model
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_sources(tmp_path_factory.mktemp("sources"))


def small(data, runs, *overrides, **settings):
    """Smile and age, and an optional emotion that no source annotates."""
    config = shipped("faces_shared", data, runs, *TINY, "tasks.emotion.optional=true", *overrides).model_dump()
    config["tasks"] = {name: config["tasks"][name] for name in ("emotion", "smile", "age")}
    config["data"]["sources"] = [source for source in config["data"]["sources"] if "fer2013" not in str(source["manifest"])]
    config["monitor"] = {"metric": "mean", "of": ["smile/accuracy", "age/closeness"]}
    return Config.model_validate(config | settings)


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
    assert "{" not in page
    stored = json.loads((tmp_path / "reports/compare_tasks.json").read_text())
    assert stored["inference_ratio"] == pytest.approx(comparison.inference[1] / comparison.inference[0])


def test_a_two_branch_model_cannot_be_compared_so():
    with pytest.raises(UserError, match="model of type multitask with two tasks or more"):
        compare_networks(load_config(ROOT / "configs/demo.yaml"))


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

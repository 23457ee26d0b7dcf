"""`caer diagnose`: effects known by hand, and tiny trained runs end to end."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_manifest import made_config, made_manifest
from PIL import Image
from test_cli import call
from test_report import Reader

from caer.config import Config
from caer.data.dataset import collate
from caer.diagnosis import retrain as retraining
from caer.diagnosis.attention import attention_by_region, coverage
from caer.diagnosis.console import summary_lines
from caer.diagnosis.diagnose import choose, diagnose_run, diagnose_tasks, truths_of, usable_rows
from caer.diagnosis.interventions import MixedScenes
from caer.diagnosis.probe import Answers, Probe
from caer.diagnosis.reliance import Truth, effect, exchanged
from caer.diagnosis.retrain import Retraining, context_stage, read_margins, variants
from caer.engine.checkpoint import load_run
from caer.engine.run import fit_stage
from caer.evaluation.evaluate import evaluate_run
from caer.evaluation.ledger import read_ledger
from preprocessing.errors import UserError

# ---- by hand ----


def answers(classes: list[int], gates: np.ndarray | None = None) -> Answers:
    return Answers(np.eye(3)[classes], {}, {}, None, gates)


def test_cost_is_what_is_lost_on_the_same_rows_over_the_mean_of_several_draws():
    truth = Truth(np.array([0, 0, 1, 1, 2]), np.arange(5), np.array([True] * 4 + [False]))
    gates = np.array([[0.5, 0.5]] * 5)
    before = answers([0, 0, 1, 0, 0], gates)
    after = [answers([0, 1, 1, 1, 2], gates[:, ::-1]), answers([1, 1, 1, 1, 2], np.array([[0.2, 0.6]] * 5))]
    found = effect(before, after, truth, truth.known)
    assert found["n"] == 4
    assert found["accuracy"]["value"] == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert found["cost"]["value"] == pytest.approx(3 / 4 - 2.5 / 4)
    assert found["share_change"]["value"] == pytest.approx((0.5 + 0.75) / 2 - 0.5)


def test_the_face_of_an_exchange_stays_and_a_row_without_a_donor_keeps_its_scene():
    features = {name: torch.arange(4.0)[:, None] + at for at, name in ((0, "face"), (10, "context"), (20, "image"))}
    after = exchanged(features, np.array([2, 3, -1, 0]))
    assert after["face"].tolist() == features["face"].tolist()
    assert after["context"][:, 0].tolist() == [12, 13, 12, 10]
    assert after["image"][:, 0].tolist() == [22, 23, 22, 20]


def test_unlabelled_rows_give_no_scene():
    truth = Truth(np.array([0, -1, 0, 1]), np.arange(4), np.array([True, False, True, True]))
    for seed in range(20):
        assert truth.donors("any", seed)[1] == -1
        assert 1 not in truth.donors("any", seed)
    assert truth.donors("same", 0).tolist() == [2, -1, 0, -1]


def photo_row(folder, box, size=(80, 40), others=()) -> dict:
    Image.new("RGB", size).save(folder / "photo.jpg")
    return {"manifest_folder": str(folder), "image_file": "photo.jpg", "image_box": box, "image_boxes": [*box, *others]}


def test_attention_by_hand(tmp_path):
    # A photo of 4 x 2 cells; the mask is the upper left cell, its surroundings reach half a cell further.
    config = made_config(tmp_path / "none")
    row = photo_row(tmp_path, [0.0, 0.0, 20.0, 20.0])
    mask, around, elsewhere = coverage(row, config, (2, 4))
    assert mask == pytest.approx(np.array([[1, 0, 0, 0], [0, 0, 0, 0]]))
    assert around == pytest.approx(np.array([[0, 0.5, 0, 0], [0.5, 0.25, 0, 0]]))
    assert elsewhere == pytest.approx(1 - mask - around)
    even = np.full((2, 2, 4), 1 / 8)
    rows, codes = pd.DataFrame([row, row]), np.arange(2)
    found = attention_by_region(even, rows, config, codes)
    assert [found[name]["ratio"]["value"] for name in ("mask", "around", "elsewhere")] == pytest.approx([1, 1, 1])
    assert found["mask"]["area"]["value"] == pytest.approx(1 / 8)
    pointed = np.zeros((2, 2, 4))
    pointed[:, 0, 0], pointed[:, 1, 3] = 0.75, 0.25
    found = attention_by_region(pointed, rows, config, codes)
    assert found["mask"]["attention"]["value"] == pytest.approx(0.75)
    assert found["mask"]["ratio"]["value"] == pytest.approx(6)
    assert found["elsewhere"]["attention"]["value"] == pytest.approx(0.25)


@pytest.mark.parametrize("size", [(81, 47), (33, 200)])
def test_regions_share_out_every_cell_whatever_the_photo(tmp_path, size):
    config = made_config(tmp_path / "none", mask={"faces": "all", "margin": 0.3})
    parts = coverage(photo_row(tmp_path, [5.3, 9.1, 17.0, 30.8], size, [20.0, 0.0, 33.0, 21.5]), config, (7, 7))
    assert parts.sum(axis=0) == pytest.approx(np.ones((7, 7)), abs=1e-6)
    assert parts.min() >= -1e-6


def test_rows_are_chosen_by_their_ids_and_keep_their_order():
    rows = pd.DataFrame({"sample_id": ["c", "a", "d", "b"]})
    assert choose(rows, 2)["sample_id"].tolist() == ["a", "b"]
    assert choose(rows, 3)["sample_id"].tolist() == ["c", "a", "b"]
    assert len(choose(rows, 0)) == len(choose(rows, 9)) == 4


def test_margins():
    assert read_margins("0, 0.5,0.50,") == (0.0, 0.5)
    with pytest.raises(UserError, match="numbers with commas"):
        read_margins("0;1")


def test_the_command_hands_its_options_over(monkeypatch, capsys):
    given = []
    monkeypatch.setattr("caer.diagnosis.diagnose.diagnose_run", lambda *options: given.append(options))
    monkeypatch.setattr("caer.diagnosis.console.summary_lines", lambda _: ["done"])
    assert call(monkeypatch, capsys, "diagnose", "runs/x")[:2] == (0, "done\n")
    call(
        monkeypatch,
        capsys,
        "diagnose",
        "runs/x",
        "--split",
        "test",
        "--rows",
        "0",
        "--retrain",
        "--margins",
        "0.1",
        "--epochs",
        "2",
    )
    assert given == [(Path("runs/x"), "val", 2000, None), (Path("runs/x"), "test", 0, Retraining((0.1,), 2))]
    code, _, err = call(monkeypatch, capsys, "diagnose", "runs/x", "--retrain", "--margins", "a")
    assert (code, err.count("\n")) == (2, 1)


# ---- tiny runs ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("diagnose")


@pytest.fixture(scope="module")
def config(folder) -> Config:
    manifest = made_manifest(folder / "data", {"train": 24, "val": 12, "test": 9}, no_face_every=6)
    made = made_config(manifest, batch_size=6, mask={"faces": "subject", "fill": "black", "margin": 0.1})
    return made.model_copy(update={"runs": folder / "runs"})


@pytest.fixture(scope="module")
def run(config):
    for stage in (1, 2, 3):
        fit_stage(config, stage)
    return config.run_folder


@pytest.fixture(scope="module")
def diagnosis(run):
    return diagnose_run(run, retraining=Retraining((0.5,)))


def probe_of(run) -> Probe:
    from caer.data.rows import Rows

    loaded = load_run(run)
    return Probe(loaded, usable_rows(Rows(loaded.config, loaded.tasks), "val", loaded.output))


def test_a_diagnosis_from_one_end_to_the_other(diagnosis, run):
    facts = json.loads((run / "diagnose" / "diagnose.json").read_text())
    assert facts["rows"] == {"n": 10, "usable": 10, "by_status": {"ok": 10}, "answered_by": {"model": 10}}
    task = facts["tasks"]["emotion"]
    assert set(task["reliance"]) == {
        "context_of_another",
        "context_of_same_class",
        "context_of_other_class",
        "context_blank",
        "face_blank",
    }
    assert {name: len(steps) for name, steps in task["sweeps"].items()} == {
        "face_cover": 5,
        "face_blur": 5,
        "misleading_context": 5,
    }
    assert all(
        set(step["accuracy"]) == {"fused", "face", "context", "sum"} for steps in task["sweeps"].values() for step in steps
    )
    assert task["gate"]["n"] == 10
    assert facts["attention"]["n"] == 10
    assert facts["looks"] is None
    assert any(line.startswith("emotion: context of another sample costs") for line in summary_lines(diagnosis))


def test_the_intact_answers_are_those_of_the_evaluation(diagnosis, run):
    evaluated = evaluate_run(run, "val", report=False).metrics["tasks"]["emotion"]
    found = diagnosis.facts["tasks"]["emotion"]
    assert found["accuracy"]["fused"]["value"] == pytest.approx(evaluated["rows"]["detected"]["accuracy"]["value"])
    assert found["accuracy"]["face"]["value"] == pytest.approx(evaluated["branches"]["detected"]["face"]["value"])
    first = {name: steps[0]["accuracy"]["fused"]["value"] for name, steps in found["sweeps"].items()}
    assert set(first.values()) == {found["accuracy"]["fused"]["value"]}


def test_the_page_is_well_formed_and_needs_nothing_from_outside(diagnosis, run):
    text = (run / "diagnose" / "report.html").read_text()
    reader = Reader(text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.tags}
    sources = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r'src="data:[^"]*"', "", text))
    words = " ".join(reader.words)
    for heading in (
        "Does the model use the context?",
        "Is the gate any good?",
        "When an input gets worse",
        "Attention and the mask",
    ):
        assert heading in words


def test_a_diagnosis_is_repeatable(diagnosis, run):
    probe = probe_of(run)
    intact, _ = probe.encode(probe.samples(probe.inputs), probe.inputs, "intact")
    assert diagnose_tasks(probe, intact, truths_of(probe.loaded, probe.rows)) == diagnosis.facts["tasks"]


def test_exchanging_features_is_exchanging_pictures(run):
    probe = probe_of(run)
    intact, attention = probe.encode(probe.samples(probe.inputs), probe.inputs, "intact")
    assert attention.shape[0] == 10
    assert torch.allclose(attention.sum(dim=(1, 2)), torch.ones(10), atol=1e-5)
    donors = np.roll(np.arange(10), 3)
    pictures, _ = probe.encode(MixedScenes(probe.samples(probe.inputs), donors, 1.0), probe.inputs, "exchanged")
    for name, values in exchanged(intact, donors).items():
        assert torch.allclose(values, pictures[name], rtol=1e-3, atol=1e-4), name


def test_answers_to_features_are_answers_to_pictures(run):
    probe = probe_of(run)
    features, _ = probe.encode(probe.samples(probe.inputs), probe.inputs, "intact")
    found = probe.answer(features)["emotion"]
    samples = probe.samples(probe.inputs)
    with torch.inference_mode():
        output = probe.model(collate([samples[i] for i in range(10)]))
    expected = output.logits["emotion"].softmax(dim=1).double().numpy()
    assert found.fused == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert found.gates == pytest.approx(output.gates["emotion"].double().numpy(), rel=1e-3)


def test_a_look_at_test_enters_the_ledger_once_and_lies_in_a_folder_of_its_own(run):
    before = len(read_ledger(run))
    diagnosis = diagnose_run(run, "test")
    lines = read_ledger(run)
    assert len(lines) == before + 1
    assert lines[-1]["by"] == "diagnose"
    assert lines[-1]["scores"] == {"emotion/accuracy": diagnosis.facts["tasks"]["emotion"]["accuracy"]["fused"]["value"]}
    assert diagnosis.folder == run / "diagnose" / "test"


@pytest.mark.parametrize(
    ("stage", "changes", "sweeps"),
    [(1, {"face_blank"}, {"face_cover", "face_blur"}), (2, None, {"misleading_context"})],
)
def test_one_branch_gets_the_parts_that_make_sense(run, stage, changes, sweeps):
    facts = diagnose_run(run / f"stage{stage}").facts
    task = facts["tasks"]["emotion"]
    expected = changes or {"context_of_another", "context_of_same_class", "context_of_other_class", "context_blank"}
    assert set(task["reliance"]) == expected
    assert set(task["sweeps"]) == sweeps
    assert task["gate"] is None
    assert (facts["attention"] is None) is (stage == 1)
    assert "whom a gate should believe is not defined" in (run / f"stage{stage}" / "diagnose" / "report.html").read_text()


def test_caer_net_has_weights_but_no_branches_to_choose_between(folder, config):
    stage = {"output": "fused", "trainable": [".*"], "epochs": 1}
    settings = config.model_dump(mode="json") | {
        "name": "caer_net",
        "model": {"type": "caer_net", "variant": "compact"},
        "stages": {1: stage},
    }
    made = Config.model_validate(settings)
    fit_stage(made, 1)
    task = diagnose_run(made.run_folder).facts["tasks"]["emotion"]
    assert task["gate"] is None
    assert set(task["accuracy"]) == {"fused"}
    assert "context_share" in task["reliance"]["context_of_another"]
    with pytest.raises(UserError, match=r"stage with output context again, and caer_net has none \(stage 1 fused\)"):
        diagnose_run(made.run_folder, retraining=Retraining())


def test_wrong_input_is_named(run):
    with pytest.raises(UserError, match="not diagnosed on the rows it was trained on"):
        diagnose_run(run, "train")
    with pytest.raises(UserError, match="no labelled rows of split 'vla'"):
        diagnose_run(run, "vla")
    with pytest.raises(UserError, match=r"--retrain, margin_9: data.mask.margin"):
        diagnose_run(run, retraining=Retraining((9.0,)))


def test_one_group_has_no_other_scene_to_give(run):
    probe = probe_of(run)
    with pytest.raises(UserError, match="belong to one group"):
        truths_of(probe.loaded, probe.rows.assign(group="one"))


# ---- training again ----


def test_variants_differ_in_mask_epochs_and_name_alone(run):
    loaded = load_run(run)
    made = variants(loaded, Retraining((0.0, 0.25), epochs=2))
    assert set(made) == {"margin_0", "margin_0.25", "mask_alone"}
    assert made["mask_alone"].data.mask.only
    for name, config in made.items():
        assert config.name == f"made_diagnose_{name}"
        assert config.uses_holdout, "the rows that a later stage trains on are still left out"
        assert config.stage(2).epochs == 2
        data = config.data.model_copy(update={"mask": loaded.config.data.mask})
        stage = config.stage(2).model_copy(update={"epochs": loaded.config.stage(2).epochs})
        same = {"name": loaded.config.name, "runs": loaded.config.runs, "data": data, "stages": {**config.stages, 2: stage}}
        assert config.model_copy(update=same) == loaded.config


def test_retraining_is_kept_and_judged(run, diagnosis, monkeypatch):
    trained = []
    monkeypatch.setattr(retraining, "fit_stage", lambda *given: trained.append(fit_stage(*given)) or trained[-1])
    found = diagnosis.facts["retrained"]
    assert (found["stage"], found["epochs"]) == (2, 1)
    assert set(found["tasks"]["emotion"]) == {"margin_0.5", "mask_alone"}
    assert found["tasks"]["emotion"]["mask_alone"]["n"] == 10
    assert "Does the mask give the label away?" in (run / "diagnose" / "report.html").read_text()
    assert any("context branch with mask_alone" in line for line in summary_lines(diagnosis))
    again = retraining.retrain(load_run(run), "val", Retraining((0.5,)))
    assert again == found
    assert [result.already_done for result in trained] == [True, True]
    assert trained[0].folder.resolve().parents[2] == run.parents[1].resolve()


def test_a_constant_answer_has_nothing_over_the_most_frequent_class():
    from made_predictions import made_predictions

    from caer.evaluation.predictions import task_rows

    made = task_rows(made_predictions([0, 0, 1, 2], [0] * 4), "emotion")
    scores = retraining._scores(made, [0.5, 0.3, 0.2])
    assert scores["accuracy"]["value"] == 0.5
    assert scores["over_majority"]["value"] == 0.0
    better = replace(made, probabilities=np.eye(3)[made.targets])
    assert retraining._scores(better, [0.5, 0.3, 0.2])["over_majority"]["value"] == 0.5


def test_the_context_stage_is_found_by_its_output(config):
    assert context_stage(config) == 2

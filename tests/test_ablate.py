"""`python -m caer ablate`: shared stages are trained once, nothing is trained or judged twice, a failure stays where it is."""

import csv
import shutil
import sys

import pytest
import torch
import yaml
from made_ablation import VARIANTS, made_ablation

from caer import __main__ as cli
from caer.ablation import execute as execution
from caer.ablation.config import load_ablation
from caer.ablation.execute import execute
from caer.ablation.plan import plan
from caer.ablation.results import load_results
from caer.ablation.sharing import is_same_stage
from caer.engine.checkpoint import read_provenance, read_weights, stage_folder
from caer.engine.run import fit_stage
from caer.evaluation.ledger import read_ledger
from caer.models.backbones import build_backbone
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """An ablation that ran through, and what it trained, in order."""
    folder = tmp_path_factory.mktemp("finished")
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            execution, "fit_stage", lambda config, stage: trained.append((config.name, stage)) or fit_stage(config, stage)
        )
        failures = run(made_ablation(folder))
    assert failures == {}
    return folder, trained


@pytest.fixture
def folder(finished_once, tmp_path):
    """A copy of the finished ablation to do things to."""
    shutil.copytree(finished_once[0], tmp_path / "copy")
    made_ablation(tmp_path / "copy", data(finished_once[0]))
    return tmp_path / "copy"


def data(folder):
    return folder / "data" / "manifest.parquet"


def run(path, *overrides, only=()):
    ablation = load_ablation(path, overrides)
    return execute(ablation, plan(ablation), only)


def counted(monkeypatch):
    """What `fit_stage` is called for from now on."""
    calls = []
    monkeypatch.setattr(
        execution, "fit_stage", lambda config, stage: calls.append((config.name, stage)) or fit_stage(config, stage)
    )
    return calls


def looks(folder):
    return {path.parent.parent.name: len(read_ledger(path.parent)) for path in (folder / "runs").rglob("ledger.jsonl")}


# Sharing


def test_a_shared_stage_is_trained_once_and_is_the_same_bit_for_bit(finished_once):
    folder, trained = finished_once
    assert trained == [("face", 1), ("context", 2), ("sum", 3), ("gating", 3)]
    runs = folder / "runs" / "made"
    for number, owner in ((1, "face"), (2, "context")):
        stage = f"seed3/stage{number}/best.safetensors"
        own = read_weights(runs / owner / stage)[0]
        for variant in ("sum", "gating"):
            theirs = read_weights(runs / variant / stage)[0]
            assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_a_stage_taken_over_is_what_training_it_there_gives(finished_once, tmp_path):
    folder, _ = finished_once
    alone = load_ablation(made_ablation(tmp_path, data(folder)))
    config = next(planned.config for planned in plan(alone) if planned.variant == "gating")
    for number in (1, 2, 3):
        fit_stage(config, number)
        own, _ = read_weights(config.run_folder / f"stage{number}" / "best.safetensors")
        shared, _ = read_weights(folder / f"runs/made/gating/seed3/stage{number}/best.safetensors")
        assert all(torch.equal(own[name], shared[name]) for name in own)


def test_a_variants_folder_is_an_ordinary_run(finished_once):
    folder, _ = finished_once
    run_folder = folder / "runs/made/gating/seed3"
    assert stage_folder(run_folder).name == "stage3"
    assert yaml.safe_load((run_folder / "stage1/config.yaml").read_text())["name"] == "gating"
    assert read_provenance(run_folder / "stage1")["taken_over_from"].endswith("face/seed3/stage1")
    config = next(planned.config for planned in plan(load_ablation(folder / "ablation.yaml")) if planned.variant == "gating")
    assert fit_stage(config, 1).already_done


def test_finished_runs_elsewhere_are_adopted(finished_once, tmp_path, monkeypatch):
    folder, _ = finished_once
    calls = counted(monkeypatch)
    run(made_ablation(tmp_path, data(folder), adopt=[str(folder / "runs/made/gating")]), only=["gating"])
    assert calls == []


def test_a_stage_is_the_same_only_with_the_weight_file_and_number_format_of_now(tmp_path, monkeypatch):
    weights = tmp_path / "pretrained.pth"
    torch.save(build_backbone("test_efficientnet", 48).net.state_dict(), weights)
    face = {"stages": [1], "set": {"model.face.weights": str(weights)}}
    ablation = load_ablation(made_ablation(tmp_path, variants={"face": face}, set={"precision": "auto"}))
    config = plan(ablation)[0].config
    folder = fit_stage(config, 1).folder
    assert is_same_stage(folder, config, 1)
    with monkeypatch.context() as patch:
        was = read_provenance(folder)["precision"]
        patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: was == "32")  # another processor
        assert not is_same_stage(folder, config, 1)
    torch.save(build_backbone("test_efficientnet", 48).net.state_dict(), weights)
    assert not is_same_stage(folder, config, 1)
    weights.unlink()
    assert not is_same_stage(folder, config, 1)


def test_results_hold_scores_times_and_what_is_shared(finished_once):
    folder, _ = finished_once
    results = load_results(load_ablation(folder / "ablation.yaml"))
    assert list(results.results) == list(VARIANTS)
    gating, face = results.results["gating"][3], results.results["face"][3]
    assert gating.shared_stages == (1, 2)
    assert face.shared_stages == (1,)
    assert gating.training_seconds > face.training_seconds > 0
    assert gating.parameters > face.parameters > 0
    assert gating.metrics["tasks"]["emotion"]["rows"]["all"]["accuracy"]["value"] is not None
    assert len(gating.predictions.rows) == 9
    assert len(gating.val_predictions.rows) == 6


# Started again


def test_a_second_call_trains_and_judges_nothing(folder, monkeypatch):
    calls, before = counted(monkeypatch), looks(folder)
    assert run(folder / "ablation.yaml") == {}
    assert calls == []
    assert looks(folder) == before == dict.fromkeys(VARIANTS, 1)


def test_an_added_variant_and_seed_train_only_what_is_new(finished_once, folder, monkeypatch):
    calls, manifest = counted(monkeypatch), data(finished_once[0])
    constant = {"set": {"model.fusion": {"type": "constant"}}}
    run(made_ablation(folder, manifest, variants={**VARIANTS, "constant": constant}), only=["constant"])
    assert calls == [("constant", 3)]
    calls.clear()
    run(made_ablation(folder, manifest, seeds=[3, 4]), only=["face"])
    assert calls == [("face", 1)]


def test_a_changed_variant_is_refused_before_anything_is_trained(folder, monkeypatch):
    calls = counted(monkeypatch)
    with pytest.raises(UserError, match=r"face/seed3/stage1 was trained with other settings: stages\.1\.epochs 1 -> 2"):
        run(folder / "ablation.yaml", "stages.1.epochs=2", "seeds=[9,3]")
    assert calls == []


def test_claims_are_noted_with_what_had_been_seen_by_then(finished_once, folder):
    manifest = data(finished_once[0])
    assert load_results(load_ablation(folder / "ablation.yaml")).declared.judged == 0
    claim = {"text": "context adds", "a": "gating", "b": "face", "task": "emotion", "margin": 2}
    changed = made_ablation(folder, manifest, claims=[claim])
    assert load_results(load_ablation(changed)).declared is None
    for _ in range(2):
        run(changed)
        assert load_results(load_ablation(changed)).declared.judged == 4
    assert len((folder / "runs/made/declared.jsonl").read_text().splitlines()) == 2


# Failures


def test_a_failed_variant_does_not_stop_the_others(tmp_path, capsys):
    variants = {
        "broken": {"stages": [1], "set": {"model.face.weights": "absent.pth"}},
        "also_broken": {"stages": [1], "set": {"model.face.weights": "absent.pth", "model.context.dropout": 0.5}},
        "face": {"stages": [1]},
    }
    path = made_ablation(tmp_path, variants=variants)
    failures = run(path)
    assert set(failures) == {("broken", 3), ("also_broken", 3)}
    assert "no such file" in failures["broken", 3]
    assert "is the one that failed" in failures["also_broken", 3]
    assert "[1/3] broken seed 3: FAILED" in capsys.readouterr().out
    results = load_results(load_ablation(path))
    assert results.failures == failures
    assert list(results.results["face"]) == [3]


def test_an_unforeseen_error_leaves_its_trace(tmp_path, monkeypatch):
    def fail(config, stage):
        raise ZeroDivisionError("never again")

    monkeypatch.setattr(execution, "fit_stage", fail)
    failures = run(made_ablation(tmp_path), only=["face"])
    assert failures["face", 3].startswith("ZeroDivisionError: never again (")
    assert "Traceback" in (tmp_path / "runs/made/face/seed3/failure.txt").read_text()


# The command


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["caer", "ablate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr()
    return int(stop.value.code or 0), written.out, written.err


def test_dry_run_shows_the_plan_and_writes_nothing(tmp_path, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, made_ablation(tmp_path), "--dry-run", "--seeds", "3,4")
    assert code == 0
    assert "gating seed 4: stage 1 as face, stage 2 as context, stage 3 train, judge on test" in out
    assert "8 runs, 8 different stages, 8 of them to be trained" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({}, ["--only", "gate"], "unknown variant 'gate'; known: context, face, gating, sum"),
        ({}, ["--set", "stages.3.epoch=2"], "as variant 'face': unknown key 'stages.3.epoch'"),
        ({}, ["--set", "seeds=[]"], "seeds"),
        ({}, ["--seeds", "x"], "seeds.0"),
        ({"seeds": [3, 3]}, [], "a seed stands twice"),
        ({"split": "train"}, [], "give test or val"),
        ({"split": "tset"}, [], "no labelled rows of split 'tset'; there are test (9), train (24), val (6)"),
        ({"variants": {"a/b": None}}, [], "a/b"),
        ({"variants": {"face": {"stages": [7]}}}, [], "stage 7 is not declared; face declares 1, 2, 3"),
        ({"variants": {"gating": {"stages": [1, 3]}}}, [], "stage 3 takes its context from stage2"),
        ({"base": "absent.yaml"}, [], "absent.yaml: no such file"),
        (
            {"contrasts": [{"name": "x", "a": "face", "b": "gate", "task": "emotion"}]},
            [],
            "no variant 'gate'; known: face, context",
        ),
        ({"contrasts": [{"name": "x", "a": "face", "b": "sum", "task": "age"}]}, [], "has no task 'age'; it has emotion"),
        ({"claims": [{"text": "x", "a": "face", "b": "sum", "task": "emotion", "kind": "equivalent"}]}, [], "needs a margin"),
        ({"set": {"data.sources": [{"manifest": "absent/manifest.parquet"}]}}, [], "absent/manifest.parquet: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, changes, arguments, expected):
    code, out, err = call(monkeypatch, capsys, made_ablation(tmp_path, **changes), *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert not (tmp_path / "runs").exists()


def test_a_finished_ablation_ends_in_its_report(folder, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, folder / "ablation.yaml")
    assert code == 0
    assert out.splitlines()[-1].startswith("report: ")
    assert {path.name for path in (folder / "reports/made").iterdir()} >= {"report.html", "report.md", "results.csv"}
    assert "before any run was judged" in (folder / "reports/made/report.html").read_text()
    with open(folder / "reports/made/results.csv", newline="") as file:
        assert {row["variant"] for row in csv.DictReader(file)} == set(VARIANTS)


def test_report_only_trains_nothing(tmp_path, monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, made_ablation(tmp_path), "--report-only")
    assert code == 2
    assert "no variant is judged yet" in err
    assert not (tmp_path / "runs").exists()


def test_exit_code_1_tells_of_a_failed_variant(tmp_path, monkeypatch, capsys):
    variants = {"broken": {"stages": [1], "set": {"model.face.weights": "absent.pth"}}}
    code, out, _ = call(monkeypatch, capsys, made_ablation(tmp_path, variants=variants))
    assert code == 1
    assert "broken seed 3 FAILED: weights 'absent.pth': no such file" in out

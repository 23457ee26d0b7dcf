"""An ablation's results become its report: labels, costs, histories and hashes of the runs, claims in points."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from made_study import SKILLS, made_answers, made_history

from caer.ablation.config import AblationConfig
from caer.ablation.record import declare, read_declaration
from caer.ablation.report import as_study, trained_epochs, write_ablation_report
from caer.ablation.results import AblationResults, SeedResult
from caer.comparison.study import find
from caer.config import Monitor, load_config
from caer.engine.history import write_csv
from caer.evaluation import summary
from caer.report.comparison import plots
from preprocessing.errors import UserError
from preprocessing.files import write_json

MACHINE = {"processor": "x", "cores": 2, "gpu": None}


def made_config(**changes) -> AblationConfig:
    content = {
        "name": "made_ablation",
        "base": "configs/demo.yaml",
        "seeds": [1, 2],
        "variants": {"face": {"label": "face only"}, "gating": None},
        "contrasts": [{"name": "gate against face", "a": "gating", "b": "face", "task": "emotion"}],
        "claims": [
            {"text": "context helps", "a": "gating", "b": "face", "task": "emotion", "margin": 3.0, "number": 2},
            {"text": "context adds little", "a": "gating", "b": "face", "task": "emotion", "kind": "equivalent", "margin": 1.0},
        ],
    }
    return AblationConfig.model_validate({**content, **changes})


def made_result(folder: Path, variant: str, seed: int, stages: tuple[int, ...]) -> SeedResult:
    """A run's folder with the histories of its stages, and what an evaluation says of it."""
    for stage in stages:
        rows = [{"epoch": 0, "val/loss": 2.0}] if stage == 3 else made_history(seed, 4, 30.0, 0.6)
        write_csv(folder / variant / f"seed{seed}" / f"stage{stage}" / "metrics.csv", rows)
    predictions = made_answers(SKILLS[variant], seed, rows=240, gated=variant == "gating")
    run = {
        "row_hash": predictions.row_hash,
        "protocol_hash": "p" * 64,
        "weights_sha256": "w" * 64,
        "manifest_hashes": ["m" * 64],
        "inference_ms": 3.5,
        "evaluated_by": {"commit": "e" * 40, "machine": MACHINE, "versions": {"python": "3"}},
        "trained": {"commit": "t" * 40, "machine": MACHINE},
    }
    metrics = {"run": run, "tasks": summary.summarize(predictions, predictions), "looks": {"earlier_looks": 1}}
    place = folder / variant / f"seed{seed}" / f"stage{stages[-1]}"
    return SeedResult(variant, seed, place, metrics, predictions, predictions, 240.0, 4_100_000, stages[:2])


@pytest.fixture
def results(tmp_path) -> AblationResults:
    stages = {"face": (1,), "gating": (1, 2, 3)}
    judged = {v: {seed: made_result(tmp_path / "runs", v, seed, s) for seed in (1, 2)} for v, s in stages.items()}
    return AblationResults(made_config(), judged, config_hash="h" * 64, commit="r" * 40)


def test_the_report_cites_every_run(results, tmp_path):
    write_ablation_report(results, tmp_path / "report")
    rows = list(csv.DictReader((tmp_path / "report" / "results.csv").open()))
    assert [(row["variant"], row["seed"]) for row in rows] == [("face", "1"), ("face", "2"), ("gating", "1"), ("gating", "2")]
    for row in rows:
        task = results.results[row["variant"]][int(row["seed"])].metrics["tasks"]["emotion"]
        assert float(row["accuracy"]) == pytest.approx(task["rows"]["all"]["accuracy"]["value"])
        assert float(row["macro_f1"]) == pytest.approx(task["rows"]["all"]["macro_f1"]["value"])
        assert float(row["temperature"]) == pytest.approx(task["calibration"]["temperature"])
        assert (row["inference_ms"], row["training_seconds"], row["parameters"]) == ("3.5", "240.0", "4100000")
    page = (tmp_path / "report" / "report.html").read_text()
    for fact in ("h" * 64, "e" * 40, "t" * 40, "r" * 40, "m" * 64, "at most 2 at test by a run", "screening"):
        assert fact in page


def test_what_was_judged_before_the_declaration_is_counted_also_where_stages_are_adopted(tmp_path):
    seen = tmp_path / "demo" / "seed17" / "eval" / "test" / "metrics.json"
    config = made_config(runs=tmp_path / "runs", adopt=[tmp_path / "demo"])
    declare(config)
    assert str(read_declaration(config)).endswith("before any run was judged")
    for place in (seen, tmp_path / "runs" / "made_ablation" / "face" / "seed1" / "eval" / "test" / "metrics.json"):
        write_json(place, {})
    later = config.model_copy(update={"claims": []})
    assert read_declaration(later) is None
    declare(later)
    assert str(read_declaration(later)).endswith("after 2 runs had been judged")


def test_the_best_epoch_is_the_lowest_where_the_monitor_says_so(results):
    demo = load_config(ROOT / "configs/demo.yaml")
    for monitor, key in ((demo.monitor, f"val/{demo.monitor.metric}"), (Monitor(metric="age/mae", mode="min"), "val/age/mae")):
        study = as_study(replace(results, settings={"face": demo.model_copy(update={"monitor": monitor})}))
        assert (study.monitor, study.lowest_is_best) == (key, monitor.mode == "min")
    scores = np.array([np.nan, 3.0, 1.0, 2.0])
    assert (plots.best_place(scores, True), plots.best_place(scores, False)) == (2, 1)
    assert plots.best_place(scores[:1], True) is None


def test_margins_are_declared_in_points(results):
    results = replace(results, config=made_config(contrasts=[]))
    study = replace(as_study(results), gates={})
    assert [claim.margin for claim in study.claims] == [pytest.approx(0.03), pytest.approx(0.01)]
    gap = find(study).verdicts[0].difference
    for margin, word in ((100 * gap.low - 0.1, "supported"), (100 * gap.low + 0.1, "undecided")):
        declared = [{"text": "context helps", "a": "gating", "b": "face", "task": "emotion", "margin": margin}]
        judged = as_study(replace(results, config=made_config(claims=declared, contrasts=[])))
        assert find(replace(judged, gates={})).verdicts[0].word == word


def test_a_stage_that_only_joins_others_has_no_epochs(results):
    study = as_study(results)
    run = study.runs["gating"][1]
    assert {stage: len(rows) for stage, rows in run.curves.items()} == {1: 4, 2: 4, 3: 0}
    assert run.epochs == 8
    assert trained_epochs(Path("no such folder")) == []


def test_other_rows_are_refused_and_nothing_is_written(results, tmp_path):
    gating = results.results["gating"][2]
    other = replace(gating.predictions, meta={**gating.predictions.meta, "protocol_hash": "q" * 64})
    mixed = {**results.results, "gating": {1: results.results["gating"][1], 2: replace(gating, predictions=other)}}
    with pytest.raises(UserError, match=r"face seed 1 and gating seed 2 cannot stand in one table.*pppppppppppp.*qqqqqqqqqqqq"):
        write_ablation_report(replace(results, results=mixed), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_failures_are_listed_and_an_empty_ablation_has_no_report(results, tmp_path):
    failed = replace(results, results={**results.results, "gating": {}}, failures={("gating", 1): "loss is not finite"})
    findings = write_ablation_report(failed, tmp_path / "report")
    assert findings.verdicts == ["gating has no finished run"] * 2
    assert "loss is not finite" in (tmp_path / "report" / "report.html").read_text()
    with pytest.raises(UserError, match="no variant is judged yet"):
        write_ablation_report(replace(results, results={"face": {}, "gating": {}}), tmp_path / "none")


def test_an_ablation_of_numbers_alone_is_refused(results, tmp_path):
    face = results.results["face"][1]
    number = replace(face.predictions, meta={**face.predictions.meta, "kinds": {"emotion": "number"}})
    with pytest.raises(UserError, match="no task whose answer is one of several classes"):
        write_ablation_report(replace(results, results={"face": {1: replace(face, predictions=number)}}), tmp_path / "none")

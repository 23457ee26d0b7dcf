"""Every shipped ablation parses, its variants are experiments that can be trained, and what they share is as intended."""

import shlex
from itertools import pairwise

import pytest
from conftest import ROOT

from caer.ablation.config import load_ablation
from caer.ablation.plan import plan, users
from caer.engine.monitor import check_monitor
from caer.models import check_model
from caer.tasks import build_tasks

SHIPPED = sorted((ROOT / "configs").glob("ablation_*.yaml"))


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch):
    """Configs name each other as seen from the project's root."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_each_variant_can_be_trained(path):
    ablation = load_ablation(path, ["seeds=[17]"])
    assert ablation.name == path.stem
    assert f"python -m caer ablate configs/{path.name}" in path.read_text().splitlines()[1]
    runs = plan(ablation)
    assert [run.variant for run in runs] == list(ablation.variants)
    for run in runs:
        check_model(run.config)
        check_monitor(run.config, build_tasks(run.config))
    tasks = {run.variant: set(run.config.tasks) for run in runs}
    for pair in (*ablation.contrasts, *ablation.claims):
        assert pair.task in tasks[pair.a] & tasks[pair.b]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_all_variants_read_the_same_rows(path):
    runs = plan(load_ablation(path, ["seeds=[17]"]))
    rows = [run.config.data.model_dump(include={"sources", "no_face", "holdout_fraction"}) for run in runs]
    assert all(read == rows[0] for read in rows)


@pytest.mark.parametrize("name", ["ablation_emotion", "ablation_age"])
def test_headers_command_for_the_v4_like_set_reaches_every_variant(name):
    header = (ROOT / "configs" / f"{name}.yaml").read_text().splitlines()[4:6]
    words = shlex.split(" ".join(line.removeprefix("#") for line in header))
    overrides = [word for flag, word in pairwise(words) if flag == "--set"]
    ablation = load_ablation(f"configs/{name}.yaml", ["seeds=[17]", *overrides])
    assert ablation.name == f"{name}_v4"
    for run in plan(ablation):
        assert [str(source.manifest) for source in run.config.data.sources] == ["data/v4/manifest.parquet"]
        assert next(iter(run.config.tasks.values()))["class_weights"] == "effective"


def test_fusions_share_their_branches():
    runs = {run.variant: run for run in plan(load_ablation("configs/ablation_emotion.yaml", ["seeds=[17]"]))}
    for fusion in ("sum", "constant", "concat", "adaptive", "gating"):
        for suffix in ("", "_adam"):
            assert runs[f"{fusion}{suffix}"].recipes[1] == runs[f"face{suffix}"].recipes[1]
            assert runs[f"{fusion}{suffix}"].recipes[2] == runs[f"context{suffix}"].recipes[2]
    different = ["face", "face_adam", "face_train", "face_scratch", "gating_adam_long"]
    assert len({runs[name].recipes[1] for name in different}) == len(different)
    assert len({runs[name].recipes[3] for name in runs if 3 in runs[name].recipes}) == 14


def test_the_five_claims_stand_in_configs_with_their_margins():
    claims = [claim for path in SHIPPED for claim in load_ablation(path).claims]
    assert {claim.number for claim in claims} == {1, 2, 3, 4, 5}
    assert {claim.compare for claim in claims if claim.number == 4} == {"equal_epochs", "equal_time"}
    assert all((claim.kind, claim.margin) == ("equivalent", 1.0) for claim in claims if claim.number == 5)


def test_the_demo_is_small_and_adopts_the_quickstarts_run():
    ablation = load_ablation("configs/ablation_demo.yaml")
    runs = plan(ablation)
    assert len(ablation.variants) <= 4
    assert len(ablation.seeds) <= 2
    assert [str(folder) for folder in ablation.adopt] == ["runs/demo"]
    assert len(users(runs)) == 4 * len(ablation.seeds)

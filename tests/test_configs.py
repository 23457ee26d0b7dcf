"""Every shipped config parses, and every kind of mistake in one is a single line that says what to do."""

import json

import pytest
from conftest import ROOT

from caer.config import load_config
from preprocessing.errors import UserError

SHIPPED = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.stem.startswith("ablation_"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_config_parses(path):
    config = load_config(path)
    assert config.name == path.stem
    header = path.read_text().splitlines()[:3]
    assert any("train_stage.py --config" in line for line in header), "a config's header gives its command"


def test_override_reaches_integer_keys():
    config = load_config(ROOT / "configs/demo.yaml", ["stages.3.epochs=5", "seed=4", "model.fusion.hidden_dim=8"])
    assert config.stages[3].epochs == 5
    assert config.run_folder.parts[-2:] == ("demo", "seed4")
    assert config.model.fusion["hidden_dim"] == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("no.such.key=1", "unknown key 'no'; known: schema_version"),
        ("data.batch_sise=1", "unknown key 'data.batch_sise'; known: sources"),
        ("data.batch_size=0", "data.batch_size"),
        ("stages.3.epochs=0", "go together"),
        ("stages.1.output=gate", "stages.1.output"),
        ("stages.3.init.face=stage9", "no earlier stage"),
        ("tasks.emotion.type=nosuch", "known: classification"),
        ("model.face=null", "fusion"),
        ("schema_version=9", "this code reads 1"),
        ("seed", "expected key.sub=value"),
        ("name=../x", "name"),
    ],
)
def test_mistakes_are_one_clear_line(override, message):
    with pytest.raises(UserError) as caught:
        load_config(ROOT / "configs/demo.yaml", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["type", "items", "training", "a.b", "a/b", "", "a\nb"])
def test_a_name_that_no_task_can_have(name):
    task = {"type": "classification", "classes": ["a", "b"]}
    with pytest.raises(UserError, match=r"tasks: .* cannot name a task: .*; call it otherwise") as caught:
        load_config(ROOT / "configs/demo.yaml", [f"tasks={json.dumps({name: task})}"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe not yaml: [", b"[1, 2]", b"a: [", b""])
def test_a_file_that_is_no_config(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"c\.yaml"):
        load_config(path)


def test_undeclared_stage_lists_the_declared():
    with pytest.raises(UserError, match="declares 1, 2, 3"):
        load_config(ROOT / "configs/demo.yaml").stage(7)

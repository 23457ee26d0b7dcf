"""The packages import in the direction of the data, and the cheap ones stay cheap."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

ALLOWED = {
    "preprocessing": {"preprocessing"},
    "gating": {"gating"},
    "caer": {"preprocessing", "gating", "caer"},
}


def imported_roots(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_data(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        f"{path.relative_to(ROOT)} imports {root}"
        for path in files
        for root in imported_roots(path)
        if root in ALLOWED and root not in ALLOWED[package]
    }
    assert not wrong


def test_entry_point_is_short():
    assert len((ROOT / "train_stage.py").read_text().splitlines()) < 80


@pytest.mark.parametrize("package", ["preprocessing", "caer"])
def test_importing_a_package_is_cheap(package):
    code = f"import {package}, sys; print([m for m in ('torch', 'cv2', 'pandas', 'onnxruntime') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_file_holds_a_path_of_one_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [ROOT / name for name in tracked if name.endswith((".py", ".sh", ".md", ".yaml", ".toml"))]
    assert texts
    found = [p.name for p in texts if p.exists() and any(f"/{d}/" in p.read_text() for d in ("home/" + "user", "ro" + "ot"))]
    assert not found

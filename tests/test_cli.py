"""`python -m caer`: help at once, wrong input in one line with exit code 2."""

import subprocess
import sys

import pytest

from caer import __main__ as cli


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["caer", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr()
    return int(stop.value.code or 0), written.out, written.err


def test_help_loads_nothing_heavy():
    check = (
        "import sys, runpy; sys.argv = ['caer', '--help']\n"
        "try: runpy.run_module('caer', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'matplotlib', 'lightning', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "evaluate" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_no_command_shows_the_help(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys)
    assert code == 0
    assert "evaluate" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate"], "Missing argument"),
        (["evaluate", "runs/none", "--spilt", "val"], "--spilt"),
        (["evalute"], "No such command 'evalute'"),
        (["evaluate", "runs/none"], "runs/none: no such run folder; expected runs/NAME/seedS"),
        (["evaluate", "runs/none", "--split", "train"], "give val or test"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, expected):
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err

"""Starting the page: wrong input is one line before anything listens; its settings keep it on this machine."""

import asyncio
import socket
import subprocess
import sys

import pytest
from conftest import ROOT
from made_manifest import made_manifest

from caer.commands import app
from caer.web.wording import plain
from preprocessing.errors import UserError

pytest.importorskip("streamlit", reason="the page's requirement is not installed")


def start(tmp_path, **given):
    app.run(
        **{"data": None, "runs": tmp_path, "reports": tmp_path, "library": None, "port": 8501, "address": "127.0.0.1"} | given
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"data": "absent"}, "no such file; expected a manifest"),
        ({"runs": "absent"}, "--runs .*no such folder"),
        ({"library": "absent.parquet"}, "expected a library, as python -m caer index writes it"),
        ({"address": "localhost.example"}, "no IP address"),
        ({"address": "203.0.113.7"}, "203.0.113.7, port 8501"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, given, expected):
    given = {name: tmp_path / value if name != "address" else value for name, value in given.items()}
    with pytest.raises(UserError, match=expected) as error:
        start(tmp_path, **given)
    assert "\n" not in str(error.value)


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: .*--port"):
            start(tmp_path, port=port)


def test_without_streamlit_the_requirement_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-app\.txt"):
        start(tmp_path)


def test_the_logic_of_the_page_does_without_streamlit(tmp_path):
    made_manifest(tmp_path, {"train": 2})
    code = (
        "import sys; sys.modules['streamlit'] = sys.modules['starlette'] = None\n"
        "from pathlib import Path; from caer.web.served import Served\n"
        f"print(len(Served(Path({str(tmp_path)!r}), Path('.'), Path('.'), None).bench.loaded().samples.rows))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


def test_settings_keep_the_page_private():
    from caer.web.server import settings, trusted_hosts

    chosen = settings("127.0.0.1", 8501)
    assert chosen["server.address"] == "127.0.0.1"
    assert (chosen["browser.gatherUsageStats"], chosen["server.enableXsrfProtection"]) == (False, True)
    assert (chosen["server.fileWatcherType"], chosen["server.headless"]) == ("none", True)
    assert "*" not in trusted_hosts("127.0.0.1")
    assert "*" not in trusted_hosts("::1")
    assert trusted_hosts("192.0.2.1") == ["192.0.2.1"]


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("2001:db8:0::7", "[2001:db8::7]")])
def test_the_page_answers_under_the_address_that_it_listens_on_and_no_other(address, host, monkeypatch):
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import PlainTextResponse
    from streamlit.web.server.starlette import starlette_websocket

    from caer.web.server import trusted_hosts

    hosts, statuses = trusted_hosts(address), []
    guarded = TrustedHostMiddleware(PlainTextResponse("inside"), allowed_hosts=hosts, www_redirect=False)

    async def note(message):
        statuses.append(message.get("status"))

    monkeypatch.setattr(starlette_websocket.config, "get_option", lambda name: hosts)
    for asked, status in ((f"{host}:8501", 200), ("elsewhere.example:8501", 400)):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", asked.encode())]}
        asyncio.run(guarded(scope, None, note))
        assert status in statuses
        assert starlette_websocket.is_host_allowed(asked) == (status == 200)
        statuses.clear()


def test_text_from_outside_has_no_marks_left():
    assert plain("<b>_a_*b*[x](http://y) `c` $d$\n") == r"\<b\>\_a\_\*b\*\[x\]\(http\://y\) \`c\` \$d\$\\x0a"

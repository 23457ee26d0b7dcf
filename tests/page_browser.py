"""The page as its users meet it: a server process of `python -m caer app`, and headless Chromium."""

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from conftest import ROOT, require

TIMEOUT = 120_000
"""Milliseconds that anything on the page may take on a slow, busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`python -m caer app` on a port of its own; killed for good at the end."""

    def __init__(self, *arguments: str, port: int | None = None) -> None:
        self.arguments, self.port = arguments, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "caer", "app", *self.arguments, "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + TIMEOUT / 1000
        while not self._answers():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, "the page did not start"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5).status == 200
        except OSError:
            return False

    def request(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer, whatever its status."""
        request = urllib.request.Request(self.url + path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def chromium() -> Iterator:
    """A headless browser's context, whose tabs share their cache; skips with the reason where something for it is absent."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    require("browser", path is not None, "chromium is absent; apt-get install chromium")
    for package in ("playwright", "streamlit"):
        there = importlib.util.find_spec(package) is not None
        require("browser", there, f"{package} is absent; pip install -r requirements-dev.txt -r requirements-app.txt")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=TIMEOUT)
        try:
            yield browser.new_context()
        finally:
            browser.close()


class Watched:
    """A browser's tab and what it did: the addresses that it asked, the errors that its scripts made."""

    def __init__(self, context, width: int = 1280, height: int = 900) -> None:
        self.page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.set_default_timeout(TIMEOUT)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("requestfinished", self._note)
        self.page.on("requestfailed", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request) -> None:
        kept_in = "csp" in (request.failure or "").lower()  # the page's own policy kept the browser from asking
        if request.url.startswith("http") and not kept_in:
            self.asked.append(request.url)

    @property
    def hosts(self) -> set[str]:
        return {url.split("/")[2] for url in self.asked}

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def choose(page, field: str, option: str) -> None:
    """Choose from a drop-down list; a page that still settles may close the list again: then open it once more."""
    from playwright.sync_api import TimeoutError as TookTooLong

    until = time.monotonic() + TIMEOUT / 1000
    while True:
        page.get_by_role("combobox", name=re.compile(field)).click()
        try:
            page.get_by_role("option", name=option, exact=True).click(timeout=TIMEOUT / 12)
            return
        except TookTooLong:
            assert time.monotonic() < until, f"{field} does not offer {option}"
            page.keyboard.press("Escape")

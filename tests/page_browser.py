"""The page as its users meet it: a server process of `python -m caer app`, and headless Chromium."""

import importlib.util
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from conftest import ROOT, require

TIMEOUT = 300_000
"""Milliseconds that anything on the page may take on a slow, busy machine."""


def free_port() -> int:
    """A port that nobody has, and below those that the system gives to any connection in the meantime."""
    with socket.socket() as probe:
        while True:
            port = random.randrange(20_000, 32_000)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


class Server:
    """`python -m caer app` on a port of its own; killed for good at the end."""

    def __init__(self, *arguments: str, port: int | None = None) -> None:
        self.arguments, self.port = arguments, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "caer", "app", *self.arguments, "--port", str(self.port)]
        # a pipe that nobody empties would stop a server that says much
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the server)
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.output, stderr=subprocess.STDOUT)
        until = time.monotonic() + TIMEOUT / 1000
        while not self._answers():
            assert self.process.poll() is None, self._said()
            assert time.monotonic() < until, f"the page did not start: {self._said()}"
            time.sleep(0.1)

    def _said(self) -> str:
        self.output.seek(0)
        return self.output.read()

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
        self.process.wait()
        self.output.close()


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
        self.page.on("pageerror", self._complain)

    def _note(self, request) -> None:
        kept_in = "csp" in (request.failure or "").lower()  # the page's own policy kept the browser from asking
        if request.url.startswith("http") and not kept_in:
            self.asked.append(request.url)

    def _complain(self, error) -> None:
        if "ResizeObserver loop" not in str(error):  # the browser's word for measuring again in the next frame
            self.errors.append(str(error))

    def open(self, address: str) -> None:
        """Go to an address of the page and wait until it has drawn itself."""
        self.page.goto(address)
        settled(self.page)

    @property
    def hosts(self) -> set[str]:
        return {url.split("/")[2] for url in self.asked}

    def fits(self) -> None:
        """Wait until the page is no wider than the window."""
        self.page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")


def settled(page) -> None:
    """Wait until the page's script has run.

    While it runs, it draws anew what is about to be clicked, and what it drew before may still be there: wait for `.first`.
    """
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def choose(page, field: str, option: str) -> None:
    """Choose from a drop-down list; a page that still settles may close the list again: then open it once more."""
    from playwright.sync_api import TimeoutError as TookTooLong

    until = time.monotonic() + TIMEOUT / 1000
    while True:
        page.get_by_role("combobox", name=re.compile(field)).first.click()
        try:
            page.get_by_role("option", name=option, exact=True).first.click(timeout=10_000)
            return
        except TookTooLong:
            assert time.monotonic() < until, f"{field} does not offer {option}"
            page.keyboard.press("Escape")

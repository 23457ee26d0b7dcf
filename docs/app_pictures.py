"""Take the pictures of docs/app.md: `.venv/bin/python docs/app_pictures.py` after `bash scripts/quickstart.sh`; needs Chromium.

Enters: the drawn scenes and `runs/demo`. Leaves: `docs/app_review.png`, `docs/app_predict.png`. Decisions are made on a copy.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from preprocessing.errors import UserError, run_command

ROOT = Path(__file__).resolve().parent.parent
DATA, PHOTOS, RUNS = ROOT / "data" / "demo", ROOT / "data" / "demo_photos", ROOT / "runs"
PORT = 8597
PHOTO = "photos/test/00001.jpg"
PATIENCE = 300_000
"""Milliseconds that loading a run may take."""


def review(page: Page, target: Path) -> None:
    """Some samples decided about by keys, the next one shown."""
    page.goto(f"http://127.0.0.1:{PORT}/?tab=Review")
    page.locator(".cell.here").wait_for()
    for key in "aaaxaa2aaxaa":
        page.keyboard.press(key)
    page.locator(".saving", has_text="all saved").wait_for()
    page.wait_for_function("[...document.images].every(image => image.complete)")
    _save(page.screenshot(), target)


def predict(page: Page, target: Path) -> None:
    """The answer for one photo, with what is hidden and the attention."""
    page.set_viewport_size({"width": 1240, "height": 1110})
    page.goto(f"http://127.0.0.1:{PORT}/?tab=Predict")
    page.locator("input[type=file]").set_input_files(PHOTOS / PHOTO)
    page.locator(".caer .row").first.wait_for()
    page.get_by_text("Where the context branch looks").click()
    page.get_by_alt_text("attention over the photo").wait_for()
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")
    page.wait_for_timeout(1000)  # the box unfolds
    _save(page.screenshot(), target)


def _save(picture: bytes, target: Path) -> None:
    """As a PNG of 256 colours, a third of the size."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


@contextmanager
def _page(folder: Path) -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    command = [sys.executable, "-m", "caer", "app", "--data", str(folder), "--runs", str(RUNS), "--port", str(PORT)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1240, "height": 860})
            page.set_default_timeout(PATIENCE)
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Take both pictures."""
    if not (DATA.is_dir() and (RUNS / "demo").is_dir()):
        raise UserError(f"{DATA} or {RUNS}/demo is missing; run bash scripts/quickstart.sh first")
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(DATA, Path(folder) / "demo", ignore=shutil.ignore_patterns("parts", "decisions.jsonl"))
        with _page(copy) as page:
            review(page, ROOT / "docs" / "app_review.png")
            predict(page, ROOT / "docs" / "app_predict.png")


if __name__ == "__main__":
    run_command(main)

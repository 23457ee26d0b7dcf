"""How fluid the review is with many samples: `python benchmarks/page.py [--samples 2000] [--record]`; needs Chromium.

Draws one photo, repeats its row, opens the page and presses keys as a person would. Measures in the browser: from a key until the
next sample is drawn, until the decision is on disk, from a page's last sample until the next page is drawn, and how many
pictures were asked for.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from preprocessing.manifest import sample_id, write_manifest
from preprocessing.pipeline import process
from preprocessing.settings import Settings
from preprocessing.types import Face

ROOT = Path(__file__).resolve().parent.parent
PORT = 8598
LABELS = ["angry", "sad", "smile"]

TIMER = """() => {
  const root = [...document.querySelectorAll('*')].map(e => e.shadowRoot).find(r => r?.querySelector('.sheet'));
  const mark = window.measured = { drawn: [], saved: [] };
  document.addEventListener('keydown', () => {
    const start = performance.now();
    requestAnimationFrame(() => setTimeout(() => mark.drawn.push(performance.now() - start)));
    const saving = root.querySelector('.saving');
    const seen = new MutationObserver(() => {
      if (saving.textContent === 'all saved') { mark.saved.push(performance.now() - start); seen.disconnect(); }
    });
    seen.observe(saving, { childList: true, characterData: true, subtree: true });
  }, { capture: true });
}"""


class _Drawn:
    def detect(self, image: np.ndarray, key: str = "") -> list[Face]:
        return [Face(np.array([60, 40, 160, 140], np.float32), None, 0.99)]


def make_data(folder: Path, count: int) -> None:
    """A manifest of so many samples, each with pictures of its own."""
    pixels = np.random.default_rng(0).integers(0, 255, (270, 480, 3), dtype=np.uint8)
    record = process(pixels, Settings(), _Drawn())[0]
    assert record.face is not None
    assert record.face_jpeg is not None
    rows = []
    for kind in ("faces", "images"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        identity = sample_id("drawn", f"{i}.jpg", 0)
        (folder / "faces" / f"{identity}.jpg").write_bytes(record.face_jpeg)
        (folder / "images" / f"{identity}.jpg").write_bytes(record.image_jpeg)
        row = {"sample_id": identity, "source": "drawn", "image": f"{i}.jpg", "split": "train", "group": "", "rank": 0}
        row |= {"width": 480, "height": 270, "score": 0.99, "n_faces": 1, "status": "ok", "reason": "", "landmarks": None}
        row |= {"box": record.face.box.tolist(), "all_boxes": record.all_boxes.ravel().tolist(), "face_landmarks": None}
        row |= {"face_file": f"faces/{identity}.jpg", "image_file": f"images/{identity}.jpg", "label_emotion": LABELS[i % 3]}
        rows.append(row | {"face_box": None, "image_box": None, "image_boxes": None})
    write_manifest(folder, [rows], {"emotion": "string"}, {"settings": Settings().model_dump(mode="json")})


def measure(page: Page, presses: int) -> list[str]:
    """Press keys; returns lines of a table."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/review/" in request.url and ".jpg" in request.url else None)
    page.goto(f"http://127.0.0.1:{PORT}")
    page.locator(".cell.here").wait_for()
    page.wait_for_load_state("networkidle")
    first = len(set(asked))
    page.evaluate(TIMER)
    for i in range(presses):
        page.keyboard.press("ax23"[i % 4])
        page.locator(".saving", has_text="all saved").wait_for()
    measured = page.evaluate("window.measured")
    page.keyboard.press("PageDown")
    turned = page.evaluate(
        """async () => { const start = performance.now();
        const root = [...document.querySelectorAll('*')].map(e => e.shadowRoot).find(r => r?.querySelector('.sheet'));
        while (!root.querySelector('.where').textContent.startsWith('2 ')) await new Promise(r => setTimeout(r, 2));
        return performance.now() - start; }"""
    )
    return [
        "| what | median | 95% below |",
        "| --- | --- | --- |",
        _line("key until the next sample is drawn, ms", measured["drawn"]),
        _line("key until the decision is on disk, ms", measured["saved"]),
        f"| next page drawn, ms | {turned:.0f} | |",
        f"| pictures loaded for the first page | {first} | |",
    ]


def _line(name: str, values: list[float]) -> str:
    return f"| {name} | {statistics.median(values):.0f} | {statistics.quantiles(values, n=20)[-1]:.0f} |"


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        make_data(data, options.samples)
        command = [sys.executable, "-m", "caer", "app", "--data", str(data), "--runs", folder, "--port", str(PORT)]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            server.stdout.readline()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(300_000)
                lines = measure(page, options.presses)
        finally:
            server.terminate()
            server.wait()
    print("\n".join(lines))
    if options.record:
        from recording import record

        record("page", f"The review with {options.samples:,} samples", lines)


if __name__ == "__main__":
    main()

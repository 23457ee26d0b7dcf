"""Draw the README's pictures from the demo run: `.venv/bin/python docs/pictures.py` after `bash scripts/quickstart.sh`.

Enters: the drawn photos and `runs/demo`. Leaves: `docs/pipeline.png` (a photo's way through the software) and `docs/result.png`
(answers and gates). Nothing in them is staged: pictures and numbers are what `Predictor` and `pictures_of` give.
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from caer.predict import FacePrediction, Predictor
from caer.predict.samples import pictures_of
from caer.report.style import COLOURS
from preprocessing.errors import UserError, run_command
from preprocessing.images import read_image
from preprocessing.pipeline import process

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / "data" / "demo_photos"
RUN = ROOT / "runs" / "demo"
DPI = 110


def draw_pipeline(predictor: Predictor, photo: Path, target: Path) -> None:
    """One photo from file to answer."""
    image = read_image(photo)
    record = process(image, predictor.settings, predictor.detector)[0]
    answer = predictor.predict(image)[0]
    inputs = pictures_of(record, predictor.run.config, {"face", "context", "image"})
    figure, axes = plt.subplots(figsize=(13, 5.6), dpi=DPI)
    axes.set(xlim=(0, 130), ylim=(0, 56))
    axes.axis("off")
    _picture(axes, _annotated(image, answer), 0, 17, 29, "photo: box and landmarks (RetinaFace)")
    _picture(axes, inputs["face"], 41, 39, 13, "face crop, aligned")
    _picture(axes, inputs["context"], 41, 20, 13, "context: face masked")
    _picture(axes, inputs["image"], 41, 1, 13, "whole photo")
    model: Any = predictor.run.config.model
    _box(axes, 60, 40, 25, 11, f"face branch\n{model.face.backbone}", COLOURS["face"])
    _box(axes, 60, 21, 25, 11, f"context branch, attention\n{model.context.backbone}", COLOURS["context"])
    _box(axes, 60, 2, 25, 11, "GatingNet\nsame encoder, sigmoid", COLOURS["fused"])
    _box(axes, 97, 21, 12, 11, "g·face +\ng·context", COLOURS["ink"])
    for y in (45.5, 26.5, 7.5):
        _arrow(axes, (30, 28), (40, y))
        _arrow(axes, (55, y), (59.5, y))
    _arrow(axes, (85.5, 45.5), (97.5, 32.5))
    _arrow(axes, (85.5, 26.5), (96.5, 26.5))
    _arrow(axes, (85.5, 7.5), (97.5, 20.5))
    assert answer.gates is not None
    task = next(iter(answer.label))
    face_gate, context_gate = answer.gates[task]
    axes.text(92.5, 40, f"gate {face_gate:.2f}", color=COLOURS["face"], ha="left")
    axes.text(90.7, 27.3, f"gate {context_gate:.2f}", color=COLOURS["context"], ha="center")
    _arrow(axes, (109.5, 26.5), (112.5, 26.5))
    _bars(axes, predictor.run.tasks[task].classes, answer.calibrated[task], 114, 16, 16)
    _save(figure, target)


def draw_results(predictor: Predictor, photos: pd.DataFrame, target: Path) -> None:
    """Scenes with what is annotated, what was answered, and the gates."""
    figure, grid = plt.subplots(2, 4, figsize=(13, 6.6), dpi=DPI)
    for axes, (_, row) in zip(grid.flat, photos.iterrows(), strict=True):
        image = read_image(PHOTOS / row["path"])
        answer = predictor.predict(image)[0]
        axes.imshow(_annotated(image, answer))
        axes.axis("off")
        task = next(iter(answer.label))
        said, confidence = answer.label[task], answer.confidence[task]
        right = said == row[task]
        verdict = said if right else f"{said} (annotated {row[task]})"
        axes.set_title(f"{verdict} {confidence:.0%}", fontsize=11, color=COLOURS["fused" if right else "context"])
        if answer.gates is not None:
            face, context = answer.gates[task]
            place = "no face found" if answer.box is None else f"face gate {face:.2f}"
            axes.text(0.5, -0.07, f"{place}, context gate {context:.2f}", transform=axes.transAxes, ha="center", fontsize=9)
    figure.tight_layout()
    _save(figure, target)


def _save(figure: Any, target: Path) -> None:
    """As a PNG of 256 colours, a third of the size."""
    figure.savefig(target, bbox_inches="tight", pad_inches=0.1, facecolor="white")
    plt.close(figure)
    Image.open(target).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def _annotated(image: np.ndarray, answer: FacePrediction) -> np.ndarray:
    drawn = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    if answer.box is not None:
        x1, y1, x2, y2 = (2 * answer.box).round().astype(int).tolist()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), (255, 255, 255), 5, cv2.LINE_AA)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), (0, 114, 178), 3, cv2.LINE_AA)
    if answer.landmarks is not None:
        for x, y in (2 * answer.landmarks).round().astype(int).tolist():
            cv2.circle(drawn, (x, y), 5, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(drawn, (x, y), 4, (213, 94, 0), -1, cv2.LINE_AA)
    return drawn


def _picture(axes: Any, image: np.ndarray, x: float, y: float, width: float, title: str) -> None:
    height = width * image.shape[0] / image.shape[1]
    axes.imshow(image, extent=(x, x + width, y, y + height), aspect="auto", zorder=2)
    axes.set(xlim=(0, 130), ylim=(0, 56))
    axes.text(x + width / 2, y + height + 0.7, title, ha="center", va="bottom", fontsize=9)


def _box(axes: Any, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    style = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.5", fc="white", ec=colour, lw=2)
    axes.add_patch(style)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=10.5, color=colour)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=COLOURS["ideal"], lw=1.4, zorder=1))


def _bars(axes: Any, classes: list[str], probabilities: np.ndarray, x: float, y: float, width: float) -> None:
    for row, (name, share) in enumerate(zip(classes, probabilities, strict=True)):
        bottom = y + (len(classes) - 1 - row) * 4.8
        best = share == probabilities.max()
        axes.barh(bottom, width * share, left=x, height=1.7, color=COLOURS["fused" if best else "grid"], align="center")
        axes.text(x, bottom + 1.3, f"{name} {share:.0%}", fontsize=9, fontweight="bold" if best else "normal")


def main() -> None:
    """Draw both pictures."""
    if not (RUN.is_dir() and PHOTOS.is_dir()):
        raise UserError(f"{RUN} or {PHOTOS} is missing; run bash scripts/quickstart.sh first")
    predictor = Predictor(RUN / "seed17")
    table = pd.read_csv(PHOTOS / "labels.csv").query("split == 'test'").reset_index(drop=True)
    index = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    draw_pipeline(predictor, PHOTOS / table["path"][index], ROOT / "docs" / "pipeline.png")
    draw_results(predictor, table.iloc[index : index + 8], ROOT / "docs" / "result.png")


if __name__ == "__main__":
    run_command(main)

"""Answers drawn on the photo: numbered boxes, and beside it a card a face with its answer, bars and gates.

Enters: a photo and its answers. Leaves: JPEG bytes. Sizes follow the photo's, so that a thumbnail and a picture of 50 megapixels
read alike: small photos are enlarged to `SMALLEST` px, large ones keep their size.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from caer.predict.answers import FacePrediction, names_of, one_of, plain
from caer.predict.sources import Photo
from caer.report.style import COLOURS
from caer.tasks import Task

SMALLEST = 640
"""Pixels of the longer side that a photo is enlarged to."""
FACE_COLOURS = ("#0072b2", "#d55e00", "#00795c", "#b3568b", "#8a6d00", "#3b6ea8", "#5b4b8a", "#a23b3b")
UNANSWERED = "#6b7280"
PAPER, TRACK = "#fbfbfa", "#e3e6ea"
QUALITY = 92


def picture_name(photo: Photo) -> str:
    """Where a photo's annotated picture goes, relative to the folder for them."""
    key = PurePosixPath(photo.key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    if photo.frame is not None:
        return f"{key}/frame{photo.frame:07d}.jpg"
    return str(key) if key.suffix.lower() in (".jpg", ".jpeg") else f"{key}.jpg"


def annotate(picture: bytes | np.ndarray, faces: Sequence[FacePrediction], tasks: Mapping[str, Task]) -> bytes:
    """Draw the answers of one photo.

    Args:
        picture: the upright photo as JPEG or PNG bytes, or [H, W, 3] uint8 RGB.
        faces: its answers, in its pixels.
        tasks: the network's tasks.

    Returns:
        JPEG bytes; the photo stands left, the cards right of it.
    """
    image, look = mark(picture, faces)
    cards = _cards(faces, tasks, look, max(image.height, look.text * 16))
    sheet = Image.new("RGB", (image.width + cards.width, max(image.height, cards.height)), PAPER)
    sheet.paste(image, (0, 0))
    sheet.paste(cards, (image.width, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def mark(picture: bytes | np.ndarray, faces: Sequence[FacePrediction]) -> "tuple[Image.Image, _Look]":
    """The photo, enlarged where it is small, with numbered boxes and landmarks; and the sizes that they were drawn in."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else Image.open(io.BytesIO(picture)).convert("RGB")
    scale = max(1.0, SMALLEST / max(image.size))
    if scale > 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    look = _Look.of(image.width, image.height)
    _draw_boxes(ImageDraw.Draw(image), faces, scale, look)
    return image, look


@dataclass(frozen=True)
class _Look:
    """Sizes in pixels that fit a photo."""

    text: int
    line: int

    @classmethod
    def of(cls, width: int, height: int) -> "_Look":
        text = max(13, round(0.022 * (width * height) ** 0.5))
        return cls(text, max(2, text // 7))

    @property
    def column(self) -> int:
        return self.text * 17

    def font(self, bold: bool = False, size: float = 1.0) -> ImageFont.FreeTypeFont:
        return _font("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", max(9, round(self.text * size)))


@lru_cache(maxsize=32)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


def _colour(face: FacePrediction) -> str:
    return FACE_COLOURS[face.rank % len(FACE_COLOURS)] if face.answered_by != "none" else UNANSWERED


def _draw_boxes(pen: ImageDraw.ImageDraw, faces: Sequence[FacePrediction], scale: float, look: _Look) -> None:
    for face in reversed(faces):  # the chosen one on top
        if face.box is None:
            continue
        box = [float(v) * scale for v in face.box]
        pen.rectangle(box, outline="white", width=look.line + 2)
        pen.rectangle([box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1], outline=_colour(face), width=look.line)
        for x, y in [] if face.landmarks is None else face.landmarks * scale:
            r = max(1.5, min(look.line, (box[2] - box[0]) / 40))
            pen.ellipse([x - r, y - r, x + r, y + r], fill="white", outline=_colour(face))
        number, label = str(face.rank + 1), _words(plain(next(iter(face.label.values()), "")))
        fits = look.font(bold=True).getlength(f"{number} {label}") <= 1.3 * (box[2] - box[0])
        _tag(pen, f"{number} {label}" if label and fits else number, box, _colour(face), look)


def _tag(pen: ImageDraw.ImageDraw, words: str, box: Sequence[float], colour: str, look: _Look) -> None:
    """The number above a box's corner, or inside it where the photo ends."""
    font = look.font(bold=True)
    width, height = font.getlength(words) + 0.7 * look.text, 1.4 * look.text
    x, y = max(0.0, box[0]), box[1] - height if box[1] >= height else max(0.0, box[1])
    pen.rectangle([x, y, x + width, y + height], fill=colour)
    pen.text((x + width / 2, y + height / 2), words, "white", font, anchor="mm")


def _cards(faces: Sequence[FacePrediction], tasks: Mapping[str, Task], look: _Look, height: int) -> Image.Image:
    """A column with a card a face; as many as fit in the height, at least one."""
    cards = [_card(face, tasks, look) for face in faces[: 1 + height // (3 * look.text)]]
    fitting, used = 1, cards[0].height
    room = height - 2 * look.text
    while fitting < len(cards) and used + cards[fitting].height <= room:
        used += cards[fitting].height
        fitting += 1
    left = len(faces) - fitting
    column = Image.new("RGB", (look.column, used + (2 * look.text if left else 0)), PAPER)
    y = 0
    for card in cards[:fitting]:
        column.paste(card, (0, y))
        y += card.height
    if left:
        ImageDraw.Draw(column).text((look.text, y + look.text / 3), f"and {left} more", UNANSWERED, look.font())
    return column


def _card(face: FacePrediction, tasks: Mapping[str, Task], look: _Look) -> Image.Image:
    """One face: number and how it was answered, then each task."""
    card = Image.new("RGB", (look.column, 400 * look.text), PAPER)
    pen, y = ImageDraw.Draw(card), 0.6 * look.text
    words = str(face.rank + 1) if face.box is not None else "–"
    _tag(pen, words, [look.text * 0.8, y, 0, 0], _colour(face), look)
    note = {"model": "", "context": "no face: from the context alone", "none": face.status.replace("_", " ")}[face.answered_by]
    if face.answered_by == "model" and face.box is None:
        note = "no face needed"
    pen.text((look.text * 2.8, y + 0.7 * look.text), note, UNANSWERED, look.font(size=0.85), anchor="lm")
    if face.answered_by == "none":
        y += 1.8 * look.text
        for line in _wrapped(face.reason, look.font(size=0.8), look.column - 1.6 * look.text):
            pen.text((look.text * 0.8, y), line, UNANSWERED, look.font(size=0.8))
            y += 1.1 * look.text
        return card.crop((0, 0, look.column, round(y + 0.5 * look.text)))
    inline = face.answered_by == "model" and not note
    y += 0 if inline else 1.9 * look.text
    for name, task in tasks.items():
        y = _draw_task(pen, face, name, task, y, look, indent=2.8 if inline else 0.8)
        inline = False
    return card.crop((0, 0, look.column, round(y + 0.3 * look.text)))


def _draw_task(
    pen: ImageDraw.ImageDraw, face: FacePrediction, name: str, task: Task, y: float, look: _Look, indent: float
) -> float:
    """Heading, a bar a class, the gates; returns where the next thing goes."""
    left, right = 0.8 * look.text, look.column - 0.8 * look.text
    sure = face.confidence.get(name)
    heading = _short(_words(plain(face.label[name])), look.font(bold=True), right - indent * look.text - 3.4 * look.text)
    pen.text((indent * look.text, y + 0.7 * look.text), heading, COLOURS["ink"], look.font(bold=True), anchor="lm")
    if sure is not None:
        pen.text((right, y + 0.7 * look.text), f"{100 * sure:.0f}%", COLOURS["ink"], look.font(bold=True), anchor="rm")
    y += 1.6 * look.text
    if name in face.calibrated:
        names, values = names_of(task), face.calibrated[name]
        for k in _most(values):
            strong = k == values.argmax() if one_of(task) else values[k] >= task.facts["threshold"]
            _bar(pen, names[k], float(values[k]), bool(strong), y, (left, right), _colour(face), look)
            y += 1.3 * look.text
    else:
        pen.text((left, y), name, UNANSWERED, look.font(size=0.8))
        y += 1.3 * look.text
    if face.gates is not None and name in face.gates:
        g_face, g_context = np.asarray(face.gates[name]).reshape(2, -1).mean(axis=1)
        said = f"gates: face {g_face:.2f}, context {g_context:.2f}"
        pen.text((left, y + 0.1 * look.text), said, UNANSWERED, look.font(size=0.75))
        y += 1.2 * look.text
    return y + 0.4 * look.text


def _most(values: np.ndarray, count: int = 8) -> list[int]:
    """The classes to draw, in their own order: all, or the likeliest ones of many."""
    return sorted(int(k) for k in np.argsort(-values, kind="stable")[:count])


def _bar(
    pen: ImageDraw.ImageDraw, name: str, value: float, strong: bool, y: float, span: tuple[float, float], colour: str, look: _Look
) -> None:
    left, right = span
    font = look.font(size=0.8)
    start, end, middle = left + 6.2 * look.text, right - 2.6 * look.text, y + 0.6 * look.text
    pen.text((left, middle), _short(name, font, start - left - 0.4 * look.text), COLOURS["ink"], font, anchor="lm")
    pen.rectangle([start, middle - 0.3 * look.text, end, middle + 0.3 * look.text], fill=TRACK)
    if value * (end - start) >= 1:
        reach = start + min(value, 1) * (end - start)
        pen.rectangle([start, middle - 0.3 * look.text, reach, middle + 0.3 * look.text], fill=colour if strong else "#9aa1ac")
    pen.text((right, middle), f"{100 * value:.0f}", COLOURS["ink"], font, anchor="rm")


def _words(label: object) -> str:
    return f"{label:.3g}" if isinstance(label, float) else str(label)


def _short(words: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    words = "".join(c if c.isprintable() else "?" for c in words)
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"


def _wrapped(words: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines, line = [], ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = _short(longer, font, width)
    return [*lines, line][:4]

"""Galleries on the page, and the same as one picture.

Enters: `Sample`s with their pictures. Leaves: HTML sections; contact sheets as PNG bytes.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from caer.evaluation.predictions import TaskRows
from caer.report import html
from caer.report.galleries import STRONG, Sample, heat
from caer.report.style import COLOURS

HEIGHT, WIDTH, GAP, LINE = 220, 520, 10, 30
"""Pixels of a contact sheet's cell: height and width of its pictures, space round it, the line below."""


def attention_section(samples: Sequence[Sample]) -> str:
    """Where the context branch looks; empty without attention."""
    shown = [sample for sample in samples if sample.peak is not None]
    if not shown:
        return ""
    places = np.array([0, 0.3, 0.6, 1])
    stops = ",".join(f"rgba({r:.0f},{g:.0f},{b:.0f},{at:.1f})" for (r, g, b), at in zip(255 * heat(places), places, strict=True))
    scale = f'<span class="scale" style="background:linear-gradient(90deg,{stops}),#8a8a8a"></span>'
    said = (
        f"Rows spread over the classes in the order of their ids, not picked by eye. The context image is what the model sees, "
        f"with the face masked. Colour {scale} begins where attention exceeds an even spread and is fullest at {STRONG:.0f} "
        f"times that or at the picture's peak; grey means an even spread or less."
    )
    return html.section("Where the context branch looks", html.paragraph(said), _gallery(shown))


def mistakes_section(samples: Sequence[Sample], task: TaskRows) -> str:
    """The wrong answers that the model was surest of."""
    wrong = int((task.correct() == 0).sum())
    if not samples:
        return html.section("Mistakes", html.paragraph("There are none on these rows."))
    said = f"The {len(samples)} most confident of {wrong:,} wrong answers; confidence as trained. Some may be wrong annotations."
    return html.section("Most confident mistakes", html.paragraph(said), _gallery(samples))


def _gallery(samples: Sequence[Sample]) -> str:
    return f'<div class="gallery">{"".join(map(_card, samples))}</div>'


def _card(sample: Sample) -> str:
    shots = [(sample.face, f"face crop of {sample.image}"), (sample.scene, f"context image of {sample.image}")]
    pictures = "".join(html.image(picture, alt) for picture, alt in shots if picture is not None)
    facts = []
    if sample.gates is not None:
        facts.append(f"gates: face {sample.gates[0]:.2f}, context {sample.gates[1]:.2f}")
    if sample.peak is not None:
        facts.append(f"attention up to {sample.peak:.1f} × even")
    if sample.answered_by == "context":
        facts.append("no face: context only")
    lines = [headline(sample), " · ".join(facts), sample.image]
    body = "".join(html.paragraph(html.text(line), "fine" if i else "") for i, line in enumerate(lines) if line)
    return f'<div class="sample"><div class="shots">{pictures}</div>{body}</div>'


def headline(sample: Sample) -> str:
    """Answer, confidence, and the annotation where it differs."""
    answer = f"{sample.predicted} {100 * sample.confidence:.0f}%"
    return answer if sample.predicted == sample.target else f"{answer}, annotated {sample.target}"


def contact_sheet(samples: Sequence[Sample], columns: int = 3) -> bytes:
    """Samples in a grid with their answers below, as PNG bytes."""
    columns = min(columns, len(samples))
    cell_width, cell_height = WIDTH + 2 * GAP, HEIGHT + LINE + 2 * GAP
    sheet = Image.new("RGB", (columns * cell_width, -(-len(samples) // columns) * cell_height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(findfont("DejaVu Sans"), 17)
    for place, sample in enumerate(samples):
        x, y = place % columns * cell_width + GAP, place // columns * cell_height + GAP
        for content in (sample.face, sample.scene):
            if content is not None:
                whole = Image.open(io.BytesIO(content))
                picture = whole.resize((round(whole.width * HEIGHT / whole.height), HEIGHT), Image.Resampling.LANCZOS)
                room = place % columns * cell_width + GAP + WIDTH - x
                sheet.paste(picture.crop((0, 0, min(picture.width, room), HEIGHT)), (x, y))
                x += min(picture.width, room) + 4
        pen.text((place % columns * cell_width + GAP, y + HEIGHT + 6), headline(sample)[:46], COLOURS["ink"], font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()

"""Galleries on the page, and the same as one picture.

Enters: `Sample`s with their pictures. Leaves: HTML sections; contact sheets as PNG bytes.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from caer.evaluation.predictions import TaskRows
from caer.report import html, plots
from caer.report.galleries import STRONG, Sample, heat


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


def contact_sheet(samples: Sequence[Sample], columns: int = 4) -> bytes:
    """Samples in a grid with their answers below, as PNG bytes."""
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    figure, axes = plots.new_figure(2.35 * rows, columns, width=3.0 * columns, rows=rows)
    for place, axis in enumerate(axes):
        axis.set_axis_off()
        if place < len(samples):
            _show(axis, samples[place])
    return plots.png(figure, dpi=110)


def _show(axis: Axes, sample: Sample) -> None:
    height = 240
    strips = []
    for content in (sample.face, sample.scene):
        if content is not None:
            picture = Image.open(io.BytesIO(content))
            strips.append(np.asarray(picture.resize((round(picture.width * height / picture.height), height))))
            strips.append(np.full((height, 6, 3), 255, np.uint8))
    if strips:
        axis.imshow(np.concatenate(strips[:-1], axis=1))
    axis.set_title(plots.shorten(headline(sample), 44), fontsize=8.5)

"""The page of sample predictions: faces with every task's answer, `samples.html` beside the report.

Enters: a run's predictions and pictures of some of its rows. Leaves: HTML; it shows photos of the data set, so it belongs into
`runs/`, not into the repository.
"""

from collections.abc import Sequence

import numpy as np

from caer.evaluation.predictions import Predictions
from caer.report import html
from caer.report.answers import Answer, answers
from caer.report.galleries import Shots

COUNT = 36
MARKS = {True: " ✓", False: " ✗", None: ""}


def pick_by_source(predictions: Predictions, count: int = COUNT) -> list[int]:
    """Rows that the model looked at, spread over the sources, each source's in the order of its ids: not picked by eye."""
    rows = predictions.rows
    looked = rows[rows["status"].eq("ok") & rows["answered_by"].ne("prior")].sort_values("sample_id")
    turn = looked.groupby("source").cumcount().to_numpy()
    order = np.lexsort((looked["source"].to_numpy(str), turn))
    return [int(place) for place in looked.index.to_numpy()[order][:count]]


def samples_page(title: str, predictions: Predictions, picks: Sequence[int], shots: Sequence[Shots]) -> str:
    """The whole page; `shots` belong to `picks`."""
    lead = (
        f"{len(picks)} rows, spread over the sources in the order of their ids, not picked by eye. ✓ agrees with the annotation, "
        f"✗ does not; an answer without either has no annotation to be held against, or is a number, given with its error."
    )
    rows = predictions.rows
    cards = [
        card(answers(predictions, place), shot, rows["source"].iloc[place], rows["image"].iloc[place])
        for place, shot in zip(picks, shots, strict=True)
    ]
    heading = f"<h1>Sample predictions</h1>{html.paragraph(html.text(title), 'eyebrow')}{html.paragraph(lead, 'lead')}"
    return html.page(f"Samples of {title}", heading, f'<div class="gallery">{"".join(cards)}</div>')


def card(said: Sequence[Answer], shot: Shots, source: str, image: str) -> str:
    """One row: its pictures, then a line for each task."""
    shown = [(shot.face, "face crop"), (shot.scene, "context image")]
    pictures = "".join(html.image(picture, f"{what} of {image}") for picture, what in shown if picture is not None)
    lines = [html.paragraph(html.text(f"{source}{verdict(said)}"))]
    lines += [html.paragraph(_line(answer)) for answer in said]
    lines.append(html.paragraph(html.text(image), "fine"))
    return f'<div class="sample"><div class="shots">{pictures}</div>{"".join(lines)}</div>'


def verdict(said: Sequence[Answer]) -> str:
    """How many of the answers that can be right or wrong are right; empty where none can."""
    judged = [answer.right for answer in said if answer.right is not None]
    return f": {sum(judged)} of {len(judged)} right" if judged else ""


def _line(answer: Answer) -> str:
    said = f"{html.text(answer.task)}: <b>{html.text(answer.said)}</b>{MARKS[answer.right]}"
    if answer.annotated is not None and answer.right is not True:
        said += f" <small>annotated {html.text(answer.annotated)}</small>"
    return said

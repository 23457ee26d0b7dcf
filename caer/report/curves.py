"""How training went: loss and scores of each task by epoch.

Enters: the `metrics.csv` of a stage. Leaves: one picture a task, and the page's section.
"""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from caer.report import html
from caer.report.plots import WIDTH, in_percent, new_figure, png
from caer.report.style import COLOURS

Epoch = Mapping[str, float]
SHARES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "map": "mAP", "micro_f1": "micro-F1"}
"""Scores between 0 and 1, in the order of preference."""
ERRORS = {"mae": "MAE", "mae_to_midpoint": "MAE to the bin's midpoint", "rmse": "RMSE"}
"""Scores in the task's unit."""
SHOWN = 2
"""Scores in one plot."""


def curves(history: Sequence[Epoch], task: str, best: int | None) -> bytes:
    """Losses on the left, validation scores on the right; a line marks the best epoch."""
    figure, (losses, scores) = new_figure(2.7, 2, width=WIDTH + 0.8)
    for column, name, style in ((f"train/{task}/loss", "train", "-"), (f"val/{task}/loss", "val", "--")):
        _line(losses, history, column, name, style, COLOURS["ink" if name == "train" else "fused"])
    names = scores_to_show(history, task)
    for (metric, name), colour in zip(names.items(), (COLOURS["face"], COLOURS["context"]), strict=False):
        _line(scores, history, f"val/{task}/{metric}", name, "-", colour)
    if set(names) <= set(SHARES):
        in_percent(scores.yaxis)
    for axes, title in ((losses, "loss"), (scores, "validation")):
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if best is not None:
            axes.axvline(best, color=COLOURS["ideal"], linewidth=1, linestyle=(0, (4, 3)))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
    return png(figure)


def _line(axes: Axes, history: Sequence[Epoch], column: str, name: str, style: str, colour: str) -> None:
    points = [(epoch["epoch"], epoch.get(column, math.nan)) for epoch in history]
    known = [(x, y) for x, y in points if not math.isnan(y)]
    if known:
        marker = "o" if len(known) < 15 else ""
        axes.plot(*zip(*known, strict=True), style, color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=name)


def scores_to_show(history: Sequence[Epoch], task: str) -> dict[str, str]:
    """The scores of a task that have values: of one kind, the preferred first."""
    for kind in (SHARES, ERRORS):
        known = {m: n for m, n in kind.items() if any(not math.isnan(e.get(f"val/{task}/{m}", math.nan)) for e in history)}
        if known:
            return dict(list(known.items())[:SHOWN])
    return {}


def curves_section(drawn: Mapping[str, bytes], epochs: int, best: int | None) -> str:
    """The plots of all tasks; empty without any."""
    if not drawn:
        return ""
    said = (
        f"{epochs} epoch{'s' if epochs != 1 else ''} of this stage. A task's loss is over the rows labelled for it, unweighted."
    )
    if best is not None:
        said += f" The dashed line is epoch {best}, whose weights are evaluated here: the best by the monitored score."
    pictures = [
        html.figure(picture, f"Losses and validation scores of {task} by epoch.", html.text(task))
        for task, picture in drawn.items()
    ]
    return html.section("Training", html.paragraph(said), f'<div class="pair">{"".join(pictures)}</div>')

"""Plots of one evaluation, drawn with matplotlib's Agg backend in one style.

Enters: entries of `metrics.json`. Leaves: PNG bytes. Sized so that their text stays readable on a phone.
"""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from caer.report.style import COLOURS

matplotlib.use("Agg")

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": COLOURS["ideal"],
    "axes.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "figure.constrained_layout.use": True,
}
WIDTH = 4.6


def new_figure(height: float, columns: int = 1, width: float = WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure in the project's style, with its axes side by side."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    return figure, axes


def in_percent(axis: Axis) -> None:
    """Label shares in percent, with decimals where labels would repeat without; call it when all is drawn."""
    low, high = axis.get_view_interval()
    axis.set_major_formatter(PercentFormatter(1, decimals=sum(high - low <= width for width in (0.05, 0.005))))


def png(figure: Figure, dpi: int = 180) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


def shorten(name: str, limit: int = 16) -> str:
    """A label that fits an axis; `$` would start a formula."""
    name = name if len(name) <= limit else name[: limit - 1] + "…"
    return name.replace("$", r"\$")


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    """Confusion matrix, truth in rows, coloured by the share of its row; counts in the cells."""
    matrix = np.asarray(counts)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = max(3.6, 1.4 + 0.62 * len(classes))
    figure, (axes,) = new_figure(side, width=max(WIDTH, side + 0.6))
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(matrix):
        colour = "white" if shares[i, j] > 0.55 else COLOURS["ink"]
        label = f"{100 * shares[i, j]:.0f}%\n{count}" if len(classes) <= 10 else str(count)
        axes.text(j, i, label, ha="center", va="center", color=colour, fontsize=9, linespacing=1.3)
    names = [shorten(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 3 else 0, ha="right" if len(names) > 3 else "center")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return png(figure)


def reliability(before: dict[str, Any], after: dict[str, Any] | None) -> bytes:
    """Reliability diagrams before and after the temperature: each dot is a bin, its area the rows in it."""
    kinds = [("as trained", before, COLOURS["context"])] + ([("with temperature", after, COLOURS["fused"])] if after else [])
    figure, plots = new_figure(3.0 if len(kinds) > 1 else 3.8, len(kinds), width=WIDTH + 0.6 * (len(kinds) - 1))
    for axes, (name, scores, colour) in zip(plots, kinds, strict=True):
        bins = scores["bins"]
        x, y = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
        axes.plot([0, 1], [0, 1], color=COLOURS["ideal"], linewidth=1, linestyle=(0, (4, 3)))
        axes.vlines(x, x, y, color=colour, alpha=0.35, linewidth=3)
        most = max((row["count"] for row in bins), default=1)
        axes.scatter(x, y, [8 + 32 * row["count"] / most for row in bins], color=colour, zorder=3, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence")
        error = "no answers" if scores["ece"] is None else f"ECE {100 * scores['ece']:.1f}"
        axes.set_title(f"{name}: {error}", fontsize=10, loc="left")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    plots[0].set_ylabel("accuracy")
    return png(figure)


def accuracies(entries: Sequence[tuple[str, dict[str, Any], str]], ceilings: Sequence[float | None] = ()) -> bytes:
    """Accuracies with intervals as dots and whiskers: (name, estimate, colour key); beside each, if known, its ceiling."""
    figure, (axes,) = new_figure(0.9 + 0.55 * len(entries))
    marked = False
    for i, (_, estimate, key) in enumerate(entries):
        value, low, high = (estimate[k] for k in ("value", "low", "high"))
        colour = COLOURS[key]
        if low is not None:
            axes.plot([low, high], [i, i], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot([value], [i], "o", color=colour, markersize=8)
        ceiling = ceilings[i] if i < len(ceilings) else None
        if ceiling is not None:
            axes.plot(
                [ceiling], [i], "|", color=COLOURS["ink"], markersize=20, markeredgewidth=2, label=None if marked else "ceiling"
            )
            marked = True
        axes.annotate(f"{100 * value:.1f}", (value, i), (0, 8), textcoords="offset points", ha="center", fontweight="bold")
    axes.set_yticks(range(len(entries)), [shorten(name, 24) for name, _, _ in entries])
    axes.set_ylim(len(entries) - 0.5, -0.6)
    axes.set_xlabel("accuracy")
    axes.margins(x=0.1)
    in_percent(axes.xaxis)
    axes.grid(axis="y", visible=False)
    if marked:
        axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1))
    return png(figure)


def gates(by_class: Sequence[dict[str, Any]]) -> bytes:
    """Mean gates of face and context by class, with one standard deviation to each side."""
    figure, (axes,) = new_figure(1.1 + 0.46 * len(by_class))
    for offset, branch in ((-0.14, "face"), (0.14, "context")):
        mean = np.array([row[f"{branch}_mean"] for row in by_class])
        spread = np.array([row[f"{branch}_sd"] for row in by_class])
        at = np.arange(len(by_class)) + offset
        axes.hlines(at, mean - spread, mean + spread, color=COLOURS[branch], alpha=0.35, linewidth=5)
        axes.plot(mean, at, "o", color=COLOURS[branch], markersize=7, label=f"{branch} gate")
    axes.set_yticks(range(len(by_class)), [shorten(row["group"], 20) for row in by_class])
    axes.set_ylim(len(by_class) - 0.5, -0.5)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0), max(high, 1))
    axes.set_xlabel("gate (mean, one SD to each side)")
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return png(figure)

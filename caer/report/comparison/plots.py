"""Plots of a comparison: scores with intervals, F1 by class, learning curves, risk against coverage.

Enters: scores and curves by label. Leaves: PNG bytes in the style of `caer.report.plots`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from caer.evaluation.statistics import Estimate
from caer.report.plots import WIDTH, in_percent, new_figure, png, shorten
from caer.report.style import COLOURS, SERIES

Histories = Sequence[Sequence[Mapping[str, float]]]
"""One list of epochs a seed, rows as of `metrics.csv`."""


def colour(place: int) -> str:
    """The colour of the variant in this place."""
    return SERIES[place % len(SERIES)]


def rates(entries: Sequence[tuple[str, Estimate, Sequence[float]]], name: str) -> bytes:
    """One score of each variant, top to bottom: the mean as a dot, its interval as a pale bar, each seed as a ring."""
    figure, (axes,) = new_figure(0.9 + 0.52 * len(entries))
    for i, (_, estimate, seeds) in enumerate(entries):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [i, i], color=colour(i), linewidth=6, alpha=0.3, solid_capstyle="round")
        if len(seeds) > 1:
            axes.plot(seeds, [i] * len(seeds), "o", markersize=5, markerfacecolor="white", markeredgecolor=colour(i))
        axes.plot([estimate.value], [i], "o", color=colour(i), markersize=7)
        axes.annotate(
            f"{100 * estimate.value:.1f}", (estimate.value, i), (0, 8), textcoords="offset points", ha="center", weight="bold"
        )
    axes.set_yticks(range(len(entries)), [shorten(label, 20) for label, _, _ in entries])
    axes.set_ylim(len(entries) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    in_percent(axes.xaxis)
    axes.set_xlabel(name)
    axes.grid(axis="y", visible=False)
    return png(figure)


def class_f1(labels: Sequence[str], classes: Sequence[str], values: np.ndarray) -> bytes:
    """F1 [V, K] of each variant and class as a heat map, in percent; empty where undefined."""
    width = max(WIDTH, 1.9 + 0.62 * len(classes))
    figure, (axes,) = new_figure(1.3 + 0.42 * len(labels), width=width)
    axes.grid(False)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            ink = "white" if value > 0.55 else COLOURS["ink"]
            axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=9)
    slanted = len(classes) > 3
    names = [shorten(name, 12) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=30 * slanted, ha="right" if slanted else "center")
    axes.set_yticks(range(len(labels)), [shorten(label, 18) for label in labels])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return png(figure)


def learning_curves(curves: Sequence[tuple[str, Histories]], column: str, over_time: bool, lowest_is_best: bool = False) -> bytes:
    """A column of `metrics.csv` after each epoch, over epochs or minutes: by colour one line a seed, the best epoch marked."""
    figure, (axes,) = new_figure(3.1)
    for ink, histories in curves:
        for epochs in histories:
            scores = np.array([row.get(column, np.nan) for row in epochs])
            x = np.cumsum([row["seconds"] for row in epochs]) / 60 if over_time else np.array([row["epoch"] for row in epochs])
            axes.plot(x, scores, color=ink, linewidth=1.3, alpha=0.85)
            if (best := best_place(scores, lowest_is_best)) is not None:
                axes.plot(x[best], scores[best], "o", color=ink, markersize=5)
    axes.set_xlabel("minutes of training" if over_time else "epoch")
    if not over_time:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylabel(shorten(column, 30))
    return png(figure)


def best_place(scores: np.ndarray, lowest_is_best: bool) -> int | None:
    """Where the best of scores [N] stands; None where all are NaN."""
    if np.isnan(scores).all():
        return None
    return int(np.nanargmin(scores) if lowest_is_best else np.nanargmax(scores))


def risk_coverage(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Share of wrong answers among the most confident rows, for the fusion and each branch (`judge_gate`'s `risk_coverage`)."""
    figure, (axes,) = new_figure(2.9)
    for name, curve in curves.items():
        axes.plot(curve["coverage"], curve["risk"], color=COLOURS[name], linewidth=1.8, label=name)
    axes.set(xlim=(0, 1), xlabel="coverage: share of rows that are answered", ylabel="wrong answers")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=9)
    return png(figure)

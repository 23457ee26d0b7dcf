"""Plots of a diagnosis in the style of `caer.report.plots`.

Enters: parts of `diagnose.json`. Leaves: PNG bytes.
"""

from typing import Any

from matplotlib.ticker import PercentFormatter

from caer.report.plots import new_figure, png
from caer.report.style import COLOURS

Json = dict[str, Any]

LINES = {"fused": "fused", "face": "face", "context": "context", "sum": "ideal"}
"""Colour keys of what is drawn along a sweep, in the order of the legend."""


def costs(entries: list[tuple[str, Json]]) -> bytes:
    """Cost of each intervention (name, `{value, low, high}`) as dots and whiskers around zero."""
    figure, (axes,) = new_figure(0.9 + 0.5 * len(entries))
    for i, (_, estimate) in enumerate(entries):
        value, low, high = (estimate[key] for key in ("value", "low", "high"))
        if value is None:
            continue
        if low is not None:
            axes.plot([100 * low, 100 * high], [i, i], color=COLOURS["fused"], linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot([100 * value], [i], "o", color=COLOURS["fused"], markersize=8)
        axes.annotate(f"{100 * value:.1f}", (100 * value, i), (0, 8), textcoords="offset points", ha="center", fontweight="bold")
    axes.axvline(0, color=COLOURS["ink"], linewidth=1)
    axes.set_yticks(range(len(entries)), [name for name, _ in entries])
    axes.set_ylim(len(entries) - 0.5, -0.7)
    axes.set_xlabel("accuracy lost, in points")
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    return png(figure)


def sweep(steps: list[Json], label: str) -> bytes:
    """Accuracies along a sweep, the fused one with its interval, and the gates' context share as a dashed line."""
    figure, (axes,) = new_figure(3.4)
    at = [100 * step["strength"] for step in steps]
    for name, colour in LINES.items():
        if name in steps[0]["accuracy"]:
            values = [step["accuracy"][name]["value"] for step in steps]
            axes.plot(
                at, values, "o-", color=COLOURS[colour], markersize=5, linewidth=2.4 if name == "fused" else 1.4, label=name
            )
    ends = [(step["accuracy"]["fused"]["low"], step["accuracy"]["fused"]["high"]) for step in steps]
    if all(low is not None for low, _ in ends):
        axes.fill_between(
            at, [low for low, _ in ends], [high for _, high in ends], color=COLOURS["fused"], alpha=0.15, linewidth=0
        )
    if "context_share" in steps[0]:
        share = [step["context_share"]["value"] for step in steps]
        axes.plot(at, share, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)), label="context share of the gates")
    _percent_axes(axes, label, "accuracy; share")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=8.5, ncols=3, loc="lower left", bbox_to_anchor=(-0.12, 1), columnspacing=1.2)
    return png(figure)


def risk_coverage(curves: dict[str, Json]) -> bytes:
    """Error rate among the most confident rows, for the run and for each branch."""
    figure, (axes,) = new_figure(3.0)
    for name, curve in curves.items():
        coverage = [100 * value for value in curve["coverage"]]
        axes.plot(coverage, curve["risk"], color=COLOURS[LINES[name]], linewidth=2.4 if name == "fused" else 1.4, label=name)
    _percent_axes(axes, "coverage: the most confident share of the rows", "error rate")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return png(figure)


def _percent_axes(axes: Any, x: str, y: str) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(100, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(x)
    axes.set_ylabel(y)

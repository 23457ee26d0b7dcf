"""Small HTML pieces of a comparison's page: how a difference, a mean over seeds, a verdict and a duration are shown.

Enters: numbers and names. Leaves: HTML; names are escaped here.
"""

import math
from collections.abc import Iterable, Sequence

from caer.comparison.claims import Verdict
from caer.comparison.contrasts import ROW_METRICS, shown_seeds
from caer.comparison.scores import VariantScores
from caer.engine.history import clock
from caer.evaluation.statistics import Estimate
from caer.report import html

METRIC_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "nll": "NLL",
    "brier": "Brier score",
}


def reach(estimates: Iterable[Estimate], least: float = 0.01) -> float:
    """Half width of an axis around 0 that holds all these differences."""
    bounds = [abs(bound) for e in estimates for bound in (e.value, e.low, e.high) if bound is not None]
    return 1.05 * max([least, *bounds])


def forest(gap: Estimate, half: float, margins: tuple[float, ...] = ()) -> str:
    """A difference with its interval on an axis -half..half; an upright line at 0 and a dashed one at each margin."""
    if gap.low is None or gap.high is None:
        return ""

    def at(value: float) -> float:
        return 50 + 50 * min(max(value / half, -1), 1)

    band = f'<i style="left:{at(gap.low):.1f}%;width:{max(at(gap.high) - at(gap.low), 0.8):.1f}%"></i>'
    lines = "".join(f'<s style="left:{at(margin):.1f}%"></s>' for margin in margins)
    return f'<span class="forest" aria-hidden="true"><u></u>{lines}{band}<b style="left:{at(gap.value):.1f}%"></b></span>'


def gap_cell(gap: Estimate | None, half: float | None = None, metric: str = "accuracy") -> str:
    """A table cell with a difference: in points, or as a plain number for `nll` and `brier`; with `half`, also drawn."""
    if gap is None:
        return f'<span class="none">{html.NONE}</span>'
    shown = f'<span class="value">{signed(gap.value, metric)}</span>'
    if gap.low is not None and gap.high is not None:
        shown += f' <span class="interval">[{signed(gap.low, metric)}, {signed(gap.high, metric)}]</span>'
    return shown + ("" if half is None else forest(gap, half))


def signed(value: float, metric: str = "accuracy") -> str:
    """`+3.1` in points, or `−0.045` for a metric that is no share."""
    if metric not in ROW_METRICS:
        return html.points(value, signed=True)
    return f"{value + 0.0:+.3f}".replace("-0.000", "0.000").replace("+0.000", "0.000").replace("-", "−")


def gap_text(gap: Estimate, metric: str = "accuracy") -> str:
    """The same as plain text: `+1.2 [−0.3, +2.6]`."""
    if gap.low is None or gap.high is None:
        return signed(gap.value, metric)
    return f"{signed(gap.value, metric)} [{signed(gap.low, metric)}, {signed(gap.high, metric)}]"


def mean_text(mean: float, sd: float, share: bool = True) -> str:
    """`78.2 ± 1.1` in percent, or with three digits; the SD is left out where there is none."""
    if math.isnan(mean):
        return html.NONE
    shown = html.percent if share else html.number
    return shown(mean) if math.isnan(sd) else f"{shown(mean)} ± {shown(sd)}"


def mean_cell(mean: float, sd: float, share: bool = True) -> str:
    """The same as a table cell."""
    value, _, spread = mean_text(mean, sd, share).partition(" ± ")
    if value == html.NONE:
        return f'<span class="none">{html.NONE}</span>'
    return f'<span class="value">{value}</span>' + (f" <small>± {spread}</small>" if spread else "")


def between(interval: Estimate) -> str:
    """The interval of a rate, ` [92.4, 95.5]` in percent; nothing where there is none."""
    if interval.low is None or interval.high is None:
        return ""
    return f" [{html.percent(interval.low)}, {html.percent(interval.high)}]"


def rate_text(scores: VariantScores, name: str) -> str:
    """A variant's accuracy (or another rate) as text: `94.1 ± 0.6 [92.4, 95.5]`."""
    return mean_text(scores.mean[name], scores.sd[name]) + between(scores.intervals[name])


def rate_cell(scores: VariantScores, name: str) -> str:
    """The same as a table cell."""
    cell, interval = mean_cell(scores.mean[name], scores.sd[name]), between(scores.intervals[name])
    return cell + (f'<br><span class="interval">{interval.strip()}</span>' if interval else "")


def badge(verdict: Verdict | str) -> str:
    """A verdict as a coloured word; a text instead of a verdict is `not judged`."""
    if isinstance(verdict, str):
        return '<span class="badge">not judged</span>'
    screening = '<span class="badge">screening</span>' if verdict.screening else ""
    return f'<span class="badge {verdict.word}">{verdict.word}</span>{screening}'


def seeds(numbers: Sequence[int]) -> str:
    """`seed 17`, or `seeds 17, 18`."""
    return f"{'seed' if len(numbers) == 1 else 'seeds'} {shown_seeds(numbers)}"


def p_text(p: float) -> str:
    """`0.012`, or `< 0.001`; to be escaped."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(value: float | None) -> str:
    """`4.11 M`, `812 k` or `950`."""
    if value is None:
        return html.NONE
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 1000 * size else f"{value / size:,.0f}{unit}"
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """`1:02:03` or `2:03`."""
    return html.NONE if seconds is None else clock(seconds)


def legend(colours: Iterable[tuple[str, str]]) -> str:
    """Names with the colours of their lines."""
    chips = "".join(f'<span><i style="background:{colour}"></i>{html.text(name)}</span>' for name, colour in colours)
    return f'<p class="legend">{chips}</p>'

"""Pieces of a self-contained HTML page: tables, tiles, figures with their pictures inside; no scripts, nothing fetched.

Enters: plain values, picture bytes. Leaves: HTML strings. Labels and file names pass `text`, so that they cannot become markup.
"""

import base64
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from caer.report.style import CSS

Estimate = dict[str, float | None]
"""`{value, low, high}` as in `metrics.json`."""

NONE = "–"


def text(value: object) -> str:
    """Any value as escaped text; unprintable characters (in file names) become visible."""
    return html.escape("".join(c if c.isprintable() or c == " " else f"\\x{ord(c):02x}" for c in str(value)), quote=True)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as `78.2`; a dash where it is undefined."""
    return NONE if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits; a dash where it is undefined."""
    return NONE if value is None or math.isnan(value) else f"{value:.{digits}f}"


def points(value: float, signed: bool = False) -> str:
    """A share in percent, or a signed difference in points: `+3.1`, `−0.4`, `0.0`."""
    shown = f"{100 * value:.1f}".replace("-0.0", "0.0")
    return ("+" + shown if signed and shown.strip("0.") and value > 0 else shown).replace("-", "−")


def interval(estimate: Estimate, signed: bool = False) -> str:
    """A share with its interval in words: `78.2 [74.1, 82.0]`, in percent or points."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return NONE
    if low is None or high is None:
        return points(value, signed)
    return f"{points(value, signed)} [{points(low, signed)}, {points(high, signed)}]"


def estimate_cell(estimate: Estimate, signed: bool = False, bar: bool = True) -> str:
    """A table cell's content: the value large, its interval small, and for shares a bar of the interval on 0..100."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return f'<span class="none">{NONE}</span>'
    shown = f'<span class="value">{points(value, signed)}</span>'
    if low is None or high is None:
        return shown
    shown += f' <span class="interval">[{points(low, signed)}, {points(high, signed)}]</span>'
    if signed or not bar:
        return shown
    left, width = 100 * max(low, 0), max(100 * (min(high, 1) - max(low, 0)), 0.8)
    band = f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i><b style="left:{100 * value:.1f}%"></b>'
    return f'{shown}<span class="track" aria-hidden="true">{band}</span>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", strong: Sequence[int] = (), wide: bool = False
) -> str:
    """A table; the cells are HTML already, the first of each row is its heading, `strong` are rows to stand out.

    On a phone a table of more than four columns, or one that is `wide` for another reason, becomes one block a row, each cell
    with its column's name.
    """
    lines = []
    for i, row in enumerate(rows):
        cells = f'<th scope="row">{row[0]}</th>' + "".join(
            f"<td><span>{name}</span><div>{cell}</div></td>" for name, cell in zip(head[1:], row[1:], strict=True)
        )
        lines.append(f'<tr class="strong">{cells}</tr>' if i in strong else f"<tr>{cells}</tr>")
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    title = f"<caption>{caption}</caption>" if caption else ""
    body = "".join(lines)
    kind = ' class="wide"' if wide or len(head) > 4 else ""
    return (
        f'<div class="scroll" tabindex="0"><table{kind}>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Key figures: (name, value, what stands below), as HTML."""
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{below}</small></dd></div>" for name, value, below in entries)
    return f'<dl class="tiles">{cells}</dl>'


def data_uri(picture: bytes) -> str:
    """PNG or JPEG bytes as an address."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def image(picture: bytes, alt: str) -> str:
    """A picture inside the page."""
    return f'<img src="{data_uri(picture)}" alt="{text(alt)}">'


def figure(picture: bytes, alt: str, caption: str) -> str:
    """A picture with its caption (HTML)."""
    return f"<figure>{image(picture, alt)}<figcaption>{caption}</figcaption></figure>"


def section(title: str, *content: str, anchor: str = "") -> str:
    """A section with a heading (escaped) and HTML content."""
    name = f' id="{text(anchor)}"' if anchor else ""
    return f"<section{name}><h2>{text(title)}</h2>{''.join(content)}</section>"


def paragraph(content: str, kind: str = "") -> str:
    """A paragraph of HTML."""
    return f'<p class="{kind}">{content}</p>' if kind else f"<p>{content}</p>"


def definitions(entries: Iterable[tuple[str, Any]]) -> str:
    """Names and values, both escaped, as a two-column list."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in entries)
    return f'<dl class="facts">{rows}</dl>'


def page(title: str, *content: str) -> str:
    """The whole document."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{CSS}</style></head><body><main>{''.join(content)}</main></body></html>\n"
    )

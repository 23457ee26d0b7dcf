"""What `search` hands out: paths, CSV, or a contact sheet (one HTML file with the pictures inside).

Enters: rows of a library. Leaves: text. File names and labels are foreign: on the sheet they are escaped.
"""

import csv
import io
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caer.library.query import LibraryQuery
from preprocessing.errors import UserError
from preprocessing.files import file_within, write_atomic

SIDE = 300
"""Pixels of a picture on the sheet."""
MOST = 500
"""Faces on a sheet; each is some ten kilobytes."""
AROUND = 0.6
"""How much of the photo is shown round a face, in units of its box on each side."""


def write_results(
    rows: Sequence[dict[str, Any]], library: LibraryQuery, where: str, csv_file: Path | None, sheet: Path | None
) -> list[str]:
    """Write what is asked for; returns lines for the terminal. `-` as `csv_file` is the terminal itself.

    Raises:
        UserError: a file of another ending, which might be the library or a photo; more faces than a sheet holds.
    """
    for option, file, ending in (("--csv", csv_file, ".csv"), ("--sheet", sheet, ".html")):
        if file is not None and file.suffix.lower() != ending and (option, str(file)) != ("--csv", "-"):
            raise UserError(f"{option} {file}: expected the name of a file that ends in {ending}")
    said = []
    if csv_file is not None:
        table = as_csv(rows, library.columns)
        if str(csv_file) == "-":
            said.append(table.rstrip("\n"))
        else:
            write_atomic(csv_file, table)
            said.append(f"{csv_file}: {len(rows)} faces")
    if sheet is not None:
        write_atomic(sheet, contact_sheet(rows, library.root, where, library.columns))
        said.append(f"{sheet}: {len(rows)} faces")
    return said


def as_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV with a heading; lists and structs as JSON."""
    import json

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row[name] for name in columns)
        writer.writerow([json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for v in values])
    return text.getvalue()


def contact_sheet(rows: Sequence[dict[str, Any]], root: Path, where: str, columns: Sequence[str]) -> str:
    """A page with a card a face: the face in its surroundings, its answers, a link to the photo; only photos below `root`.

    Raises:
        UserError: more than `MOST` rows.
    """
    from caer.report import html

    if len(rows) > MOST:
        raise UserError(f"--sheet: {len(rows)} faces are found, a sheet holds {MOST}; give --limit or a narrower --where")
    tasks = [name for name in columns if f"{name}_gates" in columns]
    cards = "".join(_card(row, root, tasks) for row in rows)
    found = f"{len(rows)} face{'s' * (len(rows) != 1)} in {len({row['path'] for row in rows})} photos"
    lead = html.paragraph(f"{found} of {html.text(root)} where <code>{html.text(where)}</code>", "lead")
    note = html.paragraph("Answers are about how a face looks, not about what a person feels.", "fine")
    return html.page("Search", "<h1>Search</h1>", lead, f'<div class="gallery">{cards}</div>', note)


def _card(row: dict[str, Any], root: Path, tasks: Sequence[str]) -> str:
    from caer.report import html

    source = "no face: from the context" if row["answered_by"] == "context" else ""
    file = file_within(root, row["path"])
    picture = None if file is None else face_picture(file, row["box"])
    shown = "" if picture is None else f'<div class="shots">{html.image(picture, row["path"])}</div>'
    address = "file://" + urllib.parse.quote(str((root / row["path"]).absolute()))
    name = html.text(row["path"])
    link = name if file is None else f'<a href="{html.text(address)}">{name}</a>'
    missing = "the photo is no longer there, or cannot be read" if picture is None else ""
    said = html.paragraph(html.text(headline(row, tasks)))
    lines = [said, *(html.paragraph(html.text(x), "fine") for x in (source, missing) if x)]
    return f'<div class="sample">{shown}{"".join(lines)}{html.paragraph(link, "fine")}</div>'


def headline(row: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """What was answered about a row, in a few words; its status where nothing was."""
    return ", ".join(_answer(row, name) for name in tasks if row[name] is not None) or str(row["status"]).replace("_", " ")


def _answer(row: Mapping[str, Any], name: str) -> str:
    value, sure = row[name], row.get(f"{name}_confidence")
    said = f"{value:.3g}" if isinstance(value, float) else str(value)
    return said if sure is None else f"{said} {100 * sure:.0f}%"


def face_picture(file: Path, box: Sequence[float] | None) -> bytes | None:
    """JPEG of the face in its surroundings, or of the whole photo; None where it cannot be read."""
    import cv2

    from preprocessing.images import ImageError, encode_jpeg, read_image

    try:
        image = read_image(file)
    except ImageError:
        return None
    height, width = image.shape[:2]
    if box is not None:
        half = (0.5 + AROUND) * max(box[2] - box[0], box[3] - box[1])
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        left, top = max(0, int(x - 1.4 * half)), max(0, int(y - half))
        image = image[top : min(height, int(y + half) + 1), left : min(width, int(x + 1.4 * half) + 1)]
        if not image.size:
            return None
    factor = SIDE / max(image.shape[:2])
    if factor < 1:
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(image, 85)

"""Kaggle's table of FER-2013 -> a folder of pictures.

Enters: a CSV whose lines hold a code of the emotion, 48 x 48 grey values and the split (`emotion,pixels,Usage` in any order).
Leaves: `train|public_test|private_test/<emotion>/NNNNN.png`, NNNNN being the line's place in the table. The table is read line by
line; a mark tells which table a folder is of and how many pictures that made, so that a killed run is made whole by the next.
"""

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from preprocessing.errors import UserError
from preprocessing.files import read_json, sha256_file, sole_writer, write_atomic, write_json

CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Emotions in the order of the table's codes."""
SPLIT_FOLDERS = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}
"""Usage -> folder."""
COLUMNS = ("emotion", "pixels", "Usage")
NAMES = ("fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv")
"""Where the table lies in the archives that are about."""
SIDE = 48
MARK = "unpacked.json"


def find_table(root: Path) -> Path | None:
    """The table in a folder, under one of its usual names."""
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def unpack(table: Path, folder: Path) -> None:
    """Write the pictures of a table, unless they are there.

    Raises:
        UserError: a line is not one of this table's, or the folder holds other things or cannot be written.
    """
    mark = {"table": table.name, "sha256": sha256_file(table)}
    with sole_writer(folder):
        if (folder / MARK).is_file():
            found = read_json(folder / MARK, "the mark of an unpacked table")
            if {key: found.get(key) for key in mark} != mark:
                raise UserError(
                    f"{folder}: holds the pictures of another table; delete it, or name another with dataset.unpacked"
                )
            pictures_there = sum(1 for _ in folder.glob("*/*/*.png"))
            if found.get("complete") and found["complete"] <= pictures_there:
                return
        elif any(entry.name != ".lock" for entry in folder.iterdir()):
            raise UserError(f"{folder}: holds other files; name an empty folder with dataset.unpacked")
        pictures = _pictures(table)
        first = list(islice(pictures, 1))  # what is no such table leaves no mark, which would claim the folder
        if not first:
            raise UserError(f"{table}: a header and no line; expected a line for each picture; fetch the table again")
        write_json(folder / MARK, mark | {"complete": 0})
        names = set()
        for name, pixels in chain(first, pictures):
            write_atomic(folder / name, _png(pixels))
            names.add(name)
        write_json(folder / MARK, mark | {"complete": len(names)})


def _pictures(table: Path) -> Iterator[tuple[str, np.ndarray]]:
    """File name and [48, 48] uint8 grey values of each line."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            absent = [column for column in COLUMNS if column not in header]
            if absent:
                raise UserError(f"{table}: no column {', '.join(absent)}; expected {','.join(COLUMNS)} as Kaggle has them")
            places = [header.index(column) for column in COLUMNS]
            for number, row in enumerate(filter(None, reader)):
                where = f"{table}: line {reader.line_num}"
                if len(row) != len(header):
                    raise UserError(f"{where}: {len(row)} cells; expected {len(header)}; is the file cut off?")
                emotion, pixels, usage = (row[place].strip() for place in places)
                yield _name(number, emotion, usage, where), _values(pixels, where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as a CSV table ({error})") from None


def _name(number: int, emotion: str, usage: str, where: str) -> str:
    if not (emotion.isdecimal() and int(emotion) < len(CODES)):
        raise UserError(f"{where}: emotion {emotion!r}; expected a code from 0 to {len(CODES) - 1}")
    if usage not in SPLIT_FOLDERS:
        raise UserError(f"{where}: Usage {usage!r}; expected {', '.join(SPLIT_FOLDERS)}")
    return f"{SPLIT_FOLDERS[usage]}/{CODES[int(emotion)]}/{number:05d}.png"


def _values(pixels: str, where: str) -> np.ndarray:
    try:
        values = np.array([int(value) for value in pixels.split()])
    except ValueError:
        values = np.zeros(0, int)
    if values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise UserError(f"{where}: expected {SIDE * SIDE} grey values from 0 to 255, found {pixels[:40]!r}")
    return values.reshape(SIDE, SIDE).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    done, content = cv2.imencode(".png", pixels)
    assert done
    return content.tobytes()

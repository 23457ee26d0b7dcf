"""IMDB-WIKI's Matlab tables as published, and a small tree of one with its photos."""

import datetime
import math

import cv2
import numpy as np
import scipy.io


def day_number(year, month, day):
    """As Matlab's datenum counts: 1 is the first of January of the year 0."""
    return datetime.date(year, month, day).toordinal() + 366


def cell(texts):
    column = np.empty((1, len(texts)), dtype=object)
    column[0] = [np.array([text]) if text else np.array([], dtype="U1") for text in texts]
    return column


def locations(count):
    column = np.empty((1, count), dtype=object)
    column[0] = [np.array([[1.0, 1.0, 61.0, 61.0]])] * count
    return column


def table(root, rows, name="wiki", **changes):
    """A table as published: one struct, its fields rows of numbers or cells."""
    born, taken, path, gender, person, score, second = (list(column) for column in zip(*rows, strict=True))
    fields = {
        "dob": np.array([born], dtype=np.int32),
        "photo_taken": np.array([taken], dtype=np.uint16),
        "full_path": cell(path),
        "gender": np.array([gender], dtype=float),
        "name": cell(person),
        "face_location": locations(len(rows)),
        "face_score": np.array([score], dtype=float),
        "second_face_score": np.array([second], dtype=float),
    }
    scipy.io.savemat(root / f"{name}.mat", {name: fields | changes})
    return root


def row(path="00/1.jpg", *, born=(1980, 7, 1), taken=2010, gender=1.0, name="A", score=3.0, second=math.nan):
    return day_number(*born), taken, path, gender, name, score, second


def small_wiki(root, persons):
    """`wiki.mat` beside `NN/ID_BIRTH_YEAR.jpg`: two photos a person, each tenth with a second face."""
    rows = []
    for i in range(2 * persons):
        person, taken = i // 2, 2005 + i % 10
        born = (1925 + person * 37 % 70, 5, 1 + person % 28)
        path = f"{i % 100:02d}/{10000 + i}_{born[0]}-05-{born[2]:02d}_{taken}.jpg"
        second = 2.0 if i % 10 == 9 else math.nan
        rows.append(row(path, born=born, taken=taken, gender=float(person % 2), name=f"Person {person}", second=second))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        assert cv2.imwrite(str(root / path), noise)
    return table(root, rows)

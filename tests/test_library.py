"""The photo store: an index that follows its folder and survives kills; questions that can do no harm."""

import copy
import csv as csv_module
import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from made_manifest import DrawnFace, draw
from made_run import made_run

from caer.library import index
from caer.library.forget import forget
from caer.library.index import update_library
from caer.library.store import parts_folder, read_library
from caer.predict import Predictor
from preprocessing.errors import UserError
from preprocessing.images import encode_png

duckdb = pytest.importorskip("duckdb")

from caer.library.query import LibraryQuery  # noqa: E402  (needs duckdb)
from caer.library.results import as_csv, contact_sheet, write_results  # noqa: E402

COUNT = 9


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return made_run(tmp_path_factory).run_folder


@pytest.fixture(scope="module")
def predictor(run) -> Predictor:
    return Predictor(run, detector=DrawnFace())


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for i in range(COUNT):
        write(folder / ("tập ảnh" if i % 2 else "a") / f"{i:03d}.png", i)
    age(folder)
    return folder


def write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(draw(f"{number:03d}", number % 3, face=number != 4)))


def age(folder: Path, seconds: float = 3600) -> None:
    """Photos are usually older than the moment of indexing."""
    for path in folder.rglob("*.png"):
        os.utime(path, (time.time() - seconds,) * 2)


def counts(update) -> tuple[int, int, int, int]:
    return update.added, update.changed, update.unchanged, update.dropped


def answers(out: Path) -> dict[tuple[str, int], dict]:
    return {(row["path"], row["rank"]): row for row in read_library(out).table.to_pylist()}


def test_only_new_and_changed_photos_are_looked_at_and_deleted_ones_go(predictor, photos, tmp_path):
    out = tmp_path / "library.parquet"
    assert counts(update_library("", photos, out, predictor)) == (COUNT, 0, 0, 0)
    assert counts(update_library("", photos, out, predictor)) == (0, 0, COUNT, 0)
    first = answers(out)
    write(photos / "a" / "000.png", 3)
    write(photos / "new.png", 20)
    (photos / "a" / "002.png").unlink()
    assert counts(update_library("", photos, out, predictor)) == (1, 1, COUNT - 2, 1)
    second = answers(out)
    assert {path for path, _ in second} == {path for path, _ in first} - {"a/002.png"} | {"new.png"}
    assert second["a/000.png", 0]["sha256"] != first["a/000.png", 0]["sha256"]
    assert second["a/006.png", 0] == first["a/006.png", 0]


def test_content_decides_where_times_leave_a_doubt(predictor, photos, tmp_path):
    out = tmp_path / "library.parquet"
    update_library("", photos, out, predictor)
    os.utime(photos / "a" / "000.png")  # touched, not changed
    stamp = (photos / "a" / "006.png").stat()
    content = bytearray((photos / "a" / "006.png").read_bytes())
    content[-30] ^= 1  # changed within the same size
    (photos / "a" / "006.png").write_bytes(content)
    assert (photos / "a" / "006.png").stat().st_size == stamp.st_size
    assert counts(update_library("", photos, out, predictor)) == (0, 1, COUNT - 1, 0)
    assert counts(update_library("", photos, out, predictor)) == (0, 0, COUNT, 0)


def test_a_change_right_after_indexing_shows_although_size_and_time_stay(predictor, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "YOUNG_NS", 600 * 10**9)  # "right after" on a machine that is busy, too
    out, photo = tmp_path / "library.parquet", photos / "a" / "000.png"
    os.utime(photo, ns=(time.time_ns(),) * 2)
    before = photo.stat()
    update_library("", photos, out, predictor)
    content = bytearray(photo.read_bytes())
    content[-30] ^= 1
    photo.write_bytes(content)
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert update_library("", photos, out, predictor).changed == 1


class Stops(Exception):
    pass


def stopped_after(predictor: Predictor, count: int) -> Predictor:
    """The same predictor, whose process dies after so many photos."""
    twin = object.__new__(Predictor)
    twin.__dict__.update(predictor.__dict__)

    def some(photos, **options):
        for number, answered in enumerate(Predictor.predict_many(predictor, photos, batch_size=2, **options)):
            if number == count:
                raise Stops
            yield answered

    twin.predict_many = some  # type: ignore[method-assign]
    return twin


def test_a_killed_call_goes_on_and_ends_like_an_undisturbed_one(predictor, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "PART_PHOTOS", 2)
    monkeypatch.setattr(index, "PART_SECONDS", 600.0)
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    update_library("", photos, whole, predictor)
    with pytest.raises(Stops):
        update_library("", photos, broken, stopped_after(predictor, 5))
    assert not broken.exists()
    (parts_folder(broken) / "000009.parquet").write_bytes(b"half a part")
    (parts_folder(broken) / ".000010.parquet.1.tmp").write_bytes(b"half a part")
    assert counts(update_library("", photos, broken, predictor)) == (COUNT - 4, 0, 4, 0)
    assert [p.name for p in parts_folder(broken).iterdir()] == [".lock"]
    expected, found = answers(whole), answers(broken)
    assert list(found) == list(expected)
    for key, row in expected.items():
        for name, value in row.items():
            if name == "emotion_probabilities":
                assert found[key][name] == pytest.approx(value, abs=1e-5)
            elif name in ("emotion_confidence", "emotion_gates"):
                assert found[key][name] == pytest.approx(value, abs=1e-4)
            elif name != "checked_ns":
                assert found[key][name] == value, name


def test_forgotten_photos_go_and_stay_out_under_any_name(predictor, photos, tmp_path):
    out = tmp_path / "library.parquet"
    update_library("", photos, out, predictor)
    assert forget(photos, out, [photos / "a" / "000.png"]) == 1
    shutil.copy(photos / "a" / "000.png", photos / "again.png")
    update = update_library("", photos, out, predictor)
    assert (update.added, update.forgotten) == (0, 2)
    assert forget(photos, out, [Path("tập ảnh")]) == COUNT // 2
    write(photos / "tập ảnh" / "later.png", 30)
    assert update_library("", photos, out, predictor).added == 0
    left = {path for path, _ in answers(out)}
    assert left == {f"a/{i:03d}.png" for i in range(2, COUNT, 2)}
    stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*.parquet"))
    assert b"001.png" not in stored


def test_forgetting_what_is_not_there_or_everything_is_refused(predictor, photos, tmp_path):
    out = tmp_path / "library.parquet"
    with pytest.raises(UserError, match="no such library"):
        forget(photos, out, [Path("a")])
    update_library("", photos, out, predictor)
    before = out.read_bytes()
    for path, words in ((Path("absent.png"), "neither in"), (photos, "inside the indexed folder"), (Path("../x"), "inside")):
        with pytest.raises(UserError, match=words):
            forget(photos, out, [Path("a/000.png"), path])
    assert out.read_bytes() == before


def test_a_library_of_another_network_folder_or_kind_is_refused(run, predictor, photos, tmp_path):
    out = tmp_path / "library.parquet"
    update_library("", photos, out, predictor)
    with pytest.raises(UserError, match="answered by made seed 3 stage 3"):
        update_library("", photos, out, Predictor(run / "stage1", detector=DrawnFace()))
    calibrated = copy.copy(predictor)
    calibrated.temperatures = {"emotion": 2.0}
    with pytest.raises(UserError, match="or calibrated otherwise"):
        update_library("", photos, out, calibrated)
    shutil.copytree(photos, tmp_path / "copy")
    with pytest.raises(UserError, match="is the library of"):
        update_library("", tmp_path / "copy", out, predictor)
    shutil.rmtree(photos)
    assert update_library("", tmp_path / "copy", out, predictor).rows == COUNT  # the folder has moved
    (tmp_path / "empty").mkdir()
    for folder, words in ((tmp_path / "empty", "no photos found"), (tmp_path / "absent", "no such folder")):
        with pytest.raises(UserError, match=words):
            update_library("", folder, out, predictor)
    pq.write_table(pa.table({"path": ["x"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="is no library"):
        update_library("", tmp_path / "copy", tmp_path / "other.parquet", predictor)


@pytest.fixture(scope="module")
def library(predictor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for i in range(COUNT):
        write(folder / "photos" / f"{i:03d}.png", i)
    write(folder / "photos" / "<img src=x onerror=alert(1)>'\".png", 30)
    update_library("", folder / "photos", folder / "library [1].parquet", predictor)
    return folder / "library [1].parquet"


def test_conditions_select_what_they_say(library):
    query, rows = LibraryQuery(library), read_library(library).table.to_pylist()

    def expected(keep):
        return [row["path"] for row in sorted(rows, key=lambda row: (row["path"], row["rank"])) if keep(row)]

    median = float(np.median([row["emotion_confidence"] for row in rows]))
    conditions = {
        "emotion = 'smile'": lambda row: row["emotion"] == "smile",
        "emotion in ('smile', 'sad') and not status = 'no_face'": lambda row: (
            row["emotion"] in ("smile", "sad") and row["status"] != "no_face"
        ),
        f"emotion_confidence > {median}": lambda row: row["emotion_confidence"] > median,
        "emotion_probabilities.smile > emotion_probabilities.angry": lambda row: (
            row["emotion_probabilities"]["smile"] > row["emotion_probabilities"]["angry"]
        ),
        "box is null": lambda row: row["box"] is None,
        "path like '00%' and rank between 0 and 1": lambda row: row["path"].startswith("00"),
        "lower(path) ilike '%IMG%' or starts_with(path, '003') -- why not": lambda row: (
            "img" in row["path"] or row["path"].startswith("003")
        ),
    }
    for where, keep in conditions.items():
        assert query.photos(where) == expected(keep), where
        assert [row["path"] for row in query.rows(where)] == expected(keep), where
    assert query.photos("emotion = 'smile'", limit=1) == expected(lambda row: row["emotion"] == "smile")[:1]


HOSTILE = [
    "read_text('{file}') like '%a%'",
    "exists (select * from read_text('{file}'))",
    "path in (select content from read_text('{file}'))",
    "path in (from read_csv('{file}'))",
    "true) union all select content from read_text('{file}') where (true",
    "true); copy library to '{file}'; select (true",
    "true); copy (select 1) to '{target}'; select * from library where (true",
    "true; copy library to '{target}'",
    "true) order by (select count(*) from read_blob('{file}')",
    "true) limit (select 1",
    "true) group by (1",
    "true) having (true",
    "true) window w as (partition by (1",
    "true) qualify (row_number() over () = 1",
    "true) using sample (10",
    "1 = (select 1)",
    "count(*) > 0",
    "row_number() over () = 1",
    "list_transform([1], lambda x: x + 1)[1] = 2",
    "getenv('HOME') = 'x'",
    "current_setting('enable_external_access') = 'x'",
    "getvariable('x') = 1",
    "nextval('s') = 1",
    "repeat('a', 1000000000) = path",
    "true) -- \n; attach '{target}' as other; select (true",
    "/* ",
    "true) /*",
    "$1 = path",
    "? = path",
    "columns('*') = 'x'",
    "*",
    "path = 'a\0b'",
    "install httpfs",
    "set enable_external_access = true",
    "pragma database_list",
    "(((" * 500 + "true" + ")))" * 500,
    "true" + " and true" * 5000,
    "",
    " ",
    "no_such_column = 1",
    "path = 'unclosed",
    "emotion = 'smile' emotion = 'sad'",
]


@pytest.mark.parametrize("where", HOSTILE, ids=range(len(HOSTILE)))
def test_a_condition_can_be_nothing_but_a_condition(library, tmp_path, where):
    secret, target = tmp_path / "secret.txt", tmp_path / "written"
    secret.write_text("a secret")
    before = library.read_bytes()
    with pytest.raises(UserError) as caught:
        LibraryQuery(library).rows(where.replace("{file}", str(secret)).replace("{target}", str(target)))
    assert "\n" not in str(caught.value)
    assert "a secret" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["secret.txt"]
    assert library.read_bytes() == before


def test_the_database_itself_reaches_nothing(library, tmp_path):
    """Should a condition ever pass the parser, the database has no way out."""
    query = LibraryQuery(library)
    (tmp_path / "secret.txt").write_text("a secret")
    rows = "visible by name only if Python variables could be read"
    assert rows
    for statement in (
        f"SELECT * FROM read_text('{tmp_path}/secret.txt')",
        f"COPY library TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.db'",
        "SET enable_external_access = true",
        "SET memory_limit = '99GB'",
        "LOAD httpfs",
        "SELECT * FROM rows",
    ):
        with pytest.raises(duckdb.Error):
            query._connection.execute(statement)
    assert [p.name for p in tmp_path.iterdir()] == ["secret.txt"]


def test_csv_holds_every_column(library):
    query = LibraryQuery(library)
    rows = query.rows("true")
    table = list(csv_module.DictReader(io.StringIO(as_csv(rows, query.columns))))
    assert [line["path"] for line in table] == [row["path"] for row in rows]
    assert list(table[0]) == query.columns


@pytest.mark.parametrize("outputs", [("library.parquet", None), (None, "library.parquet"), (None, "a.jpg"), ("", None)])
def test_results_are_not_written_over_a_library_or_a_photo(library, outputs):
    query, before = LibraryQuery(library), library.read_bytes()
    with pytest.raises(UserError, match="that ends in"):
        write_results([], query, "true", *(None if name is None else library.parent / name for name in outputs))
    assert library.read_bytes() == before


def test_a_sheet_shows_each_face_and_escapes_foreign_names(library):
    query = LibraryQuery(library)
    rows = query.rows("true")
    page = contact_sheet(rows, query.root, "path <> '<script>'", query.columns)
    assert page.count('class="sample"') == len(rows) == COUNT + 1
    assert page.count("data:image/jpeg") == len(rows)
    assert "<img src=x" not in page
    assert "<script>" not in page
    (query.root / "000.png").rename(query.root / "hidden")
    try:
        page = contact_sheet(rows, query.root, "true", query.columns)
    finally:
        (query.root / "hidden").rename(query.root / "000.png")
    assert page.count("data:image/jpeg") == len(rows) - 1
    assert "no longer there" in page
    with pytest.raises(UserError, match="--limit"):
        contact_sheet(rows * 60, query.root, "true", query.columns)


@pytest.mark.parametrize("path", ["../outside.png", "{}/outside.png", "link.png", "linked/outside.png", "circle.png", "a\0b.png"])
def test_a_sheet_neither_shows_nor_links_what_lies_outside_the_folder(tmp_path, path):
    root = tmp_path / "photos"
    write(root / "inside.png", 0)
    write(tmp_path / "outside.png", 1)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "linked").symlink_to(tmp_path)
    (root / "circle.png").symlink_to(root / "circle.png")
    rows = [{"path": name, "box": None, "status": "ok", "answered_by": "model"} for name in ("inside.png", path.format(tmp_path))]
    page = contact_sheet(rows, root, "true", ["path"])
    assert page.count('class="sample"') == 2
    assert page.count("data:image/jpeg") == page.count("file://") == page.count("no longer there") == 1


def test_the_command_loads_nothing_heavy_and_prints_paths(library):
    code = (
        "import sys; sys.argv = ['caer', 'search', *sys.argv[1:]]\n"
        "import runpy\n"
        "try: runpy.run_module('caer', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'cv2', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    call = [sys.executable, "-c", code, str(library), "--where", "path like '00%'", "--limit", "3"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT)
    *paths, modules = done.stdout.splitlines()
    assert paths == [str(library.parent / "photos" / f"{i:03d}.png") for i in range(3)]
    assert modules == "[]"


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), (b"PAR1 broken", "cannot be read")])
def test_what_is_no_library_is_said_in_one_line(tmp_path, content, words):
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        LibraryQuery(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="is no library"):
        LibraryQuery(path)

"""The manifest: stable ids and hashes, and clear words about files that are none."""

import hashlib
import json
import unicodedata

import numpy as np
import pytest

from preprocessing.chunks import Job, failed_row
from preprocessing.errors import UserError
from preprocessing.manifest import RowHash, read_manifest, row_hash, sample_id, schema, write_manifest
from preprocessing.settings import Settings
from preprocessing.types import RawSample

TYPES = {"age": "double", "emotion": "string"}


def rows(tmp_path, n: int = 3) -> list[dict]:
    job = Job(tmp_path, tmp_path, Settings(), TYPES, None, "")
    samples = [RawSample("s", f"{i}.jpg", "train", labels={"age": i / 3, "emotion": "é"}) for i in range(n)]
    made = [failed_row(job, sample, "empty", "why") for sample in samples]
    made[0] |= {"box": [1.5, 2.0, 3.0, 4.0], "score": 0.5, "status": "ok", "label_age": None}
    return made


def test_sample_ids_depend_on_source_path_and_rank_only():
    assert sample_id("s", "é.jpg", 0) == sample_id("s", unicodedata.normalize("NFD", "é.jpg"), 0)
    assert len({sample_id("s", "a", 0), sample_id("s", "a", 1), sample_id("t", "a", 0), sample_id("s", "b", 0)}) == 4
    assert sample_id("s", "a/b.jpg", 0) == hashlib.sha256(b"s\na/b.jpg\n0").hexdigest()


def test_written_and_read_back(tmp_path):
    made = rows(tmp_path)
    meta = write_manifest(tmp_path, [made[:1], made[1:]], TYPES, {"dataset": {"type": "x"}})
    manifest = read_manifest(tmp_path)
    assert manifest.meta == meta
    assert manifest.folder == tmp_path
    assert manifest.tasks == ["age", "emotion"]
    assert manifest.rows.columns.tolist() == schema(TYPES).names
    assert manifest.rows.image.tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert manifest.rows.box[0].tolist() == [1.5, 2, 3, 4]
    assert manifest.rows.box[1] is None
    assert np.isnan(manifest.rows.label_age[0])
    assert row_hash(manifest.rows) == meta["row_hash"]
    assert read_manifest(tmp_path / "manifest.parquet").meta == meta


def test_the_hash_depends_on_rows_and_order_not_on_pieces(tmp_path):
    made = rows(tmp_path)
    together = write_manifest(tmp_path, [made], TYPES, {})["row_hash"]
    assert write_manifest(tmp_path, [[row] for row in made], TYPES, {})["row_hash"] == together
    assert write_manifest(tmp_path, [made[::-1]], TYPES, {})["row_hash"] != together
    made[2]["status"] = "rejected"
    assert write_manifest(tmp_path, [made], TYPES, {})["row_hash"] != together
    first, second = RowHash(), RowHash()
    first.update(made)
    for row in made:
        second.update([dict(reversed(row.items()))])
    assert first.hexdigest() == second.hexdigest()


def test_an_empty_manifest_keeps_its_columns(tmp_path):
    write_manifest(tmp_path, [], TYPES, {})
    assert read_manifest(tmp_path).rows.columns.tolist() == schema(TYPES).names


def test_what_is_no_manifest_says_so(tmp_path):
    with pytest.raises(UserError, match="no such file; expected a manifest"):
        read_manifest(tmp_path / "absent")
    write_manifest(tmp_path, [rows(tmp_path)], TYPES, {})
    sidecar = tmp_path / "manifest.json"
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, "schema_version": 99}))
    with pytest.raises(UserError, match="schema_version 99 is unknown; this code reads 1"):
        read_manifest(tmp_path)
    sidecar.write_text("{")
    with pytest.raises(UserError, match="sidecar"):
        read_manifest(tmp_path)
    sidecar.write_text(json.dumps(content))
    (tmp_path / "manifest.parquet").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_manifest(tmp_path)
    sidecar.unlink()
    with pytest.raises(UserError, match="no such file"):
        read_manifest(tmp_path)

"""`python -m caer benchmark` measures what it was given."""

import pytest
from made_manifest import DrawnFace, draw, made_config, made_manifest

from caer.engine.run import fit_stage
from caer.predict import Predictor, speed
from preprocessing.errors import UserError
from preprocessing.images import encode_png


def test_photos_and_faces_are_counted_and_photos_without_answers_refused(tmp_path, monkeypatch):
    manifest = made_manifest(tmp_path / "data", {"train": 12, "val": 3})
    config = made_config(manifest).model_copy(update={"runs": tmp_path / "runs", "precision": "32"})
    fit_stage(config, 1)
    monkeypatch.setattr(speed, "Predictor", lambda run: Predictor(run, detector=DrawnFace()))
    for name, face in (("faces", True), ("none", False)):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.png").write_bytes(encode_png(draw(f"{i}", i % 3, face)))
    lines = speed.measure(config.run_folder, [tmp_path / "faces"], 3, 2, 1)
    assert lines[0].startswith("3 photos, 3 faces: ")
    assert [line.split(":")[0] for line in lines[2:]] == ["network, 1 face at once", "network, 2 faces at once"]
    with pytest.raises(UserError, match="none of the 4 photos"):
        speed.measure(config.run_folder, [tmp_path / "none"], 10, 2, 1)

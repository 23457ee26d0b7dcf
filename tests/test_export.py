"""Exported networks answer as their runs do, or are not written; the ONNX file alone is enough to predict."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_manifest import DrawnFace, draw, made_config, made_manifest
from made_run import copied_run

from caer.config import Config
from caer.evaluation.evaluate import evaluate_run
from caer.export import export
from caer.export.card import shareable, shareable_settings
from caer.export.export import export_run
from caer.export.graph import Flat
from caer.models.caer_net import caer_net
from caer.predict import Photo, Predictor
from caer.predict.networks import OnnxNetwork, TorchNetwork
from caer.tasks import classification
from preprocessing.errors import UserError
from preprocessing.files import sha256_file, write_atomic
from preprocessing.images import encode_png
from preprocessing.lookup import plugin_config
from preprocessing.settings import Settings, validate

CLASSES = ["smile", "sad", "angry"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = copied_run(tmp_path_factory)
    evaluate_run(run, "val", report=False)
    return run


@pytest.fixture(scope="module")
def onnx_file(run, tmp_path_factory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    return export_run(run, "onnx", tmp_path_factory.mktemp("export") / "out")


def shots() -> list[Photo]:
    return [Photo(str(i), f"{i:03d}", pixels=draw(f"{i:03d}", i % 3, face=i != 2)) for i in range(7)]


def test_a_card_names_no_folder_of_the_machine(tmp_path):
    manifest = made_manifest(tmp_path / "data", {"train": 4})
    trained = made_config(manifest).model_dump(mode="json") | {"runs": str(tmp_path / "runs")}
    trained["stages"]["3"]["init"]["face"] = str(tmp_path / "runs" / "other" / "seed17" / "stage1")
    shared = shareable(trained)
    assert str(tmp_path) not in json.dumps(shared)
    assert validate(Config, shared, "card").stage(3).init == {"face": "other/seed17/stage1", "context": "stage2"}


@pytest.mark.slow
def test_the_onnx_file_answers_as_the_run_does(run, onnx_file):
    ours, theirs = Predictor(run, detector=DrawnFace()), Predictor(onnx_file, detector=DrawnFace())
    assert theirs.temperatures == pytest.approx(ours.temperatures)
    for size in (1, 3, 32):
        pairs = zip(ours.predict_many(shots()), theirs.predict_many(shots(), batch_size=size), strict=True)
        for expected, found in ((a.faces[0], b.faces[0]) for a, b in pairs):
            assert (found.status, found.answered_by, found.label) == (expected.status, expected.answered_by, expected.label)
            for name in ("probabilities", "gates", "calibrated"):
                assert getattr(found, name)["emotion"] == pytest.approx(getattr(expected, name)["emotion"], abs=1e-4)
            assert set(found.branches) == set(expected.branches)
            assert found.attention == pytest.approx(expected.attention, abs=1e-4)
    with pytest.raises(UserError, match="no run folder"):
        assert theirs.run


@pytest.mark.slow
def test_the_onnx_file_is_enough_without_the_models_code(onnx_file, tmp_path):
    (tmp_path / "photo.png").write_bytes(encode_png(draw("0", 0, face=False)))
    code = (
        "import sys; from caer.predict import Predictor\n"
        "class Nobody:\n    def detect(self, image, key=''): return []\n"
        "answer = Predictor(sys.argv[1], detector=Nobody()).predict(sys.argv[2])[0]\n"
        "print(answer.answered_by, sorted({'timm', 'lightning', 'caer.models', 'gating.model'} & set(sys.modules)))"
    )
    call = [sys.executable, "-c", code, str(onnx_file), str(tmp_path / "photo.png")]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "context []\n"


@pytest.mark.slow
def test_the_card_says_what_it_is_and_names_no_place_of_this_machine(run, onnx_file):
    card = json.loads((onnx_file.parent / "card.json").read_text())
    page = (onnx_file.parent / "card.md").read_text()
    assert card["tasks"]["emotion"]["classes"] == CLASSES
    assert card["parity"]["largest_difference"] <= 1e-4
    assert card["inputs"]["image"]["shape"] == ["batch", 3, 64, 64]
    accuracy = json.loads((run / "eval/val/metrics.json").read_text())["tasks"]["emotion"]["rows"]["all"]["accuracy"]
    assert card["metrics"]["val"]["emotion"]["all"]["accuracy"] == accuracy
    assert "Art. 5(1)(f)" in page
    assert f"{accuracy['value']:.3f}" in page
    for content in (page, json.dumps(card), onnx_file.read_bytes().decode("latin1")):
        assert str(run.parent.parent.parent) not in content


def test_safetensors_hold_the_whole_network(run, tmp_path):
    from safetensors import safe_open

    file = export_run(run, "safetensors", tmp_path / "out")
    assert {path.name for path in file.parent.iterdir()} == {"model.safetensors", "card.json", "card.md", ".lock"}
    with safe_open(file, "pt") as stored, safe_open(run / "stage3" / "best.safetensors", "pt") as trained:
        assert set(stored.keys()) == set(trained.keys())
        assert json.loads(stored.metadata()["caer"])["config"]["name"] == "made"


def test_only_the_card_of_a_network_that_sees_the_scene_says_that_it_leans_on_it(run, tmp_path):
    for stage, leans in ((run, True), (run / "stage2", True), (run / "stage1", False)):
        card = json.loads((export_run(stage, "safetensors", tmp_path / stage.name).parent / "card.json").read_text())
        assert any("leans on the surroundings" in limit for limit in card["limits"]) == leans
        assert any("not what the person feels" in limit for limit in card["limits"])


def test_of_a_detectors_files_names_and_hashes_are_exported(run, tmp_path, monkeypatch):
    from safetensors import safe_open

    boxes = tmp_path / "lists" / "boxes.csv"
    write_atomic(boxes, "a.jpg,1,2,3,4\n")
    helper = {"type": "retinaface_r50", "weights": str(tmp_path / "gone.pth")}
    settings = Settings(detector={"type": "boxes", "files": [str(boxes)], "landmarks_from": helper})
    monkeypatch.setattr(TorchNetwork, "settings", settings)
    file = export_run(run, "safetensors", tmp_path / "out")
    for written in file.parent.iterdir():
        assert str(tmp_path) not in written.read_bytes().decode("latin1")
    card = json.loads((file.parent / "card.json").read_text())
    detector = card["preprocessing"]["detector"]
    assert detector["files"] == [{"file": "boxes.csv", "sha256": sha256_file(boxes)}]
    assert detector["landmarks_from"]["weights"] == {"file": "gone.pth", "sha256": None}
    with safe_open(file, "pt") as stored:
        inside = validate(Settings, json.loads(stored.metadata()["caer"])["settings"], file)
    config = plugin_config("preprocessing.detectors", inside.detector, file)
    assert config.files == [Path("boxes.csv")]
    assert config.landmarks_from["weights"] == "gone.pth"


def test_a_detectors_default_file_is_left_to_the_machine_that_uses_it():
    settings = Settings(detector={"type": "retinaface_r50"})
    assert "weights" not in shareable_settings(settings)["detector"]
    assert shareable_settings(settings, hashes=True)["detector"]["weights"]["file"] == "retinaface.pth"


def test_what_answers_otherwise_is_refused_and_nothing_is_left(run, tmp_path, monkeypatch):
    def other(network, example, card):
        with torch.no_grad():
            changed = {name: value + 2e-4 for name, value in network(example).items()}
        return b"", export.largest_difference(network, lambda batch: changed, example)

    monkeypatch.setattr(export, "_safetensors", other)
    with pytest.raises(UserError, match="nothing was written"):
        export_run(run, "safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_the_optional_packages_one_line_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"needs onnx.*requirements-app.txt"):
        export_run(run, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "words"), [("tflite", "expected onnx or safetensors")])
def test_unknown_formats_are_refused(run, kind, words):
    with pytest.raises(UserError, match=words):
        export_run(run, kind)


def test_what_is_no_exported_file_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        OnnxNetwork(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(UserError, match="cannot be read as an ONNX file"):
        Predictor(tmp_path / "text.onnx")


def test_a_graph_of_the_baseline_treats_rows_without_a_face_as_the_model_does():
    """CAER-Net leaves such rows out by index, which a graph cannot; the graph has to come to the same."""
    tasks = {"emotion": classification.build(classification.Config(classes=CLASSES), "emotion")}
    model = caer_net({"emotion": 3}, "compact").eval()
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 256, (3, 3, 48, 48), dtype=torch.uint8, generator=generator) for _ in range(2)]
    values = (*pictures, torch.tensor([True, False, True]))

    class Made:
        def __init__(self) -> None:
            self.model, self.tasks = model, tasks

    flat, batch = Flat(Made(), ["face", "context", "has_face"]).eval(), torch.export.Dim("batch")  # type: ignore[arg-type]
    with torch.no_grad():
        graph = torch.export.export(flat, values, dynamic_shapes=(({0: batch}, {0: batch}, {0: batch}),)).module()
        for rows in (slice(0, 3), slice(1, 2), slice(0, 1)):
            part = tuple(value[rows] for value in values)
            for expected, found in zip(flat(*part), graph(*part), strict=True):
                assert np.abs(found.numpy() - expected.numpy()).max() < 1e-5

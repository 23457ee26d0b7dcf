"""RetinaFace-ResNet50: the package's network with our resizing and decoding. Random weights stand in for its own, 118 MB."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import require

from preprocessing.detectors import retinaface_r50
from preprocessing.detectors._torch import thread_limit
from preprocessing.detectors.retinaface_r50 import Config, anchors, resize
from preprocessing.errors import UserError
from preprocessing.files import sha256_file

needs_package = pytest.mark.usefixtures("package")


@pytest.fixture(scope="session")
def package():
    """The package's module of the network."""
    installed = all(importlib.util.find_spec(name) for name in ("retinaface", "gdown"))
    require("detectors", installed, "retina-face is not installed; pip install -r requirements-detectors.txt")
    return retinaface_r50.import_optional("retinaface.model.retinaface_pth_model", "retina-face", "retinaface_r50")


@pytest.fixture(scope="session")
def weights(package, tmp_path_factory):
    """A weight file whose network calls some anchors faces, at moved and resized boxes."""
    torch.manual_seed(3)
    network = package.RetinaFace()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    state = network.state_dict()
    for stride in (8, 16, 32):
        state[f"face_rpn_stride{stride}.cls_score.weight"].mul_(0.1)
        state[f"face_rpn_stride{stride}.bbox_pred.weight"].mul_(0.01)
        state[f"face_rpn_stride{stride}.landmark_pred.weight"].mul_(0.01)
    # the statistics that BatchNorm would have learnt, so that nothing explodes with depth
    network.load_state_dict(state)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randint(0, 256, (2, 160, 224, 3)).float())
    path = tmp_path_factory.mktemp("weights") / "retinaface.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def detector(weights):
    return retinaface_r50.build(Config(weights=weights, device="cpu", min_score=0.5))


@pytest.fixture(scope="module")
def photo(astronaut):
    return np.ascontiguousarray(astronaut[:200, 100:376])


@needs_package
def test_faces_equal_the_packages_own(detector, photo):
    """Same weights, no resizing: score, landmarks and box agree with retina-face's pure Python decoding and suppression."""
    code = importlib.import_module("retinaface.commons.postprocess")
    with torch.inference_mode(), thread_limit(1):  # the same sums, so that scores that are almost equal keep their order
        outputs = [o.numpy() for o in detector.network(torch.from_numpy(photo[None]).float())]
    expected = reference_faces(code, outputs, photo.shape, threshold=0.5)
    faces = detector.detect(photo)
    assert len(faces) == len(expected) > 5
    for face, (box, score, landmarks) in zip(faces, expected, strict=True):
        assert face.score == pytest.approx(score, abs=1e-5)
        np.testing.assert_allclose(face.landmarks, landmarks + 0.5, atol=1e-2)  # pixel centres there, continuous coordinates here
        np.testing.assert_allclose(face.box[:2], box[:2], atol=1.01)
        np.testing.assert_allclose(face.box[2:], box[2:] + 1, atol=1.01)


def reference_faces(code, outputs, shape, threshold):
    """What the package does with the outputs of its network, by its own functions."""
    boxes, scores, points = [], [], []
    for grid, (stride, sides) in enumerate(retinaface_r50.ANCHORS.items()):
        base = np.array([[7.5 - (s - 1) / 2, 7.5 - (s - 1) / 2, 7.5 + (s - 1) / 2, 7.5 + (s - 1) / 2] for s in sides])
        score, offset, point = outputs[3 * grid : 3 * grid + 3]
        planes = code.anchors_plane(*offset.shape[1:3], stride, base).reshape(-1, 4)
        boxes.append(code.clip_boxes(code.bbox_pred(planes, offset.reshape(-1, 4)), shape[:2]))
        points.append(code.landmark_pred(planes, point.reshape(-1, 5, 2)))
        scores.append(score[..., 2:].reshape(-1))
    boxes, scores, points = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
    order = np.flatnonzero(scores >= threshold)
    order = order[np.argsort(-scores[order], kind="stable")]
    kept = code.cpu_nms(np.column_stack([boxes[order], scores[order]]).astype(np.float32), 0.4)
    return [(boxes[i], scores[i], points[i]) for i in order[kept]]


@needs_package
def test_a_batch_gives_what_its_photos_give_one_by_one(detector, photo):
    images = [photo, photo[:, ::-1].copy(), photo[:120, :150].copy(), photo[::-1].copy()]
    together = detector.detect_batch(images)
    for faces, image in zip(together, images, strict=True):
        alone = detector.detect(image)
        assert len(faces) == len(alone) > 0
        for a, b in zip(faces, alone, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=0.05)
            np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)
            assert a.score == pytest.approx(b.score, abs=1e-4)


@needs_package
@pytest.mark.parametrize("size", [(1, 1), (9, 300), (31, 33), (64, 64), (101, 67)])
def test_any_size_of_photo(detector, size):
    rng = np.random.default_rng(0)
    faces = detector.detect(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    height, width = size
    for face in faces:
        assert face.box.dtype == face.landmarks.dtype == np.float32
        assert (face.box >= 0).all()
        assert (face.box <= [width, height, width, height]).all()
        assert face.size > 0
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)


@needs_package
def test_faces_are_in_pixels_of_the_photo(weights, photo):
    """A photo enlarged twice and reduced by the detector gives the boxes of the original, twice as large."""
    large = np.repeat(np.repeat(photo, 2, axis=0), 2, axis=1)
    detector = retinaface_r50.build(Config(weights=weights, device="cpu", max_side=photo.shape[1], min_score=0.5))
    for a, b in zip(detector.detect(photo), detector.detect(large), strict=True):
        np.testing.assert_allclose(b.box, 2 * a.box, atol=0.1)


@pytest.mark.parametrize(
    ("size", "short", "longest", "expected"),
    [
        ((100, 200), 0, 400, (100, 200)),
        ((100, 200), 0, 100, (50, 100)),
        ((100, 200), 300, 400, (200, 400)),
        ((100, 200), 150, 400, (150, 300)),
        ((500, 200), 100, 1000, (500, 200)),
        ((3, 5000), 0, 100, (1, 100)),
    ],
)
def test_resize(size, short, longest, expected):
    small, scale = resize(np.zeros((*size, 3), np.uint8), short, longest)
    assert small.shape[:2] == expected
    np.testing.assert_allclose(scale, [size[1] / expected[1], size[0] / expected[0]])


@needs_package
@pytest.mark.parametrize("size", [(64, 96), (65, 31), (100, 100), (33, 1)])
def test_one_anchor_per_output(detector, size):
    scores, offsets, points = detector._forward(np.zeros((1, *size, 3), np.uint8))
    n = len(anchors(*size))
    assert (scores.shape, offsets.shape, points.shape) == ((1, n), (1, n, 4), (1, n, 10))


@needs_package
def test_absent_weights_say_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CAER_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=r"retinaface\.pth.*github\.com/serengil.*detector\.weights") as caught:
        retinaface_r50.build(Config())
    assert str(tmp_path / "retinaface.pth") in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_package
def test_only_the_file_of_the_hash_is_taken(weights):
    retinaface_r50.load_network(Config(weights=weights, sha256=sha256_file(weights)))
    with pytest.raises(UserError, match=r"detector\.sha256"):
        retinaface_r50.load_network(Config(weights=weights, sha256="0" * 64))


@needs_package
@pytest.mark.parametrize("content", ["rubbish", "nothing", "list", "another network"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.pth"
    if content in ("rubbish", "nothing"):
        path.write_bytes(b"rubbish" if content == "rubbish" else b"")
    else:
        torch.save([1] if content == "list" else {"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"get (it|them) from") as caught:
        retinaface_r50.build(Config(weights=path))
    assert "\n" not in str(caught.value)


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="no CUDA device"):
        retinaface_r50.build(Config(device="cuda"))


@pytest.mark.parametrize("name", ["retinaface_r50", "mtcnn"])
def test_without_the_package_one_line_names_the_install_command(name):
    """As on a machine without the optional requirements."""
    code = f"""
import sys
sys.modules['retinaface'] = sys.modules['facenet_pytorch'] = None
from preprocessing.lookup import find_plugin
from preprocessing.errors import UserError
module = find_plugin('preprocessing.detectors', '{name}')
try:
    module.build(module.Config())
except UserError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.count("\n") == 1
    assert "pip install -r requirements-detectors.txt" in result.stdout


@needs_package
def test_import_leaves_no_trace(weights):
    """Neither warning filters nor the environment change, nothing is printed, the package's main module is not run."""
    code = f"""
import os, sys, warnings
import torch, cv2  # theirs is not our business
from preprocessing.detectors import retinaface_r50
from preprocessing.detectors._torch import thread_limit
before = list(warnings.filters), dict(os.environ)
retinaface_r50.build(retinaface_r50.Config(weights={str(weights)!r}))
assert before == (list(warnings.filters), dict(os.environ))
assert 'retinaface.RetinaFace' not in sys.modules and 'tensorflow' not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr

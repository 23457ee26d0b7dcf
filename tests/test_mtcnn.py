"""MTCNN through facenet-pytorch: real detections, and the package's traps."""

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import require

from preprocessing.images import read_image


@pytest.fixture(scope="module")
def detector():
    installed = importlib.util.find_spec("facenet_pytorch") is not None
    require("detectors", installed, "facenet-pytorch is not installed; pip install -r requirements-detectors.txt")
    from preprocessing.detectors import mtcnn

    before = list(warnings.filters)
    built = mtcnn.build(mtcnn.Config(device="cpu", max_side=640))
    assert warnings.filters == before
    return built


def test_finds_the_astronaut(detector, astronaut):
    faces = detector.detect(astronaut)
    assert len(faces) == 1
    face = faces[0]
    assert 0.9 < face.score <= 1
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert face.box.shape == (4,)
    np.testing.assert_allclose(face.box, [181, 62, 268, 172], atol=8)
    # image-left eye, image-right eye, nose, image-left mouth corner, image-right mouth corner
    np.testing.assert_allclose(face.landmarks, [[205, 102], [247, 104], [225, 129], [202, 139], [245, 142]], atol=6)


def test_agrees_with_retinaface_on_box_and_landmark_order(detector, astronaut):
    from preprocessing.detectors import retinaface
    from preprocessing.detectors.base import iou

    other = retinaface.build(retinaface.Config()).detect(astronaut)[0]
    face = detector.detect(astronaut)[0]
    assert iou(face.box, other.box[None])[0] > 0.6
    assert np.abs(face.landmarks - other.landmarks).max() < 8


def test_several_faces_by_falling_score_in_pixels_of_the_photo(detector, astronaut):
    head = astronaut[:200, 130:330]
    small = np.zeros((200, 200, 3), np.uint8)
    small[50:150, 50:150] = head[::2, ::2]
    faces = detector.detect(np.concatenate([head, small, head[:, ::-1]], axis=1))
    assert len(faces) == 3
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
    centers = sorted(float(f.box[0] + f.box[2]) / 2 for f in faces)
    np.testing.assert_allclose(centers, [94, 297, 506], atol=8)


def test_a_reduced_photo_gives_the_same_face(detector, astronaut):
    large = np.repeat(np.repeat(astronaut, 2, axis=0), 2, axis=1)  # 1024, reduced to 640
    face, expected = detector.detect(large)[0], detector.detect(astronaut)[0]
    np.testing.assert_allclose(face.box, 2 * expected.box, atol=16)


def test_no_face(detector):
    rng = np.random.default_rng(0)
    assert detector.detect(np.zeros((120, 160, 3), np.uint8)) == []
    assert detector.detect(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)) == []


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (19, 19), (20, 20), (21, 300), (300, 21)])
def test_tiny_and_narrow_photos(detector, size):
    rng = np.random.default_rng(1)
    for _ in range(3):
        assert isinstance(detector.detect(rng.integers(0, 256, (*size, 3), dtype=np.uint8)), list)


def test_boxes_stay_in_the_frame(detector, astronaut):
    """Faces that the frame cuts."""
    found = 0
    for top in range(40, 100, 10):
        part = np.ascontiguousarray(astronaut[top : top + 110, 150:260])
        for face in detector.detect(part):
            found += 1
            assert (face.box >= 0).all()
            assert (face.box <= 110).all()
            assert face.size > 0
    assert found >= 2


def test_a_read_only_view_is_not_touched(detector, astronaut):
    view = astronaut[::-1, ::-1][::-1, ::-1].view()
    view.flags.writeable = False
    assert len(detector.detect(view)) == 1


def test_in_the_pipeline(detector, astronaut):
    from preprocessing.pipeline import process
    from preprocessing.settings import Settings

    record = process(astronaut, Settings(detector={"type": "mtcnn"}), detector)[0]
    assert record.status == "ok"
    assert record.face_landmarks is not None
    assert record.face_landmarks.shape == (5, 2)


@pytest.mark.slow
def test_finds_most_single_faces_of_real_photos(detector, robustness):
    """On photos with one face, big enough to look for, as the reference counts."""
    listed = pd.read_csv(robustness / "manifest.csv")
    single = listed[listed["n_faces"] == 1].head(25)
    found = [len(detector.detect(read_image(robustness / "files" / name))) for name in single.iloc[:, 0]]
    assert np.mean(np.array(found) >= 1) >= 0.9

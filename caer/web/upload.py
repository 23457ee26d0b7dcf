"""A photo that a browser sent, or that was fetched: checked, then really decoded, before anything else sees it.

Enters: bytes from outside; their name and announced type count for nothing. Leaves: an upright RGB array, or a `UserError`.
"""

import io
import warnings

import numpy as np
from PIL import Image

from preprocessing.errors import UserError
from preprocessing.images import ImageError, decode_image

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Formats of photos whose decoders only decode; others run interpreters (EPS) or load what they name."""


def read_upload(content: bytes) -> np.ndarray:
    """Decode a photo from outside.

    Returns:
        [H, W, 3] uint8 RGB, upright.

    Raises:
        UserError: too large in bytes, pixels or either side, not in one of `FORMATS`, or damaged.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"the file has {len(content) / 2**20:.1f} MB; at most {MAX_BYTES // 2**20} are taken; make it smaller")
    width, height = _announced(content)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"at most {MAX_SIDE} to a side and {MAX_PIXELS // 10**6} million in all are taken"
        raise UserError(f"the picture is {width} x {height} pixels; {limit}; make it smaller")
    try:
        return decode_image(content, MAX_PIXELS)
    except ImageError as error:
        raise UserError(f"the file cannot be decoded ({error.reason}); give the photo in another format") from None


def _announced(content: bytes) -> tuple[int, int]:
    """Width and height as the file's head states them."""
    known = ", ".join(FORMATS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=[*FORMATS, "MPO"]) as image:
                return image.size
    except Image.DecompressionBombError:
        raise UserError(f"the picture has far more than {MAX_PIXELS // 10**6} million pixels; make it smaller") from None
    except Exception:  # Pillow's many decoders raise anything on broken heads
        raise UserError(f"the file is no photo in a known format; expected one of {known}") from None

"""Image files -> upright RGB arrays, and JPEG bytes both ways.

Enters: a path to anything that claims to be a picture. Leaves: [H, W, 3] uint8 RGB with the EXIF orientation applied, or an
`ImageError` that says why not. Alpha is composited on white; 16-bit and float pictures are scaled to 8 bits; of an animation
the first frame counts.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

MAX_PIXELS = 120_000_000
_ORIENTATION = 0x0112


class ImageError(Exception):
    """A file that gives no picture: `status` is `missing`, `empty`, `bomb` or `unreadable`, `reason` says why in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = " ".join(reason.split())[:200]

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageError, (self.status, self.reason)


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture file.

    Args:
        path: the file.
        max_pixels: pictures that declare more are refused before they are decoded.

    Returns:
        [H, W, 3] uint8 RGB, upright.

    Raises:
        ImageError: there is no such file, or it gives no picture.
    """
    try:
        if not Path(path).is_file():
            raise ImageError("missing", "no such file")
        content = Path(path).read_bytes()
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    return decode_image(content, max_pixels)


def decode_image(content: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """As `read_image`, from bytes."""
    if not content:
        raise ImageError("empty", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and the like: what matters comes as an exception
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError("bomb", f"{image.width} x {image.height} pixels, at most {max_pixels} are read")
                pixels = _decode(image, content)
                return upright(pixels, _orientation(image))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("bomb", str(error)) from None
    except Image.UnidentifiedImageError:
        raise ImageError("unreadable", "not a picture in a known format") from None
    except Exception as error:  # Pillow's many decoders raise anything on broken files
        raise ImageError("unreadable", f"{type(error).__name__}: {error}") from None


def _decode(image: Image.Image, content: bytes) -> np.ndarray:
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        try:
            return simplejpeg.decode_jpeg(content, "RGB")
        except ValueError:
            pass  # the strict decoder stops at flaws that Pillow reads over; Pillow decides
    image.load()
    return to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pixels of a loaded Pillow image of any mode as [H, W, 3] uint8 RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode.startswith("I") or image.mode == "F":
        grey = scale_to_8bit(np.asarray(image), integer=image.mode != "F")
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "LAB":
        profiles: tuple[Any, Any] = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "LAB", "RGB"))
        assert converted is not None
        return np.asarray(converted)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def scale_to_8bit(values: np.ndarray, integer: bool) -> np.ndarray:
    """Grey values of more than 8 bits as uint8.

    Integers are taken as 16-bit; what lies beyond, and floats, are scaled by the range that fits: 1, 255, 65535 or their own
    maximum.
    """
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(values.max(initial=0.0))
    ranges = (65535.0,) if integer else (1.0, 255.0, 65535.0)
    full = next((r for r in ranges if highest <= r), highest)
    return (np.clip(values / full, 0, 1) * 255 + 0.5).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1-8; 1 where it is absent or its block is broken (the picture itself is fine)."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the EXIF parser raises anything on broken blocks
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (1-8) to [H, W, 3] pixels."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    # what is left is a mirror along one axis or both
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    pixels = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(pixels)


def decode_jpeg(content: bytes) -> np.ndarray:
    """JPEG bytes that `encode_jpeg` made -> [H, W, 3] uint8 RGB."""
    return simplejpeg.decode_jpeg(content, "RGB")


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """[H, W, 3] uint8 RGB -> JPEG bytes, 4:2:0, without metadata."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420")


def encode_png(pixels: np.ndarray) -> bytes:
    """[H, W, 3] uint8 RGB -> PNG bytes."""
    done, content = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    assert done
    return content.tobytes()

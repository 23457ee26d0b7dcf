"""Every kind of file gives the upright RGB picture that it shows, or says why not."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from preprocessing.images import (
    ImageError,
    decode_image,
    decode_jpeg,
    encode_jpeg,
    encode_png,
    read_image,
    scale_to_8bit,
    upright,
)

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    planes = [40 + 2.5 * x, 200 - 3 * y, 30 + x + 2 * y]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    assert a.dtype == np.uint8
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """What a camera stores so that `orientation` turns it upright: the inverse of the transform a viewer applies."""
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return image if inverse is None else image.transpose(inverse)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_exif_orientation_is_applied(picture, orientation, kind, options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(turned(Image.fromarray(picture), orientation), kind, exif=exif.tobytes(), **options)
    assert distance(decode_image(content), picture) < 3


def test_upright_undoes_itself(picture):
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    for orientation, back in inverse.items():
        assert (upright(upright(picture, orientation), back) == picture).all()


def test_nonsense_orientation_is_ignored(picture):
    exif = Image.Exif()
    exif[0x0112] = 99
    assert (decode_image(encoded(Image.fromarray(picture), "PNG", exif=exif.tobytes())) == picture).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"])
def test_grey(picture, kind):
    grey = Image.fromarray(picture).convert("L")
    result = decode_image(encoded(grey, kind))
    assert distance(result, np.asarray(grey.convert("RGB"))) < 2
    assert (result[..., 0] == result[..., 1]).all()


def test_alpha_is_composited_on_white(picture):
    rgba = np.dstack([picture, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 128
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        result = decode_image(encoded(Image.fromarray(rgba), kind, **options))
        assert (result[:10] == 255).all()
        assert distance(result[10:20], (picture[10:20].astype(float) * 128 / 255 + 127).astype(np.uint8)) < 2
        assert (result[20:] == picture[20:]).all()
    grey_alpha = Image.fromarray(rgba).convert("LA")
    assert (decode_image(encoded(grey_alpha, "PNG"))[:10] == 255).all()


def test_transparent_palette_and_animation(picture):
    first = Image.fromarray(picture).quantize(16)
    second = Image.fromarray(255 - picture).quantize(16)
    content = encoded(first, "GIF", save_all=True, append_images=[second], duration=50)
    assert distance(decode_image(content), np.asarray(first.convert("RGB"))) < 2
    transparent = Image.new("P", (WIDTH, HEIGHT), 0)
    transparent.putpalette([10, 20, 30] * 256)
    assert (decode_image(encoded(transparent, "GIF", transparency=0)) == 255).all()
    assert (decode_image(encoded(transparent, "PNG", transparency=0)) == 255).all()


def test_cmyk_and_lab(picture):
    image = Image.fromarray(picture)
    cmyk = decode_image(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert distance(cmyk, picture) < 4
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert distance(decode_image(encoded(lab, "TIFF")), picture) < 4


def test_one_bit(picture):
    bits = Image.fromarray(picture).convert("1")
    assert (decode_image(encoded(bits, "PNG")) == np.asarray(bits.convert("RGB"))).all()


def test_sixteen_bits_keep_their_contrast(picture):
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    wide = grey.astype(np.uint16) * 257
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert distance(decode_image(encoded(Image.fromarray(wide), "PNG")), expected) < 1
    assert distance(decode_image(encoded(Image.fromarray(wide), "TIFF")), expected) < 1
    pgm = b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + wide.astype(">u2").tobytes()
    assert distance(decode_image(pgm), expected) < 1


def test_float_ranges():
    ramp = np.linspace(0, 1, 11, dtype=np.float32)
    for top in (1.0, 255.0, 65535.0, 1e6):
        assert scale_to_8bit(ramp * top, integer=False).tolist() == scale_to_8bit(ramp, integer=False).tolist()
    assert scale_to_8bit(np.array([np.nan, np.inf, 0.5, -1.0]), integer=False).tolist() == [0, 0, 128, 0]


def refused(content: bytes, status: str) -> str:
    with pytest.raises(ImageError) as error:
        decode_image(content)
    assert error.value.status == status
    assert error.value.reason
    assert "\n" not in error.value.reason
    return error.value.reason


def test_what_is_no_picture_says_so(picture, tmp_path):
    refused(b"", "empty")
    refused(b"just text", "unreadable")
    for kind in ("JPEG", "PNG"):
        whole = encoded(Image.fromarray(picture), kind)
        refused(whole[: len(whole) * 2 // 3], "unreadable")
        refused(whole[:20], "unreadable")
    for path, status in ((tmp_path / "absent.jpg", "missing"), (tmp_path, "missing")):
        with pytest.raises(ImageError) as error:
            read_image(path)
        assert error.value.status == status


def test_bombs_are_refused_before_decoding(picture):
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = header + b"\0\0\0\0"
    with pytest.raises(ImageError):
        decode_image(content)
    with pytest.raises(ImageError) as error:
        decode_image(encoded(Image.fromarray(picture), "PNG"), max_pixels=HEIGHT * WIDTH - 1)
    assert error.value.status == "bomb"
    assert decode_image(encoded(Image.fromarray(picture), "PNG"), max_pixels=HEIGHT * WIDTH).shape == picture.shape


def test_broken_exif_does_not_hide_the_picture(picture):
    content = encoded(Image.fromarray(picture), "JPEG", quality=95)
    block = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff\xff"
    broken = content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
    assert distance(decode_image(broken), picture) < 3


def test_jpeg_round_trip_without_metadata(picture):
    content = encode_jpeg(picture, 95)
    assert distance(decode_jpeg(content), picture) < 2
    assert not Image.open(io.BytesIO(content)).getexif()
    assert b"Exif" not in content
    assert distance(decode_jpeg(encode_jpeg(picture[:, ::-1], 95)), picture[:, ::-1]) < 2  # a view with negative strides


def test_png_keeps_every_pixel(picture, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encode_png(picture))
    assert (read_image(tmp_path / "a.png") == picture).all()

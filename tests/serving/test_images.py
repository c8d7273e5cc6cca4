"""Decoding what strangers send: what is accepted is exact, what is not has a reason."""

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from serving.images import MAX_PIXELS, Refused, decode_image


def _encoded(image, kind="PNG"):
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _npy(array, **options):
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def _npy_promising(shape, descr="|u1", body=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def _png_promising(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("fortran", [False, True])
def test_npy_and_png_hold_the_pixels_that_were_sent(shape, fortran):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    sent = np.asfortranarray(array) if fortran else array
    np.testing.assert_array_equal(np.asarray(decode_image(_npy(sent))), array)
    np.testing.assert_array_equal(np.asarray(decode_image(_npy(sent, version=(2, 0)))), array)
    np.testing.assert_array_equal(np.asarray(decode_image(_encoded(Image.fromarray(array)))), array)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_read(mode):
    assert decode_image(_encoded(Image.new(mode, (9, 8)), "JPEG")).size == (9, 8)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"https://example.org/image.png", 415, "not a PNG"),
        (_encoded(Image.new("L", (9, 8)), "GIF"), 415, "not a PNG"),
        (_encoded(Image.new("L", (9, 8)), "TIFF"), 415, "not a PNG"),
        (_encoded(Image.new("L", (99, 88)))[:-30], 422, "damaged"),
        (b"\x89PNG\r\n\x1a\n", 422, "damaged"),
        (b"\xff\xd8\xff", 422, "damaged"),
        (_encoded(Image.new("I;16", (9, 8))), 422, "8 bits"),
        (_png_promising(4097, 4096), 413, "too many pixels"),
        (_png_promising(10_000, 10_000), 413, "too many pixels"),
        (_png_promising(2**31 - 1, 2**31 - 1), 413, "too many pixels"),
    ],
)
def test_pictures_that_are_refused(data, status, reason):
    with pytest.raises(Refused, match=reason) as refused:
        decode_image(data)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"\x93NUMPY", 422, "header"),
        (b"\x93NUMPY\x09\x00" + bytes(200), 422, "header"),
        (_npy_promising("x" * 2000), 422, "header"),
        (_npy_promising((1,), descr=[("a", "(" * 400)]), 422, "header"),
        (_npy(np.array([None])), 422, "pickled objects"),
        (_npy(np.zeros((4, 4))), 422, "float64"),
        (_npy(np.zeros((4, 4), np.uint16)), 422, "uint16"),
        (_npy(np.zeros(16, np.uint8)), 422, "shape"),
        (_npy(np.zeros((4, 4, 4), np.uint8)), 422, "shape"),
        (_npy(np.zeros((2, 4, 4, 3), np.uint8)), 422, "shape"),
        (_npy(np.zeros((0, 4), np.uint8)), 422, "shape"),
        (_npy_promising((4, -4)), 422, "npy"),
        (_npy_promising((4097, 4096)), 413, "too many pixels"),
        (_npy_promising((10**9, 10**9)), 413, "too many pixels"),
        (_npy_promising((4, 4), body=bytes(15)), 422, "15 bytes"),
        (_npy_promising((4, 4), body=bytes(17)), 422, "17 bytes"),
    ],
)
def test_arrays_that_are_refused(data, status, reason):
    with pytest.raises(Refused, match=reason) as refused:
        decode_image(data)
    assert refused.value.status == status


def test_the_largest_picture_is_read():
    side = int(MAX_PIXELS**0.5)
    assert decode_image(_encoded(Image.new("1", (side, side)))).size == (side, side)


def test_noise_never_raises_anything_else():
    rng = np.random.default_rng(0)
    for whole in (_encoded(Image.new("P", (20, 20))), _npy(np.zeros((20, 20), np.uint8))):
        for _ in range(300):
            data = bytearray(whole)
            for place in rng.integers(8, len(data), 3):
                data[place] = rng.integers(256)
            with suppress(Refused):
                decode_image(bytes(data))

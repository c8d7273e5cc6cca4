"""Decoding untrusted files: accepted ones exactly, all others are refused with a reason."""

import pickle
import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from broken_images import (
    broken_files,
    by_reason,
    dicom_bytes,
    encoded,
    good_files,
    png_promising,
    refusal,
)
from PIL import Image, ImageFile

from medlabel.data.decoding import MAX_PIXELS, Fault, ImageError, decode_image, decode_stack
from medlabel.errors import MedlabelError

RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
RGB = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
TWELVE = np.linspace(0, 4095, 96).astype(np.uint16).reshape(8, 12)
GREY = Image.new("L", (9, 8))


def npy(array, **options):
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def npy_promising(shape, descr="|u1", body=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize("array", [RAMP, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_hold_the_pixels_that_were_sent(array, kind):
    decoded = decode_image(encoded(Image.fromarray(array), kind))
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("array", [RAMP, RGB], ids=["grey", "rgb"])
def test_jpeg_is_read(array):
    picture = Image.fromarray(array)
    decoded = decode_image(encoded(picture, "JPEG", quality=100, subsampling=0))
    assert decoded.shape == array.shape
    assert abs(decoded.astype(int) - array).max() < 16


@pytest.mark.parametrize("array", [RAMP, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy_holds_the_pixels_that_were_sent(array, fortran, version):
    sent = np.asfortranarray(array) if fortran else array
    np.testing.assert_array_equal(decode_image(npy(sent, version=version)), array)


def test_npy_with_one_channel_is_grey():
    np.testing.assert_array_equal(decode_image(npy(RAMP[..., None])), RAMP)
    (image,) = decode_stack(npy(RAMP[..., None]), 1)
    np.testing.assert_array_equal(image, RAMP)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped_and_not_blended(mode):
    picture = Image.fromarray(RGB).convert(mode)
    picture.putalpha(7)
    expected = np.asarray(picture)[..., 0] if mode == "LA" else RGB
    np.testing.assert_array_equal(decode_image(encoded(picture)), expected)


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(16))])
def test_palette_becomes_rgb(transparency):
    picture = Image.fromarray(RGB).quantize(16)
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode_image(encoded(picture, **options))
    np.testing.assert_array_equal(decoded, np.asarray(picture.convert("RGB")))


def test_black_and_white_spans_the_whole_range():
    picture = Image.fromarray(RAMP > 100)
    np.testing.assert_array_equal(decode_image(encoded(picture)), 255 * (RAMP > 100))


def test_the_largest_picture_is_read():
    side = int(MAX_PIXELS**0.5)
    assert decode_image(encoded(Image.new("1", (side, side)))).shape == (side, side)


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"", "damaged", "an empty file"),
        (b"https://example.org/image.png", "unsupported", "not a PNG, JPEG, TIFF, DICOM or npy"),
        (encoded(GREY, "GIF"), "unsupported", "not a PNG"),
        (b"PK\x03\x04" + bytes(40), "unsupported", "an archive (npz or zip), not one image"),
        (b"DICM" + bytes(200), "unsupported", "not a PNG"),
        (encoded(Image.new("L", (99, 88)))[:-30], "damaged", "a damaged PNG"),
        (b"\x89PNG\r\n\x1a\n", "damaged", "a damaged PNG"),
        (b"\xff\xd8\xff", "damaged", "a damaged JPEG"),
        (encoded(Image.fromarray(RGB), "JPEG")[:-40], "damaged", "a damaged JPEG"),
        (b"II*\0", "damaged", "a damaged TIFF"),
        (encoded(Image.new("L", (99, 88)), "TIFF")[:-900], "damaged", "a damaged TIFF"),
        (png_promising(4097, 4096), "too_large", "4097x4096 is too many pixels"),
        (png_promising(10_000, 10_000), "too_large", "10000x10000 is too many pixels"),
        (png_promising(2**31 - 1, 2**31 - 1), "too_large", "too many pixels"),
        (encoded(Image.new("1", (4097, 4096)), "TIFF"), "too_large", "4097x4096 is too many"),
        (encoded(Image.new("L", (4097, 4096)), "JPEG"), "too_large", "4097x4096 is too many"),
    ],
    ids=by_reason,
)
def test_files_that_are_refused(data, kind, reason):
    refused = refusal(data)
    assert refused.kind == kind
    assert refused.reason.startswith(reason)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("CMYK", (9, 8)), "JPEG"),
        dicom_bytes(RGB, PhotometricInterpretation="YBR_PARTIAL_420"),
        dicom_bytes(RAMP, PhotometricInterpretation="RGB"),
    ],
    ids=["cmyk jpeg", "ybr dicom", "grey rgb dicom"],
)
def test_colours_that_would_be_guessed_are_refused(data):
    refused = refusal(data)
    assert refused.kind == Fault.UNSUITABLE
    assert refused.reason.startswith("a colour space other than grey or RGB")


def pages(kind, count):
    shades = [Image.new("L", (9, 8), shade) for shade in range(count)]
    return encoded(shades[0], kind, save_all=True, append_images=shades[1:])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_more_frames_than_one_are_refused_and_counted(kind):
    refused = refusal(pages(kind, 3))
    assert refused.kind == Fault.UNSUITABLE
    assert refused.reason == "3 frames: send one image per file"


def test_animated_png_of_one_frame_is_an_image():
    assert decode_image(pages("PNG", 1)).shape == (8, 9)


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"\x93NUMPY", "damaged", "header"),
        (b"\x93NUMPY\x09\x00" + bytes(200), "damaged", "header"),
        (npy_promising("x" * 2000), "damaged", "header"),
        (npy_promising((1,), descr=[("a", "(" * 400)]), "damaged", "header"),
        (npy(np.array([None])), "unsuitable", "pickled objects"),
        (npy(np.zeros((4, 4))), "unsuitable", "float64"),
        (npy(np.zeros((4, 4), np.uint16)), "unsuitable", "uint16"),
        (npy(np.zeros(16, np.uint8)), "unsuitable", "shape"),
        (npy(np.zeros((4, 4, 4), np.uint8)), "unsuitable", "shape"),
        (npy(np.zeros((2, 4, 4, 3), np.uint8)), "unsuitable", "shape"),
        (npy(np.zeros((0, 4), np.uint8)), "unsuitable", "shape"),
        (npy_promising((4, -4)), "damaged", "npy"),
        (npy_promising((4097, 4096)), "too_large", "too many pixels"),
        (npy_promising((10**9, 10**9)), "too_large", "too many pixels"),
        (npy_promising((4, 4), body=bytes(15)), "damaged", "15 bytes"),
        (npy_promising((4, 4), body=bytes(17)), "damaged", "17 bytes"),
    ],
    ids=by_reason,
)
def test_arrays_that_are_refused(data, kind, reason):
    refused = refusal(data)
    assert refused.kind == kind
    assert reason in refused.reason


def test_content_decides_where_a_dicom_file_begins_like_a_tiff():
    data = dicom_bytes(RAMP)
    np.testing.assert_array_equal(decode_image(b"II*\0" + data[4:]), RAMP)


def test_refusal_is_the_users_to_mend_and_travels_between_workers():
    refused = pickle.loads(pickle.dumps(refusal(b"")))
    assert isinstance(refused, MedlabelError)
    assert (refused.kind, refused.reason) == (Fault.DAMAGED, "an empty file")


def test_truncated_files_are_never_filled_up():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_noise_never_raises_anything_else():
    rng = np.random.default_rng(0)
    for _, _, whole in good_files(10):
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(4, len(data), 3):
                data[place] = rng.integers(256)
            with suppress(ImageError):
                assert decode_image(bytes(data)).dtype == np.uint8


def test_good_files_are_accepted():
    files = list(good_files(30))
    assert len({name for _, name, _ in files}) == len({data for *_, data in files}) == 30
    for kind, _, data in files:
        assert decode_image(data).ndim == (3 if kind.split()[0] in ("coloured", "packed") else 2)


def test_broken_files_are_refused_each_for_its_own_reason():
    reasons = {}
    for kind, _, data in broken_files(3):
        refused = refusal(data)
        reasons.setdefault(kind, set()).add(str(refused.kind))
    assert reasons == {
        "truncated jpeg": {"damaged"},
        "wrong magic": {"unsupported"},
        "decompression bomb": {"too_large"},
        "16-bit colour png": {"unsuitable"},
        "cmyk jpeg": {"unsuitable"},
        "animated png": {"unsuitable"},
        "zero bytes": {"damaged"},
        "dicom without pixels": {"unsuitable"},
        "multi-frame dicom": {"unsuitable"},
        "multi-page tiff": {"unsuitable"},
    }


def test_files_to_test_with_are_the_same_each_time():
    assert list(good_files(10)) == list(good_files(10))
    assert list(broken_files(1)) == list(broken_files(1))

"""TIFF: every depth and byte order exactly, the picture of a pyramid, and true refusals."""

import struct

import numpy as np
import pytest
from broken_images import encoded, refusal
from PIL import Image

from medlabel.data.decoding import Fault, ImageError, decode, decode_image

RAMP = np.arange(126, dtype=np.uint8).reshape(9, 14)
RAMP_SHOWN = np.rint(RAMP * (255 / 125)).astype(np.uint8)
RGB = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
FORMATS = {"u": 1, "i": 2, "f": 3}
SHORT, LONG = 3, 4


def tiff(*pages, order="<"):
    """An uncompressed TIFF of pages, each an array [H, W] or [H, W, 3] and more tags."""
    data = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 0)
    link = 4  # where the place of the next directory is written
    for pixels, more in pages:
        sorts = pixels.dtype.newbyteorder(order)
        raw, channels = pixels.astype(sorts).tobytes(), pixels.shape[2:] or (1,)
        tags = {
            256: pixels.shape[1], 257: pixels.shape[0], 258: 8 * sorts.itemsize, 259: 1,
            262: 2 if channels == (3,) else 1, 273: len(data), 277: channels[0],
            279: len(raw), 339: FORMATS[sorts.kind],
        } | more  # fmt: skip
        data += raw + bytes(len(raw) % 2)
        place = len(data)
        data = data[:link] + struct.pack(f"{order}I", place) + data[link + 4 :]
        data += struct.pack(f"{order}H", len(tags))
        extra = place + 2 + 12 * len(tags) + 4
        tail = b""
        for tag, value in sorted(tags.items()):
            if tag in (258, 339) and channels == (3,):
                value = (value,) * 3
            kind = SHORT if isinstance(value, tuple) else LONG
            values = value if isinstance(value, tuple) else (value,)
            body = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
            if len(body) > 4:
                body, tail = struct.pack(f"{order}I", extra + len(tail)), tail + body
            data += struct.pack(f"{order}HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
        link = len(data)
        data += bytes(4) + tail
    return data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["i1", "u2", "i2", "i4", "f4"])
def test_deep_and_signed_greys_are_scaled_by_their_own_range(dtype, order):
    values = (RAMP.astype(dtype) - (60 if dtype[0] != "u" else 0)).astype(dtype)
    values *= {"1": 1, "2": 100, "4": 100_000}[dtype[1]]
    found = decode(tiff((values, {}), order=order))
    np.testing.assert_array_equal(found.pixels, RAMP_SHOWN)
    assert found.own_range


def test_unsigned_greys_of_32_bits_are_not_taken_for_signed_ones():
    values = RAMP.astype(np.uint32) * 30_000_000
    np.testing.assert_array_equal(decode_image(tiff((values, {}))), RAMP_SHOWN)


@pytest.mark.parametrize(
    ("packing", "dtype"), [("tiff_lzw", np.uint16), ("tiff_adobe_deflate", np.int32)]
)
def test_compressed_deep_greys_are_the_same(packing, dtype):
    picture = Image.fromarray(RAMP.astype(dtype) * 100)
    data = encoded(picture, "TIFF", compression=packing)
    np.testing.assert_array_equal(decode_image(data), RAMP_SHOWN)


def test_big_endian_numbers_that_pillow_would_garble_are_refused():
    packed = tiff((RAMP.astype(np.int16), {259: 8}), order=">")  # Deflate
    assert refusal(packed).reason.startswith("a TIFF of 1 channel with 16 bits, in a layout that")
    assert refusal(b"MM\0+" + bytes(20)).reason.startswith("a big-endian BigTIFF")


@pytest.mark.parametrize(("dtype", "shown"), [("u1", RAMP), ("u2", RAMP_SHOWN), ("f4", RAMP_SHOWN)])
def test_where_white_is_zero_grey_levels_are_inverted(dtype, shown):
    data = tiff((RAMP.astype(dtype), {262: 0}))
    np.testing.assert_array_equal(decode_image(data), 255 - shown)


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"big_tiff": True}])
def test_packed_and_big_tiffs_are_read(options):
    packed = encoded(Image.fromarray(RGB), "TIFF", **options)
    np.testing.assert_array_equal(decode_image(packed), RGB)


def test_channels_in_separate_planes_are_read():
    planes = np.moveaxis(RGB, 2, 0).reshape(27, 14)
    tags = {257: 9, 258: (8, 8, 8), 262: 2, 277: 3, 284: 2, 339: (1, 1, 1)}
    tags |= {273: (8, 134, 260), 278: 9, 279: (126, 126, 126)}
    np.testing.assert_array_equal(decode_image(tiff((planes, tags))), RGB)


def test_jpeg_within_a_tiff_is_read():
    flat = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    data = encoded(Image.fromarray(flat), "TIFF", compression="jpeg", quality=100)
    assert abs(decode_image(data).astype(int) - flat).max() <= 2


@pytest.mark.parametrize("most", [255, 65535])
def test_entries_of_a_palette_are_of_8_or_of_16_bits(most):
    entries = np.random.default_rng(1).integers(0, 256, (3, 256))
    tags = {262: 3, 320: tuple((entries * (most // 255)).ravel().tolist())}
    expected = np.moveaxis(entries[:, RAMP], 0, 2)
    np.testing.assert_array_equal(decode_image(tiff((RAMP, tags))), expected)


REDUCED, MASK = {254: 1}, {254: 4}


@pytest.mark.parametrize(
    "pages",
    [
        [(RAMP, {}), (RAMP[::2, ::2], REDUCED), (RAMP[::4, ::4], REDUCED)],
        [(RAMP[::2, ::2], REDUCED), (RAMP, {274: 1}), (RAMP, MASK)],
        [(RAMP, {}), (RAMP[::2, ::2], {255: 2})],
        [(RAMP, {330: 8})],
        [(RAMP, REDUCED)],
    ],
    ids=["copies after it", "copy before it, mask", "old tag", "copies in it", "alone"],
)
def test_of_a_pyramid_the_picture_itself_is_read(pages):
    np.testing.assert_array_equal(decode_image(tiff(*pages)), RAMP)


def test_pages_that_are_halved_again_and_again_are_a_pyramid():
    halves = [(RAMP[::step, ::step], {}) for step in (1, 2, 4)]
    np.testing.assert_array_equal(decode_image(tiff(*halves)), RAMP)
    for pages in (halves[::-1], [halves[0], halves[2]], [(RAMP[:1, :1], {})] * 2):
        assert refusal(tiff(*pages)).reason.endswith("frames: send one image per file")


def test_the_picture_of_a_pyramid_is_turned_by_its_own_tag():
    data = tiff((RAMP[::2, ::2], REDUCED | {274: 1}), (RAMP, {274: 6}))
    np.testing.assert_array_equal(decode_image(data), RAMP[::-1].T)


def test_pages_that_are_no_copies_are_refused():
    data = tiff((RAMP, {}), (RAMP, {254: 2}), (RAMP[::2], REDUCED))
    assert refusal(data).reason == "2 frames: send one image per file"


def test_pages_that_form_a_circle_are_read_once():
    data = bytearray(tiff((RAMP, {})))
    data[-4:] = data[4:8]  # the next directory is the first one
    np.testing.assert_array_equal(decode_image(bytes(data)), RAMP)


def test_pages_are_not_counted_for_ever(monkeypatch):
    monkeypatch.setattr("medlabel.data.decoding.tiff._MAX_PAGES", 4)
    assert refusal(tiff(*[(RAMP, {})] * 9)).reason.startswith("4 frames")


def test_tile_that_exceeds_its_image_is_counted_as_pixels():
    with pytest.raises(ImageError, match="16384x16384 is too many pixels"):
        decode_image(tiff((RAMP, {322: 16384, 323: 16384})))


@pytest.mark.parametrize(
    ("tags", "kind", "reason"),
    [
        ({262: 5}, Fault.UNSUITABLE, "a colour space other than grey or RGB"),
        ({262: 32803}, Fault.UNSUITABLE, "a colour space other than grey or RGB"),
        ({254: 1, 330: 8}, Fault.UNSUITABLE, "a TIFF of reduced copies without the picture"),
        ({339: 6}, Fault.UNSUITABLE, "a TIFF of complex or undefined numbers"),
        ({259: 34712}, Fault.UNSUPPORTED, "a TIFF in compression 34712"),
        ({258: 24}, Fault.UNSUPPORTED, "a TIFF of 1 channel with 24 bits, in a layout"),
        ({258: (8,) * 5, 277: 5}, Fault.UNSUPPORTED, "a TIFF of 5 channels with 8 bits, in a"),
        ({258: (16,) * 3, 262: 2, 277: 3}, Fault.UNSUITABLE, "more than 8 bits per channel in col"),
        ({262: 6, 258: (8,) * 3, 277: 3}, Fault.UNSUITABLE, "a colour space other than grey or"),
    ],
    ids=["cmyk", "sensor", "raw", "complex", "packed", "24 bits", "5 channels", "rgb 16", "ycbcr"],
)
def test_what_cannot_be_read_rightly_is_refused_for_what_it_is(tags, kind, reason):
    refused = refusal(tiff((RAMP, tags)))
    assert refused.kind == kind
    assert refused.reason.startswith(reason)


def test_numbers_without_a_grey_level_are_refused():
    values = RAMP.astype(np.float32)
    values[0, 0] = np.nan
    assert refusal(tiff((values, {}))).reason.startswith("a TIFF of numbers that are not finite")

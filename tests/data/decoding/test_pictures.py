"""PNG and JPEG: upright, of any depth, without alpha, the first picture of several."""

import struct
import zlib

import numpy as np
import pytest
from broken_images import encoded, png_promising, refusal
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medlabel.data.decoding import Fault, decode, decode_image

RGB = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
RAMP = np.arange(126, dtype=np.uint8).reshape(9, 14)
DEEP = RAMP.astype(np.uint16) * 30 + 1000
DEEP_SHOWN = np.rint(RAMP * (255 / 125)).astype(np.uint8)
EXIF = 0x0112

# What each value of the tag says of row 0 and column 0 of the stored pixels (EXIF 2.32, 4.6.4.A),
# as the upright picture in terms of the stored one.
UPRIGHT = {
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # right, top
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),  # left, bottom
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF] = orientation
    return exif


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_picture_is_turned_upright_once(kind, value):
    stored = np.kron(RGB[:3, :5], np.ones((8, 8, 1), np.uint8))  # whole blocks of a JPEG
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(stored), kind, exif=turned(value), **options)
    expected = UPRIGHT[value](stored).astype(int)
    assert abs(decode_image(data) - expected).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_greys_are_turned_upright_too(kind):
    data = encoded(Image.fromarray(DEEP), kind, exif=turned(6))
    np.testing.assert_array_equal(decode_image(data), UPRIGHT[6](DEEP_SHOWN))


def test_orientation_in_a_text_chunk_or_in_xmp_counts():
    raw, profile, xmp = turned(6).tobytes(), PngInfo(), PngInfo()
    profile.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    xmp.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    for info in (profile, xmp):
        data = encoded(Image.fromarray(RGB), pnginfo=info)
        np.testing.assert_array_equal(decode_image(data), UPRIGHT[6](RGB))


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        b"Exif\0\0XX",
        turned(0).tobytes(),
        turned(99).tobytes(),
    ],
    ids=["empty", "no directory", "cut off", "no byte order", "0", "99"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_broken_orientation_leaves_the_picture_as_it_is(kind, exif):
    flat = np.full((9, 14, 3), 90, np.uint8)
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(flat), kind, exif=exif)), flat
    )


def test_grey_png_of_16_bits_is_scaled_by_its_own_range_and_says_so():
    found = decode(encoded(Image.fromarray(DEEP)))
    np.testing.assert_array_equal(found.pixels, DEEP_SHOWN)
    assert found.own_range
    assert not decode(encoded(Image.fromarray(RAMP))).own_range


@pytest.mark.parametrize(
    ("colour", "reason"),
    [(2, "more than 8 bits per channel in colour"), (4, "16-bit grey with transp"), (6, "more")],
)
def test_other_png_of_16_bits_are_refused(colour, reason):
    refused = refusal(png_promising(9, 8, bits=16, colour=colour))
    assert refused.kind == Fault.UNSUITABLE
    assert refused.reason.startswith(reason)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits_spans_the_whole_range(bits):
    levels = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    row = np.packbits(np.unpackbits(levels.T, axis=1)[:, -bits:])
    data = png_promising(2**bits, 1, zlib.compress(b"\0" + row.tobytes()), bits)
    np.testing.assert_array_equal(decode_image(data), levels * (255 // (2**bits - 1)))


def test_interlaced_png_is_read():
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    lines = [RAMP[top::down, left::right] for top, left, down, right in [*passes, (1, 0, 2, 1)]]
    raw = b"".join(b"\0" + line.tobytes() for part in lines for line in part)
    data = bytearray(png_promising(14, 9, zlib.compress(raw)))
    data[28] = 1  # Adam7 (PNG specification, 8.2)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    np.testing.assert_array_equal(decode_image(bytes(data)), RAMP)


def test_gamma_and_colour_profiles_are_not_applied():
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    data = encoded(Image.fromarray(RGB), pnginfo=info, icc_profile=b"a profile")
    np.testing.assert_array_equal(decode_image(data), RGB)


def test_of_a_jpeg_with_several_pictures_the_first_is_read():
    options = {"save_all": True, "append_images": [Image.fromarray(255 - RAMP)], "quality": 100}
    decoded = decode_image(encoded(Image.fromarray(RAMP), "MPO", **options))
    assert abs(decoded.astype(int) - RAMP).max() <= 2


def test_progressive_jpeg_is_the_same_picture():
    once = encoded(Image.fromarray(RGB), "JPEG", quality=95)
    decoded = decode_image(encoded(Image.fromarray(RGB), "JPEG", quality=95, progressive=True))
    np.testing.assert_array_equal(decoded, decode_image(once))


@pytest.mark.parametrize(
    ("offset", "value", "kind", "reason"),
    [
        (4, 12, "unsupported", "a JPEG of 12 bits per channel"),
        (1, 0xF7, "unsupported", "a JPEG-LS file"),
        (9, 4, "unsuitable", "a colour space other than grey or RGB"),
        (9, 2, "unsuitable", "a colour space other than grey or RGB"),
    ],
    ids=["12 bits", "jpeg-ls", "four channels", "two channels"],
)
def test_a_jpeg_is_refused_for_what_its_frame_header_says(offset, value, kind, reason):
    data = bytearray(encoded(Image.fromarray(RGB), "JPEG"))
    data[data.index(b"\xff\xc0") + offset] = value
    refused = refusal(bytes(data))
    assert (str(refused.kind), refused.reason.startswith(reason)) == (kind, True)

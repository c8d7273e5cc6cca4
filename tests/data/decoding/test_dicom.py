"""Untrusted DICOM files are shown as in a viewer, or refused with a reason."""

import logging
import struct
import warnings
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from broken_images import (
    by_reason,
    dicom_bytes,
    encoded,
    refusal,
)
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from medlabel.data.decoding import ImageError, decode, decode_image

RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
RGB = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
TWELVE = np.linspace(0, 4095, 96).astype(np.uint16).reshape(8, 12)
GREY = Image.new("L", (9, 8))


def compressed(image, syntax, kind, pixels=None, **header):
    """A DICOM file around one image that Pillow has compressed."""
    array = np.asarray(image) if pixels is None else pixels
    return dicom_bytes(array, syntax, PixelData=encapsulate([encoded(image, kind)]), **header)


def lookup(entries, first, bits):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [len(entries), first, bits], list(entries)
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    return [table]


def shades(array, low, high):
    """What a window from `low` to `high` makes of values."""
    return np.rint(255 * np.clip((array - low) / (high - low), 0, 1)).astype(np.uint8)


def run_length(data):
    content = dcmread(BytesIO(data))
    content.compress(RLELossless)
    content.save_as(buffer := BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        dicom_bytes(TWELVE),
        dicom_bytes(TWELVE, ImplicitVRLittleEndian),
        dicom_bytes(TWELVE, ExplicitVRBigEndian, PixelData=TWELVE.astype(">u2").tobytes()),
        run_length(dicom_bytes(TWELVE)),
    ],
    ids=["explicit", "implicit", "big endian", "run length"],
)
def test_dicom_is_read_in_every_syntax_that_needs_no_plugin(data):
    np.testing.assert_array_equal(decode_image(data), shades(TWELVE, 0, 4095))


@pytest.mark.parametrize("more", [0, 2**16])
def test_run_lengths_that_unfold_to_more_than_their_image_are_not_unfolded(more, monkeypatch):
    size = TWELVE.size
    rows = bytes([129, 7]) * (size // 128 + 1 + more)  # 128 times the same byte
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + rows
    data = dicom_bytes(TWELVE.astype(np.uint8), RLELossless, PixelData=encapsulate([frame]))
    if not more:
        assert decode_image(data).shape == TWELVE.shape
        return
    monkeypatch.setattr(
        "medlabel.data.decoding.dicom.pixel_array", lambda *_, **__: pytest.fail("it was")
    )
    with pytest.raises(ImageError, match="decode to more than its image"):
        decode_image(data)


def test_dicom_without_a_window_spans_its_darkest_to_its_brightest():
    values = TWELVE // 8 + 1000
    np.testing.assert_array_equal(decode_image(dicom_bytes(values)), shades(values, 1000, 1511))


@pytest.mark.parametrize(
    "values", [TWELVE.astype(np.int32) * 100_000 - 70_000_000, TWELVE + np.uint32(4e9)]
)
def test_values_of_32_bits_are_read(values):
    np.testing.assert_array_equal(decode_image(dicom_bytes(values)), shades(TWELVE, 0, 4095))


@pytest.mark.parametrize(
    ("values", "header", "expected"),
    [
        (TWELVE, {}, True),
        (TWELVE, {"WindowCenter": 40, "WindowWidth": 400}, False),
        (TWELVE.astype(np.uint8), {}, False),
    ],
    ids=["no window", "window", "8 bits"],
)
def test_it_is_noted_where_the_own_range_takes_the_place_of_a_window(values, header, expected):
    assert decode(dicom_bytes(values, **header)).own_range is expected


def test_dicom_of_one_shade_is_black():
    assert not decode_image(dicom_bytes(np.full((4, 5), 77, np.uint8))).any()


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 801}])
def test_monochrome1_is_its_monochrome2_twin(window):
    twin = dicom_bytes(TWELVE, BitsStored=12, **window)
    if window:
        window = {"WindowCenter": 4096 - 1000, "WindowWidth": 801}
    negative = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}
    decoded = decode_image(dicom_bytes(4095 - TWELVE, **negative, **window))
    np.testing.assert_array_equal(decoded, decode_image(twin))
    assert decoded[0, 0] == 0
    assert decoded[-1, -1] == 255


def test_the_first_window_is_applied_to_rescaled_values():
    window = {"WindowCenter": ["40.5", "900"], "WindowWidth": ["101", "10"]}
    decoded = decode_image(dicom_bytes(TWELVE, RescaleSlope=2, RescaleIntercept=-1024, **window))
    np.testing.assert_array_equal(decoded, shades(TWELVE * 2.0 - 1024, -10, 90))
    assert {0, 255} < set(decoded.flat)


def test_window_shows_no_more_contrast_than_it_gives():
    """All pixels lie inside of the window, so none of them is black or white."""
    values = np.full((4, 4), 100, np.uint16)
    decoded = decode_image(dicom_bytes(values, WindowCenter=100.5, WindowWidth=201))
    assert set(decoded.flat) == {128}


@pytest.mark.parametrize("empty", [{"WindowWidth": ""}, {"WindowWidth": 0}, {"RescaleSlope": ""}])
def test_window_or_slope_without_a_value_is_none(empty):
    data = dicom_bytes(TWELVE, **{"WindowCenter": 5, "RescaleIntercept": 5, **empty})
    np.testing.assert_array_equal(decode_image(data), shades(TWELVE, 0, 4095))


def test_twelve_signed_bits_are_read_whatever_is_in_the_other_four():
    values = np.linspace(-2048, 2047, 96).astype(np.int16).reshape(8, 12)
    dirty = values & 0x0FFF | 0x5000
    data = dicom_bytes(dirty.astype(np.int16), BitsStored=12)
    np.testing.assert_array_equal(decode_image(data), shades(values.astype(float), -2048, 2047))


@pytest.mark.parametrize("bits", [8, 12])
def test_voi_table_goes_before_the_window(bits):
    table = np.linspace(2**bits - 1, 0, 4096).astype(int)
    window = {"WindowCenter": 1, "WindowWidth": 1}
    data = dicom_bytes(TWELVE, BitsStored=12, VOILUTSequence=lookup(table, 0, bits), **window)
    np.testing.assert_array_equal(decode_image(data), shades(table[TWELVE], 0, 2**bits - 1))


def test_modality_table_is_applied():
    table = np.square(np.arange(256))
    data = dicom_bytes(RAMP, ModalityLUTSequence=lookup(table, 0, 16))
    np.testing.assert_array_equal(decode_image(data), shades(table[RAMP], 0, 255**2))


SIGNED = np.linspace(-1000, 1000, 96).astype(np.int16).reshape(8, 12)


def padded(values, value):
    """Values with a frame of padding, and where the padding is."""
    framed = np.pad(values, 2, constant_values=value)
    return framed, np.pad(np.zeros(values.shape, bool), 2, constant_values=True)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("values", "value"),
    [
        (SIGNED, -2000),
        (TWELVE, 65535),
        (TWELVE // 2 + 9, 0),
        (RAMP // 2, 255),
    ],
    ids=["signed", "unsigned", "zero", "bytes"],
)
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count_for_the_range(values, value, kind, syntax):
    framed, where = padded(values, value)
    header = {"PixelPaddingValue": value, "PhotometricInterpretation": kind}
    decoded = decode_image(dicom_bytes(framed, syntax, **header))
    share = (values.astype(float) - values.min()) / (int(values.max()) - int(values.min()))
    expected = np.rint(255 * (share if kind == "MONOCHROME2" else 1 - share))
    np.testing.assert_array_equal(decoded[~where].reshape(values.shape), expected)
    assert not decoded[where].any()


def test_padding_of_signed_pixels_may_be_written_as_unsigned():
    framed, where = padded(SIGNED, -2000)
    data = dicom_bytes(framed, PixelPaddingValue=-2000)
    tag = struct.pack("<HH", 0x28, 0x120)
    assert tag + b"SS" in data
    unsigned = data.replace(tag + b"SS", tag + b"US")
    np.testing.assert_array_equal(decode_image(unsigned), decode_image(data))
    assert not decode_image(data)[where].any()


def test_padding_of_signed_pixels_may_have_its_sign_at_the_highest_stored_bit():
    framed, where = padded(SIGNED, -2048)
    data = dicom_bytes(framed, PixelPaddingValue=-2048, BitsStored=12, HighBit=11)
    short = dicom_bytes(framed, PixelPaddingValue=0x0800, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(decode_image(short), decode_image(data))
    assert not decode_image(data)[where].any()


@pytest.mark.parametrize("ends", [(-1010, -990), (-990, -1010)])
def test_padding_may_be_a_range_with_both_ends(ends):
    values = SIGNED.copy()
    values[0, :3] = -1010, -1000, -990
    limits = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}
    data = dicom_bytes(values, RescaleSlope=2, RescaleIntercept=5, **limits)  # of stored values
    tissue = values > -990
    expected = shades(values.astype(float), values[tissue].min(), values.max()) * tissue
    np.testing.assert_array_equal(decode_image(data), expected)


def test_padding_is_black_whatever_the_window_makes_of_it():
    framed, where = padded(TWELVE, 2000)
    window = {"WindowCenter": 1000, "WindowWidth": 801, "PixelPaddingValue": 2000}
    expected = shades(framed.astype(float), 599.5, 1399.5)
    expected[framed == 2000] = 0
    np.testing.assert_array_equal(decode_image(dicom_bytes(framed, **window)), expected)
    assert not expected[where].any()


def test_padding_of_a_palette_is_black():
    tables = {}
    for name in ("Red", "Green", "Blue"):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        tables[f"{name}PaletteColorLookupTableData"] = bytes([200] * 256)
    data = dicom_bytes(
        RAMP, PhotometricInterpretation="PALETTE COLOR", PixelPaddingValue=7, **tables
    )
    np.testing.assert_array_equal(decode_image(data)[..., 0], 200 * (RAMP != 7))


def test_nothing_but_padding_is_black():
    assert not decode_image(dicom_bytes(np.full((4, 5), 9, np.uint8), PixelPaddingValue=9)).any()


def test_padding_counts_in_values_of_32_bits():
    values = SIGNED.astype(np.int32) * 1000
    framed, where = padded(values, -2000)
    framed[0, 0] = -2_000_000  # not padding, and far from it
    decoded = decode_image(dicom_bytes(framed, PixelPaddingValue=-2000))
    where[0, 0] = False
    tissue = framed.astype(float)
    np.testing.assert_array_equal(decoded, shades(tissue, -2e6, 1e6) * ~where)


@pytest.mark.parametrize("values", [TWELVE, SIGNED * 2], ids=["unsigned", "signed"])
@pytest.mark.parametrize("shift", [1, 4])
@pytest.mark.parametrize("make", [dicom_bytes, lambda *a, **k: run_length(dicom_bytes(*a, **k))])
def test_bits_are_taken_from_below_the_high_bit(values, shift, make):
    """Overlays once lay in the bits beside the pixels."""
    window = {"WindowCenter": 300, "WindowWidth": 1500, "BitsStored": 12}
    low = dicom_bytes(values, HighBit=11, **window)
    moved = (values.view(np.uint16) & 0x0FFF) << shift
    moved[0, 0] |= 1 | 0x8000 * (shift < 4)
    data = make(moved.view(values.dtype), HighBit=11 + shift, **window)
    np.testing.assert_array_equal(decode_image(data), decode_image(low))


@pytest.mark.parametrize("bit", [0, 11, None])
def test_overlay_in_the_high_bits_is_not_shown(bit):
    overlaid = TWELVE | (TWELVE % 2 << 15)
    place = {} if bit is None else {"HighBit": bit}
    decoded = decode_image(dicom_bytes(overlaid, BitsStored=12, **place))
    np.testing.assert_array_equal(decoded, decode_image(dicom_bytes(TWELVE, BitsStored=12)))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 300, "WindowWidth": 1500}])
@pytest.mark.parametrize("bit", [15, 16])
def test_high_bit_that_contradicts_its_pixels_is_refused(bit, window):
    refused = refusal(dicom_bytes(TWELVE | 1, BitsStored=12, HighBit=bit, **window))
    assert refused.kind == "damaged"
    assert "High Bit" in refused.reason


@pytest.mark.parametrize(
    ("window", "low", "high"),
    [
        ({"WindowWidth": 0.5}, 0.25, 0.75),
        ({"WindowWidth": 0.5, "VOILUTFunction": "LINEAR"}, 0.25, 0.75),
        ({"WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"}, 0.25, 0.75),
        ({"WindowWidth": 1.5}, -0.25, 0.25),
        ({"WindowWidth": 1.7, "VOILUTFunction": "LINEAR_EXACT"}, -0.35, 1.35),
    ],
)
def test_windows_of_fractions_are_applied(window, low, high):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    rescaling = {"RescaleSlope": 1 / 64, "RescaleIntercept": 0, "WindowCenter": 0.5}
    decoded = decode_image(dicom_bytes(values, **rescaling, **window))
    exact = 255 * np.clip((values / 64 - low) / (high - low), 0, 1)
    assert abs(decoded - exact).max() < 0.5 + 1e-9  # halves may be rounded either way


def test_window_of_width_one_is_a_threshold():
    decoded = decode_image(dicom_bytes(RAMP, WindowCenter=100, WindowWidth=1))
    np.testing.assert_array_equal(decoded, 255 * (RAMP > 99.5))


def test_sigmoid_window_is_applied():
    window = {"WindowCenter": 128, "WindowWidth": 0.5, "VOILUTFunction": "SIGMOID"}
    data = dicom_bytes(RAMP, RescaleSlope=0.5, RescaleIntercept=100, **window)
    expected = 255 / (1 + np.exp(-4 * (RAMP / 2 + 100 - 128) / 0.5))
    np.testing.assert_array_equal(decode_image(data), np.rint(expected))


@pytest.mark.parametrize("width", [0, -5, "", "nan"])
def test_window_without_a_width_is_none(width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom_bytes(TWELVE, WindowCenter=5, WindowWidth=width)
    np.testing.assert_array_equal(decode_image(data), shades(TWELVE, 0, 4095))


@pytest.mark.parametrize(
    ("rescaling", "slope", "intercept"),
    [({"RescaleIntercept": -1024}, 1, -1024), ({"RescaleSlope": 2}, 2, 0)],
)
def test_slope_or_intercept_that_is_missing_changes_nothing(rescaling, slope, intercept):
    data = dicom_bytes(TWELVE, WindowCenter=40, WindowWidth=401, **rescaling)
    expected = shades(TWELVE * float(slope) + intercept, -160.5, 239.5)
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize(
    ("header", "kind", "reason"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 9}, "damaged", "its Rescale Slope is 0"),
        ({"RescaleSlope": "nan"}, "damaged", "not a number"),
        (
            {"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
            "unsuitable",
            "an unknown VOI LUT Function",
        ),
    ],
)
def test_transformations_without_a_meaning_are_refused(header, kind, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = refusal(dicom_bytes(TWELVE, **header))
    assert refused.kind == kind
    assert reason in refused.reason


def test_grey_image_with_a_palette_on_top_is_refused():
    descriptor = {"RedPaletteColorLookupTableDescriptor": [16, 4080, 16]}
    refused = refusal(dicom_bytes(TWELVE, PixelPresentation="MIXED", **descriptor))
    assert refused.reason == "a grey DICOM image with colours: save it as RGB first"
    assert decode_image(dicom_bytes(TWELVE, PixelPresentation="MONOCHROME")).shape == (8, 12)


def test_packed_bits_are_refused():
    refused = refusal(dicom_bytes(TWELVE, BitsAllocated=12, BitsStored=12))
    assert (refused.kind, refused.reason) == ("unsupported", "a DICOM file of 12 bits allocated")


def test_colours_of_few_bits_are_refused():
    assert "fewer than 8 bits" in refusal(dicom_bytes(RGB // 2, BitsStored=7)).reason


def test_coloured_dicom_is_read():
    np.testing.assert_array_equal(decode_image(dicom_bytes(RGB)), RGB)
    planes = dicom_bytes(RGB, PlanarConfiguration=1, PixelData=RGB.transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(decode_image(planes), RGB)


def test_luma_and_chroma_become_rgb():
    luma = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    decoded = decode_image(dicom_bytes(luma, PhotometricInterpretation="YBR_FULL"))
    assert abs(decoded.astype(int) - RGB).max() <= 3


@pytest.mark.parametrize("scale", [1, 257], ids=["8 bits", "16 bits"])
def test_palette_of_a_dicom_is_applied(scale):
    palette = np.random.default_rng(1).integers(0, 256, (256, 3))
    tables = {}
    for name, column in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        entries = (column * scale).astype(np.uint8 if scale == 1 else "<u2")
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8 * entries.itemsize]
        tables[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    decoded = decode_image(dicom_bytes(RAMP, PhotometricInterpretation="PALETTE COLOR", **tables))
    np.testing.assert_array_equal(decoded, palette[RAMP])


def test_jpegs_within_a_dicom_are_read():
    plain = compressed(Image.fromarray(RAMP), JPEGBaseline8Bit, "JPEG")
    assert abs(decode_image(plain).astype(int) - RAMP).max() < 30
    lossless = compressed(
        Image.fromarray(RGB), JPEG2000Lossless, "JPEG2000", PhotometricInterpretation="YBR_RCT"
    )
    np.testing.assert_array_equal(decode_image(lossless), RGB)


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (dicom_bytes(RAMP, PixelData=None), "unsuitable", "a DICOM file without pixels"),
        (dicom_bytes(RAMP, PixelData=b""), "unsuitable", "a DICOM file without pixels"),
        (
            dicom_bytes(RAMP, PixelData=None, FloatPixelData=bytes(1024)),
            "unsuitable",
            "a DICOM file of floating-point pixels",
        ),
        (dicom_bytes(RAMP, NumberOfFrames=7), "unsuitable", "7 frames: send one image per file"),
        (dicom_bytes(RAMP, Rows=4), "unsuitable", "2 frames: send one image per file"),
        (
            dicom_bytes(RAMP, JPEGBaseline8Bit, PixelData=encapsulate([encoded(GREY, "JPEG")] * 3)),
            "unsuitable",
            "3 frames: send one image per file",
        ),
        (dicom_bytes(RGB.astype(np.uint16)), "unsuitable", "more than 8 bits per channel"),
        (dicom_bytes(RAMP, Rows=4097, Columns=4096), "too_large", "4096x4097 is too many pixels"),
        (dicom_bytes(RAMP, Rows=0), "damaged", "a damaged DICOM file: an image without rows"),
        (dicom_bytes(RAMP, Rows=None), "damaged", "a damaged DICOM file"),
        (dicom_bytes(RAMP, BitsAllocated=None), "damaged", "a damaged DICOM file"),
        (dicom_bytes(RAMP)[:-9], "damaged", "a damaged DICOM file"),
        (bytes(128) + b"DICM", "damaged", "a damaged DICOM file"),
        (
            dicom_bytes(TWELVE, RescaleSlope="1e308", RescaleIntercept=0),
            "damaged",
            "a damaged DICOM file",
        ),
        (
            compressed(GREY, JPEGBaseline8Bit, "JPEG", pixels=RAMP),
            "damaged",
            "a damaged DICOM file: its compressed image differs in size from its header",
        ),
        (
            compressed(
                Image.fromarray(RAMP),
                JPEGExtended12Bit,
                "JPEG",
                pixels=TWELVE,
                Rows=8,
                Columns=32,
                BitsStored=12,
            ),
            "unsupported",
            "a DICOM file in JPEG Extended",
        ),
        (
            dicom_bytes(RAMP, JPEGLSLossless, PixelData=encapsulate([b"frame."])),
            "unsupported",
            "a DICOM file in JPEG-LS Lossless Image Compression: convert it to Explicit VR",
        ),
        (
            dicom_bytes(RAMP, DeflatedExplicitVRLittleEndian),
            "unsupported",
            "a DICOM file in Deflated Explicit VR Little Endian",
        ),
        (
            dicom_bytes(RAMP).replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.4711.47.11.99\0"),
            "unsupported",
            "a DICOM file in an unknown transfer syntax",
        ),
    ],
    ids=by_reason,
)
def test_dicom_files_that_are_refused(data, kind, reason):
    refused = refusal(data)
    assert refused.kind == kind
    assert refused.reason.startswith(reason)


@pytest.mark.timeout(10)
def test_jpeg_2000_whose_boxes_lead_nowhere_does_not_hang():
    endless = encoded(Image.fromarray(RAMP), "JPEG2000").replace(b"jp2c", b"free")
    place = endless.index(b"free") - 4
    endless = endless[:place] + bytes(4) + endless[place + 4 :]
    data = dicom_bytes(RAMP, JPEG2000Lossless, PixelData=encapsulate([endless]))
    assert refusal(data).reason == "a damaged DICOM file: its JPEG 2000 has no image"


def test_compressed_image_that_claims_a_giant_size_is_damaged():
    frame = bytearray(encoded(Image.fromarray(RAMP), "JPEG2000", no_jp2=True))
    place = frame.index(b"\xff\x51") + 6  # the width and height of the SIZ marker
    frame[place : place + 8] = struct.pack(">LL", 2**20, 2**20)
    data = dicom_bytes(RAMP, JPEG2000Lossless, PixelData=encapsulate([bytes(frame)]))
    assert refusal(data).reason.endswith("its compressed image differs in size from its header")


@pytest.mark.parametrize(
    "header",
    [
        {"PhotometricInterpretation": "DOE JANE"},
        {"RescaleSlope": 1, "RescaleIntercept": 0, "VOILUTFunction": "DOE JANE"},
        {"BitsStored": 99},
        {"SpecificCharacterSet": "DOE JANE"},
        {"PixelData": bytes(999)},
    ],
)
def test_nothing_of_a_header_is_told(header, caplog, capfd):
    window = {"WindowCenter": 1, "WindowWidth": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom_bytes(RAMP, **{**window, **header})
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned, suppress(ImageError):
        warnings.simplefilter("always")
        decode_image(data)
    assert warned == []
    output = caplog.text + "".join(capfd.readouterr())
    assert output == ""


def test_reason_holds_no_value_of_the_header():
    data = dicom_bytes(RAMP, PhotometricInterpretation="DOE JANE")
    assert "DOE" not in refusal(data).reason

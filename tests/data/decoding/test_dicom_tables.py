"""Lookup tables of DICOM files are read in each way in which they may be stored."""

import struct

import numpy as np
import pytest
from broken_images import dicom_bytes, refusal
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medlabel.data.decoding import decode_image

RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
SQUARES = np.square(np.arange(256))
INDICES = np.arange(0, 4096, 32, dtype=np.uint16).reshape(8, 16)
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def item(entries, first=0, bits=16, order="<", vr="OW"):
    """An item of a sequence of tables; `vr` may be "US" for a list of numbers."""
    table = Dataset()
    table.LUTDescriptor = [len(entries) % 2**16, first, bits]
    words = np.asarray(entries).astype(f"{order}u2")
    table.add_new("LUTData", vr, list(map(int, entries)) if vr == "US" else words.tobytes())
    table["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    return [table]


def packed(entries, order):
    """Entries of 8 bits, in words."""
    words = np.asarray(entries, np.uint8).view("<u2")
    return words.astype(f"{order}u2").tobytes()


def ramp(syntax, **header):
    """All bytes as pixels; in big endian they are swapped, as parts of words."""
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    return dicom_bytes(RAMP, syntax, PixelData=RAMP.view("<u2").astype(order).tobytes(), **header)


def palette(columns, data, bits, first=0, kind=""):
    tables = {}
    for name, column in zip(("Red", "Green", "Blue"), columns, strict=True):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [len(column) % 2**16, first, bits]
        tables[f"{kind}{name}PaletteColorLookupTableData"] = data(column)
    return {"PhotometricInterpretation": "PALETTE COLOR", **tables}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_tables_are_read_as_words_and_as_numbers(keyword, vr, syntax):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = ramp(syntax, **{keyword: item(SQUARES, 0, 16, order, vr)})
    top = 65535 if keyword == "VOILUTSequence" else SQUARES.max()
    np.testing.assert_array_equal(decode_image(data), np.rint(255 * SQUARES[RAMP] / top))


@pytest.mark.parametrize("syntax", SYNTAXES[1:], ids=lambda syntax: syntax.name)
def test_table_of_bytes_may_be_packed(syntax):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    table = item(np.zeros(256), 0, 8)
    table[0].LUTData = packed(255 - np.arange(256), order)
    np.testing.assert_array_equal(decode_image(ramp(syntax, VOILUTSequence=table)), 255 - RAMP)


@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("first", [-1024, 64512])
def test_table_after_rescaling_may_begin_below_zero(first, syntax):
    table = item(np.arange(4096), first, 12)
    if syntax == ImplicitVRLittleEndian:
        table = item(np.arange(4096), 64512, 12)  # the same bits
    rescaling = {"RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 12}
    decoded = decode_image(dicom_bytes(INDICES, syntax, VOILUTSequence=table, **rescaling))
    np.testing.assert_array_equal(decoded, np.rint(255.0 * INDICES / 4095))


def test_values_far_beyond_a_table_are_its_last_entry():
    table = item(np.arange(256), 0, 8, vr="US")
    rescaling = {"RescaleSlope": 1000, "RescaleIntercept": 0}
    decoded = decode_image(dicom_bytes(RAMP, VOILUTSequence=table, **rescaling))
    np.testing.assert_array_equal(decoded, 255 * (RAMP > 0))


def test_table_without_data_leaves_the_window():
    table = item(SQUARES)
    del table[0].LUTData
    data = dicom_bytes(RAMP, VOILUTSequence=table, WindowCenter=100, WindowWidth=1)
    np.testing.assert_array_equal(decode_image(data), 255 * (RAMP > 99.5))


@pytest.mark.parametrize("bits", [0, 8, 16])
def test_table_that_lacks_entries_is_damaged(bits):
    table = item(SQUARES, bits=bits)
    table[0].LUTData = bytes(512 if bits == 0 else 100)
    refused = refusal(dicom_bytes(RAMP, VOILUTSequence=table))
    assert refused.reason == "a damaged DICOM file: a lookup table lacks entries"


COLUMNS = np.random.default_rng(0).integers(0, 256, (3, 4096))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 16])
def test_palette_of_many_entries_is_applied(bits, syntax):
    order = ">" if syntax == ExplicitVRBigEndian else "<"

    def data(column):
        return packed(column, order) if bits == 8 else (column * 257).astype(f"{order}u2").tobytes()

    pixels = INDICES.astype(f"{order}u2").tobytes()
    tables = palette(COLUMNS, data, bits)
    decoded = decode_image(dicom_bytes(INDICES, syntax, PixelData=pixels, **tables))
    np.testing.assert_array_equal(decoded, np.moveaxis(COLUMNS[:, INDICES], 0, -1))


@pytest.mark.parametrize("bits", [8, 16])
def test_bytes_that_are_padded_to_words_keep_their_brightness(bits):
    tables = palette(COLUMNS[:, :256], lambda column: column.astype("<u2").tobytes(), bits)
    decoded = decode_image(dicom_bytes(RAMP, **tables))
    np.testing.assert_array_equal(decoded, np.moveaxis(COLUMNS[:, RAMP], 0, -1))


@pytest.mark.parametrize("vr", [b"SS", b"US"])
def test_palette_of_signed_pixels_begins_below_zero(vr):
    pixels = (np.arange(160).reshape(8, 20) - 120).astype(np.int16)
    tables = palette(COLUMNS[:, :100], lambda column: column.astype(np.uint8).tobytes(), 8, -100)
    data = dicom_bytes(pixels, **tables)
    for number in (0x1101, 0x1102, 0x1103):
        tag = struct.pack("<HH", 0x28, number)
        data = data.replace(tag + b"SS", tag + vr)
    decoded = decode_image(data)
    expected = COLUMNS[:, np.clip(pixels + 100, 0, 99)]
    np.testing.assert_array_equal(decoded, np.moveaxis(expected, 0, -1))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_palette_of_segments_is_expanded(syntax):
    """Two entries, then a straight line of 254 up to 65535 (PS3.3 C.7.9.2)."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    segments = np.array([0, 2, 0, 257, 1, 254, 65535], f"{order}u2").tobytes()
    tables = palette(COLUMNS[:, :256], lambda _: segments, 16, kind="Segmented")
    decoded = decode_image(ramp(syntax, **tables))
    np.testing.assert_array_equal(decoded, np.stack([RAMP] * 3, axis=-1))


def test_missing_palette_is_named():
    refused = refusal(dicom_bytes(RAMP, PhotometricInterpretation="PALETTE COLOR"))
    assert refused.reason == "a damaged DICOM file: it lacks its palette"

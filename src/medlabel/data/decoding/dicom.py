"""Decode a single-frame DICOM file with pydicom, as a viewer first shows it."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_windowing
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from medlabel.data.decoding.dicom_header import read_dicom, unreadable
from medlabel.data.decoding.dicom_tables import palette, table_values
from medlabel.data.decoding.faults import (
    COLOURS,
    TOO_DEEP,
    Fault,
    ImageError,
    check_frames,
    check_pixels,
)
from medlabel.data.decoding.levels import scaled_by_own_range, to_grey_levels

__all__ = ["decode_dicom"]

_BY_PILLOW = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000Lossless, JPEG2000)
_SLACK = 128  # bytes that the last run of a segment may exceed its pixels; decoders cut them off
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_CHANNELS = {  # samples per pixel by photometric interpretation
    **dict.fromkeys((*_GREYS, "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422"), 3),
}
_CHANNELS_JPEG2000 = {**_CHANNELS, "YBR_ICT": 3, "YBR_RCT": 3}  # the decoder converts these to RGB


def decode_dicom(data: bytes) -> NDArray[np.uint8]:
    """Decode a DICOM file into uint8 [H, W] or [H, W, 3].

    Raises:
        ImageError: the file is refused. Damaged files may raise any other exception.
    """
    header, syntax = read_dicom(data)
    _check_dicom(header, syntax)
    pixels = _stored_values(header, syntax)
    if header.PhotometricInterpretation in _GREYS:
        return _grey(pixels, header)
    return _colour(pixels, header)


def _check_dicom(header: Dataset, syntax: UID) -> None:
    """Raise an `ImageError` for what the header shows to be unsuitable."""
    if not (header.Rows and header.Columns):
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: an image without rows or columns")
    check_pixels(header.Columns, header.Rows)
    known = _CHANNELS_JPEG2000 if syntax in JPEG2000TransferSyntaxes else _CHANNELS
    channels = known.get(header.PhotometricInterpretation)
    if channels is None or channels != header.SamplesPerPixel:
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    if header.BitsAllocated not in (1, 8, 16, 32, 64):  # once, 12 bits were packed without gaps
        raise ImageError(
            Fault.UNSUPPORTED, f"a DICOM file of {header.BitsAllocated} bits allocated"
        )
    if channels == 3 and header.BitsAllocated > 8:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    if channels == 3 and header.BitsStored < 8:
        raise ImageError(Fault.UNSUITABLE, "colours of fewer than 8 bits per channel")
    coloured = header.get("PixelPresentation") in ("COLOR", "MIXED")  # PS3.3 C.7.6.19
    grey = header.PhotometricInterpretation in _GREYS
    if coloured and grey and "RedPaletteColorLookupTableDescriptor" in header:
        raise ImageError(Fault.UNSUITABLE, "a grey DICOM image with colours: save it as RGB first")


def _stored_values(header: Dataset, syntax: UID) -> NDArray[Any]:
    """Decode the only frame into stored values, [H, W] or [H, W, 3]."""
    if syntax.is_encapsulated:
        _check_encapsulated(header, syntax)
    if syntax.is_encapsulated and syntax != RLELossless:
        return pixel_array(header, index=0)  # a compressed image knows where its bits are
    if not syntax.is_encapsulated:
        _check_length(header)
    stored, shift = header.BitsStored, _unused_low_bits(header)
    header.BitsStored = stored + shift  # pydicom takes them to end at the lowest bit
    index = 0 if syntax.is_encapsulated else None
    pixels = pixel_array(header, index=index)  # [N, ...] if it holds more frames than declared
    header.BitsStored = stored
    one = 2 if header.SamplesPerPixel == 1 else 3
    check_frames(len(pixels) if pixels.ndim > one else 1)
    return _shifted(pixels, shift, stored) if shift else pixels


def _check_length(header: Dataset) -> None:
    """Refuse pixel data that ends early; YBR_FULL_422 has two samples per pixel."""
    shared = header.PhotometricInterpretation == "YBR_FULL_422"
    samples = 2 if shared else int(header.SamplesPerPixel)
    bits = int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated)
    if len(header.PixelData) * 8 < bits:
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: it ends before its last pixel")


def _unused_low_bits(header: Dataset) -> int:
    """Count the bits of a pixel below those that are stored (PS3.5 8.1.1)."""
    stored = int(header.BitsStored)
    highest = int(header.get("HighBit", stored - 1))
    if highest >= header.BitsAllocated > stored:
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: High Bit exceeds Bits Allocated")
    # A lower one is an error that leaves no choice: the bits end at the lowest.
    return max(0, min(highest, int(header.BitsAllocated) - 1) + 1 - stored)


def _shifted(pixels: NDArray[Any], shift: int, stored: int) -> NDArray[Any]:
    """Drop the unused low bits, if the pixels do lie above them."""
    limit = 2**stored if pixels.dtype.kind == "u" else 2 ** (stored - 1)
    if (pixels & (2**shift - 1)).any() and -limit <= pixels.min() and pixels.max() < limit:
        reason = "a damaged DICOM file: its pixels do not lie where High Bit says"
        raise ImageError(Fault.DAMAGED, reason)
    return pixels >> shift


def _check_encapsulated(header: Dataset, syntax: UID) -> None:
    """Check the compressed frame, whose own header may declare more than the DICOM header."""
    frames = list(generate_frames(header.PixelData, number_of_frames=1))
    check_frames(len(frames))
    if syntax == RLELossless:
        _check_runs(frames[0], header.Rows * header.Columns)
    if syntax not in _BY_PILLOW:
        return
    alone = get_decoder(syntax).available_plugins == ("pillow",)
    if alone and syntax == JPEGExtended12Bit and header.BitsStored != 8:
        raise unreadable(syntax)
    _check_boxes(frames[0])
    try:
        size = Image.open(BytesIO(frames[0]), formats=["JPEG", "JPEG2000"]).size
    except Image.DecompressionBombError:  # far more pixels than the DICOM header may declare
        size = (0, 0)
    if size != (header.Columns, header.Rows):
        reason = "a damaged DICOM file: its compressed image differs in size from its header"
        raise ImageError(Fault.DAMAGED, reason)


def _check_runs(frame: bytes, pixels: int) -> None:
    """Check the decoded size of each run-length segment, which pydicom decodes before checking.

    A segment has one byte per pixel and at most one byte of padding (DICOM PS3.5, annex G).
    """
    count, *starts = struct.unpack("<16L", frame[:64])
    ends = [*starts[1:count], len(frame)]
    for start, end in zip(starts[:count], ends, strict=True):
        place, size = start, 0
        while place < end and size <= pixels + _SLACK:
            run = frame[place]
            place += run + 2 if run < 128 else 2 if run > 128 else 1
            size += run + 1 if run < 128 else 257 - run if run > 128 else 0
        if size > pixels + _SLACK:
            reason = "a damaged DICOM file: its run lengths decode to more than its image"
            raise ImageError(Fault.DAMAGED, reason)


def _check_boxes(frame: bytes) -> None:
    """Walk the boxes of a JP2 file as pydicom will, which never ends at a box of length 0."""
    place = 12
    if not frame.startswith(b"\0\0\0\x0cjP  "):
        return
    while place < len(frame) and frame[place + 4 : place + 8] != b"jp2c":
        length = int.from_bytes(frame[place : place + 4], "big")
        if length < 8:
            raise ImageError(Fault.DAMAGED, "a damaged DICOM file: its JPEG 2000 has no image")
        place += length


def _grey(pixels: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """Convert stored values [H, W] to the grey levels, uint8 [H, W], that a viewer first shows."""
    first, last = int(pixels.min()), int(pixels.max())
    if last - first >= 2**16:
        return _shades(pixels, header)
    # A lookup table: 16 million pixels take 0.06 s instead of 0.2 to 1 s.
    place = pixels.astype(np.int64) - first
    present = np.flatnonzero(np.bincount(place.ravel()))
    table = np.zeros(last - first + 1, np.uint8)
    table[present] = _shades(present + first, header)
    return table[place]


def _shades(stored: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """Convert stored values of any shape to uint8 grey levels; padding is black."""
    shades = np.zeros(stored.shape, np.uint8)
    tissue = ~_is_padding(stored, header)
    if tissue.any():
        shades[tissue] = _tissue_shades(_rescaled(stored[tissue], header), header)
    return shades


def _is_padding(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_]:
    """Whether stored values are padding, which is excluded from display (PS3.3 C.7.5.1.1.2)."""
    if "PixelPaddingValue" not in header:
        return np.zeros(stored.shape, bool)
    value = header.PixelPaddingValue
    ends = [_as_stored(end, header) for end in (value, header.get("PixelPaddingRangeLimit", value))]
    padding: NDArray[np.bool_] = (min(ends) <= stored) & (stored <= max(ends))
    return padding


def _as_stored(value: int, header: Dataset) -> int:
    """Read a value that was written as signed or unsigned as the pixels are read.

    A sign may stand at the highest stored bit: -2048 of 12 bits is 0xF800 or 0x0800.
    """
    value %= 2**header.BitsAllocated
    if header.PixelRepresentation == 1:
        for bits in (header.BitsStored, header.BitsAllocated):
            if 2 ** (bits - 1) <= value < 2**bits:
                return int(value - 2**bits)
    return value


def _rescaled(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Apply the Modality LUT, or rescale (PS3.3 C.11.1); a missing slope is 1, an intercept 0."""
    if header.get("ModalityLUTSequence"):
        signed = header.PixelRepresentation == 1
        return table_values(stored, header.ModalityLUTSequence[0], _is_little(header), signed)[0]
    if "RescaleSlope" not in header and "RescaleIntercept" not in header:
        return stored
    slope, intercept = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
    if slope == 0:
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: its Rescale Slope is 0")
    return stored.astype(np.float64) * float(slope) + float(intercept)


def _tissue_shades(values: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """Convert rescaled values of any shape, none of them padding, to uint8 grey levels."""
    values, low, high = _windowed(values, header)
    inverted = header.PhotometricInterpretation == "MONOCHROME1"  # the lowest value is white
    try:
        return to_grey_levels(values, low, high, inverted=inverted)
    except ValueError:
        reason = "a damaged DICOM file: its rescaling or its window is not a number"
        raise ImageError(Fault.DAMAGED, reason) from None


def _windowed(values: NDArray[Any], header: Dataset) -> tuple[NDArray[Any], float, float]:
    """Return the values after the first window, and the values that are black and white."""
    for table in header.get("VOILUTSequence", [])[:1]:
        if "LUTDescriptor" in table and "LUTData" in table:
            values, bits = table_values(values, table, _is_little(header), _may_be_negative(header))
            return values, 0.0, 2.0**bits - 1
    center, width = _first(header, "WindowCenter"), _first(header, "WindowWidth")
    if center is None or width is None or not width > 0:
        scaled_by_own_range.set(header.BitsStored > 8)
        return values, float(values.min()), float(values.max())
    window = _window(center, width, str(header.get("VOILUTFunction", "LINEAR")).upper())
    return apply_windowing(values, window), 0.0, 1.0


def _may_be_negative(header: Dataset) -> bool:
    """Whether values are signed after the Modality LUT, whose own entries never are."""
    if header.get("ModalityLUTSequence"):
        return False
    return bool(header.PixelRepresentation == 1 or header.get("RescaleIntercept", 0) < 0)


def _first(header: Dataset, keyword: str) -> float | None:
    """Return the first number of an element, if there is one."""
    value = header.get(keyword)
    first = value[0] if isinstance(value, MultiValue) else value
    return None if first in (None, "") else float(first)


def _window(center: float, width: float, function: str) -> Dataset:
    """Return a window as `apply_windowing` takes it, with an output from 0 to 1.

    A linear window has at least the width 1 (PS3.3 C.11.2.1.2.1). Writers of narrower ones, for
    values that were rescaled to fractions, mean the exact function.
    """
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageError(Fault.UNSUITABLE, "a DICOM file with an unknown VOI LUT Function")
    window = Dataset()
    window.PhotometricInterpretation = "MONOCHROME2"
    window.BitsStored, window.PixelRepresentation = 1, 0
    window.WindowCenter, window.WindowWidth = center, width
    window.VOILUTFunction = "LINEAR_EXACT" if function == "LINEAR" and width < 1 else function
    return window


def _is_little(header: Dataset) -> bool:
    return bool(header.file_meta.TransferSyntaxUID.is_little_endian)


def _colour(pixels: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """Convert palette indices [H, W] or RGB [H, W, 3] to uint8 [H, W, 3]; padding is black.

    pydicom has already converted YBR to RGB.
    """
    if header.PhotometricInterpretation == "PALETTE COLOR":
        colours = palette(pixels, header, _is_little(header))
        colours[_is_padding(pixels, header)] = 0
        return colours
    return np.ascontiguousarray(pixels, dtype=np.uint8)

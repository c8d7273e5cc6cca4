"""Decode a single-frame DICOM file with pydicom, as a viewer first shows it."""

import logging
import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi,
    apply_windowing,
)
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from medlabel.data.decoding.faults import (
    COLOURS,
    TOO_DEEP,
    Fault,
    ImageError,
    check_frames,
    check_pixels,
)

__all__ = ["decode_dicom"]

# pydicom logs invalid values, and a value may be the name of a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_TAGS = [  # the only tags that are read: patient data is never parsed
    tag
    for keyword in (
        *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
        *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
        *(
            f"{segmented}{colour}PaletteColorLookupTable{part}"
            for colour in ("Red", "Green", "Blue")
            for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
        ),
        *("FloatPixelData", "DoubleFloatPixelData", "PixelData"),
    )
    if (tag := tag_for_keyword(keyword)) is not None
]
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
    header, syntax = _read_dicom(data)
    _check_dicom(header, syntax)
    if syntax.is_encapsulated:
        _check_encapsulated(header, syntax)
        pixels = pixel_array(header, index=0)
    else:
        pixels = pixel_array(header)  # [N, ...] if it holds more frames than declared
        one = 2 if header.SamplesPerPixel == 1 else 3
        check_frames(len(pixels) if pixels.ndim > one else 1)
    if header.PhotometricInterpretation in _GREYS:
        return _grey(pixels, header)
    return _colour(pixels, header)


def _read_dicom(data: bytes) -> tuple[Dataset, UID]:
    """Return the pixel data with the tags needed to show it, and the transfer syntax.

    `dcmread` is not used, because it inflates a deflated file without any limit.
    """
    stream = BytesIO(data)
    stream.seek(132)
    meta = FileMetaDataset(
        read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    )
    syntax = UID(meta.TransferSyntaxUID)
    _check_syntax(syntax)
    header = read_dataset(
        stream, syntax.is_implicit_VR, syntax.is_little_endian, specific_tags=_TAGS
    )
    header.file_meta = meta
    for element in list(header):
        if element.is_empty:  # an empty element counts as absent
            del header[element.tag]
    return header, syntax


def _check_syntax(syntax: UID) -> None:
    try:
        readable = get_decoder(syntax).is_available and syntax != DeflatedExplicitVRLittleEndian
    except NotImplementedError:
        readable = False
    if not readable:
        raise _unreadable(syntax)


def _unreadable(syntax: UID) -> ImageError:
    # An unknown syntax is arbitrary text, so it is not repeated in the message.
    name = syntax.name if syntax.name != syntax else "an unknown transfer syntax"
    return ImageError(
        Fault.UNSUPPORTED, f"a DICOM file in {name}: convert it to Explicit VR Little Endian first"
    )


def _check_dicom(header: Dataset, syntax: UID) -> None:
    """Raise an `ImageError` for what the header shows to be unsuitable."""
    if "PixelData" not in header:
        if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
            raise ImageError(Fault.UNSUITABLE, "a DICOM file of floating-point pixels")
        raise ImageError(Fault.UNSUITABLE, "a DICOM file without pixels")
    if not (header.Rows and header.Columns):
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: an image without rows or columns")
    check_pixels(header.Columns, header.Rows)
    check_frames(int(header.get("NumberOfFrames", 1)))
    known = _CHANNELS_JPEG2000 if syntax in JPEG2000TransferSyntaxes else _CHANNELS
    channels = known.get(header.PhotometricInterpretation)
    if channels is None or channels != header.SamplesPerPixel:
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    if channels == 3 and header.BitsAllocated > 8:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)


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
        raise _unreadable(syntax)
    _check_boxes(frames[0])
    picture = Image.open(BytesIO(frames[0]), formats=["JPEG", "JPEG2000"])
    if picture.size != (header.Columns, header.Rows):
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
    """Convert stored values of any shape to uint8 grey levels."""
    values, low, high = _windowed(apply_modality_lut(stored, header), header)
    if low == high:
        return np.zeros(values.shape, np.uint8)
    shown = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    if not np.isfinite(shown).all():
        reason = "a damaged DICOM file: its rescaling or its window is not a number"
        raise ImageError(Fault.DAMAGED, reason)
    if header.PhotometricInterpretation == "MONOCHROME1":  # the lowest value is white
        shown = 1 - shown
    return np.rint(255 * shown).astype(np.uint8)


def _windowed(values: NDArray[Any], header: Dataset) -> tuple[NDArray[Any], float, float]:
    """Return the values after the first window, and the values that are black and white."""
    if "VOILUTSequence" in header:
        table = header.VOILUTSequence[0]
        entries, first, bits = table.LUTDescriptor
        table.LUTDescriptor = [entries, first, 16]  # pydicom expects entries of 16 bits
        return apply_voi(values, header), 0.0, 2.0**bits - 1
    if "WindowCenter" in header and np.ravel(header.get("WindowWidth", 0))[0] > 0:
        low, high = apply_windowing(np.array([-np.inf, np.inf]), header)
        return apply_windowing(values, header), float(low), float(high)
    return values, float(values.min()), float(values.max())


def _colour(pixels: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """Convert palette indices [H, W] or RGB [H, W, 3] to uint8 [H, W, 3].

    pydicom has already converted YBR to RGB.
    """
    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)[..., :3]
        if pixels.dtype == np.uint16:
            pixels = pixels >> 8  # entries of 16 bits go up to 65535
    return np.ascontiguousarray(pixels, dtype=np.uint8)

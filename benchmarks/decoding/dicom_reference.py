"""The grey levels and colours of a DICOM file, from its bytes, by the formulas of the standard.

pydicom parses the elements, and Pillow (or imagecodecs, where it is installed) unpacks JPEG and
JPEG 2000. All else is arithmetic on raw bytes: which bits are stored, signs, planes, run lengths,
tables, windows and padding. Nothing is imported from medlabel.
"""

from __future__ import annotations

import importlib
import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, JPEG2000TransferSyntaxes, RLELossless

__all__ = ["UnreadableError", "dicom_pixels", "rgb"]

_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
Values = NDArray[Any]


class UnreadableError(Exception):
    """The reference has no formula for this file: the message says why."""


def dicom_pixels(data: bytes) -> Values:
    """The picture, float [H, W] or [H, W, 3], before it is rounded to whole grey levels."""
    header = dcmread(BytesIO(data), force=True)
    if "PixelData" not in header:
        raise UnreadableError("no pixels")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise UnreadableError("several frames")
    kind = str(header.PhotometricInterpretation)
    stored = _stored(header, kind)
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        return _grey(stored, header, kind)
    if kind == "PALETTE COLOR":
        return np.where(_padding(stored, header)[..., None], 0, _palette(stored, header))
    if header.BitsAllocated != 8:
        raise UnreadableError("colours of more than 8 bits")
    return rgb(stored) if kind.startswith("YBR") and not _is_decoded(header) else stored


def _syntax(header: Dataset) -> str:
    meta = getattr(header, "file_meta", {})
    declared = meta.get("TransferSyntaxUID", "")
    if declared:
        return str(declared)
    big = header.original_encoding[1] is False
    return str(ExplicitVRBigEndian) if big else "1.2.840.10008.1.2.1"


def _is_decoded(header: Dataset) -> bool:
    """Whether the codec has converted the colours already."""
    return _syntax(header) in (*_JPEG, *JPEG2000TransferSyntaxes)


def _stored(header: Dataset, kind: str) -> Values:
    """Stored values: [H, W] or [H, W, 3], int64."""
    shape = (int(header.Rows), int(header.Columns), int(header.SamplesPerPixel))
    syntax = _syntax(header)
    if syntax in (*_JPEG, *JPEG2000TransferSyntaxes):
        values = _codec(header, kind, syntax)
        if values.size != np.prod(shape):
            raise UnreadableError("the codec gives another size")
        stored = values.reshape(shape).astype(np.int64)
        if header.PixelRepresentation and stored.min() >= 0:
            stored = _signed(stored, int(header.BitsStored))
        return stored[..., 0] if shape[2] == 1 else stored
    if syntax == RLELossless:
        raw = _run_lengths(header, shape)
    elif syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"):
        raw = _native(header, shape, kind, big=syntax == ExplicitVRBigEndian)
    else:
        raise UnreadableError("no codec for this transfer syntax")
    bits, high = int(header.BitsStored), int(header.get("HighBit", header.BitsStored - 1))
    values = raw.astype(np.int64) >> max(0, high + 1 - bits) & (1 << bits) - 1
    values = _signed(values, bits) if header.PixelRepresentation else values
    return values[..., 0] if shape[2] == 1 else values


def _signed(values: Values, bits: int) -> Values:
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values)


def _native(header: Dataset, shape: tuple[int, int, int], kind: str, big: bool) -> Values:
    allocated, data = int(header.BitsAllocated), bytes(header.PixelData)
    count = int(np.prod(shape))
    if allocated == 1:
        return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count].reshape(
            shape
        )
    if allocated == 8 and big and header["PixelData"].VR == "OW":
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    values = np.frombuffer(data, f"{'>' if big else '<'}u{allocated // 8}")
    if kind == "YBR_FULL_422":
        return _full_chroma(values[: count // 3 * 2], shape)
    if values.size < count:
        raise UnreadableError("too few bytes")
    if values.size >= 2 * count:
        raise UnreadableError("several frames")
    if shape[2] == 3 and header.get("PlanarConfiguration", 0) == 1:
        return np.moveaxis(values[:count].reshape(3, *shape[:2]), 0, -1)
    return values[:count].reshape(shape)


def _full_chroma(values: Values, shape: tuple[int, int, int]) -> Values:
    """Y1 Y2 Cb Cr to one chroma sample per pixel (PS3.3 C.7.6.3.1.2)."""
    pairs = values.reshape(-1, 4)
    first, second = pairs[:, [0, 2, 3]], pairs[:, [1, 2, 3]]
    return np.stack([first, second], axis=1).reshape(shape)


def _run_lengths(header: Dataset, shape: tuple[int, int, int]) -> Values:
    """PackBits planes, of each sample the most significant byte first (PS3.5 annex G)."""
    frame = next(iter(generate_frames(header.PixelData, number_of_frames=1)))
    count, *starts = struct.unpack("<16L", frame[:64])
    ends = [*starts[1:count], len(frame)]
    pixels, size = shape[0] * shape[1], int(header.BitsAllocated) // 8
    planes = [_unpack(frame[a:b], pixels) for a, b in zip(starts, ends, strict=False)]
    samples = [planes[place : place + size] for place in range(0, count, size)]
    whole = [
        sum(p.astype(np.int64) << 8 * (size - 1 - k) for k, p in enumerate(s)) for s in samples
    ]
    return np.stack(whole, axis=-1).reshape(shape)


def _unpack(packed: bytes, size: int) -> Values:
    out, place = bytearray(), 0
    while place < len(packed) and len(out) < size:
        run = packed[place]
        if run < 128:
            out += packed[place + 1 : place + 2 + run]
            place += run + 2
        elif run > 128:
            out += packed[place + 1 : place + 2] * (257 - run)
            place += 2
        else:
            place += 1
    return np.frombuffer(bytes(out[:size]), np.uint8)


def _codec(header: Dataset, kind: str, syntax: str) -> Values:
    frame = next(iter(generate_frames(header.PixelData, number_of_frames=1)))
    if syntax in _JPEG:
        if frame[frame.index(b"\xff\xd8") :].find(b"\xff\xc3") >= 0:
            raise UnreadableError("lossless JPEG")
        return _jpeg(frame, kind)
    return _jpeg2000(frame)


def _jpeg2000(frame: bytes) -> Values:
    try:
        return np.asarray(importlib.import_module("imagecodecs").jpeg2k_decode(frame))
    except ImportError:
        with Image.open(BytesIO(frame), formats=["JPEG2000"]) as picture:
            words = np.asarray(picture)
    # Pillow makes samples unsigned and as wide as their type (ISO/IEC 15444-1, A.5.1: Ssiz).
    ssiz = frame[frame.index(b"\xff\x51") + 40]
    bits, signed = (ssiz & 127) + 1, ssiz >> 7
    values: Values = words.astype(np.int64) >> 8 * words.dtype.itemsize - bits
    values -= (1 << (bits - 1)) * signed
    return values


def _jpeg(frame: bytes, kind: str) -> Values:
    """Decode the samples as they are stored, then convert them as their markers say."""
    with Image.open(BytesIO(frame), formats=["JPEG"]) as picture:
        if picture.mode == "L":
            return np.asarray(picture)
        adobe, names = picture.info.get("adobe_transform"), [part[0] for part in _layers(picture)]
        is_rgb = adobe == 0 or (adobe is None and bytes(names) in (b"RGB", b"rgb"))
        jfif = "jfif" in picture.info
        if adobe is None and not jfif and not is_rgb:
            is_rgb = kind == "RGB"
        if adobe == 0 or bytes(names) in (b"RGB", b"rgb"):
            return np.asarray(picture)  # libjpeg knows, too
        picture.draft("YCbCr", picture.size)
        samples = np.asarray(picture)
    return samples if is_rgb else np.rint(rgb(samples)).astype(np.int64)


def _layers(picture: Image.Image) -> Any:
    return getattr(picture, "layer", [])


def rgb(samples: Values) -> Values:
    """Full-range Y, Cb, Cr to RGB (PS3.3 C.7.6.3.1.2, ITU-R BT.601)."""
    y, cb, cr = np.moveaxis(samples.astype(np.float64), -1, 0)
    red = y + 1.402 * (cr - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    blue = y + 1.772 * (cb - 128)
    colours: Values = np.clip(np.stack([red, green, blue], axis=-1), 0, 255)
    return colours


def _grey(stored: Values, header: Dataset, kind: str) -> Values:
    """Modality, then VOI, then polarity; padding is black."""
    padding = _padding(stored, header)
    values = _modality(stored, header)
    share = _share(values, values[~padding], header)
    share = 1 - share if kind == "MONOCHROME1" else share
    flat = padding.all() or (not _has_voi(header) and np.ptp(values[~padding]) == 0)
    return np.where(padding | flat, 0, 255 * share)


def _group(header: Dataset, sequence: str) -> Dataset:
    """The item of a functional group that holds for the first frame, or the header itself."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        if header.get(groups) and header[groups][0].get(sequence):
            item: Dataset = header[groups][0][sequence][0]
            return item
    return header


def _padding(stored: Values, header: Dataset) -> NDArray[np.bool_]:
    if header.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    ends = [header.PixelPaddingValue, header.get("PixelPaddingRangeLimit")]
    ends = [ends[0], ends[0] if ends[1] is None else ends[1]]
    bits = int(header.BitsAllocated)
    words = np.array([int(end) % (1 << bits) for end in ends])
    words = _signed(words, bits) if header.PixelRepresentation else words
    found: NDArray[np.bool_] = (stored >= words.min()) & (stored <= words.max())
    return found


def _modality(stored: Values, header: Dataset) -> Values:
    if header.get("ModalityLUTSequence"):
        return _table(stored, header.ModalityLUTSequence[0])[0]
    item = _group(header, "PixelValueTransformationSequence")
    slope, intercept = item.get("RescaleSlope"), item.get("RescaleIntercept")
    return stored * float(1 if slope is None else slope) + float(intercept or 0)


def _table(values: Values, item: Dataset) -> tuple[Values, int]:
    count, first, bits = item.LUTDescriptor
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if len(data) >= 2 * (count or 65536) else "u1")
    place = np.clip(np.floor(values) - first, 0, (count or 65536) - 1).astype(np.int64)
    return np.asarray(data)[place], int(bits)


def _has_voi(header: Dataset) -> bool:
    return bool(header.get("VOILUTSequence")) or _window(header) is not None


def _window(header: Dataset) -> tuple[float, float, str] | None:
    item = _group(header, "FrameVOILUTSequence")
    center, width = item.get("WindowCenter"), item.get("WindowWidth")
    if center in (None, "") or width in (None, ""):
        return None
    first = float(np.ravel(center)[0]), float(np.ravel(width)[0])
    if not first[1] > 0:
        return None
    function = str(item.get("VOILUTFunction") or "LINEAR")
    return *first, "LINEAR_EXACT" if function == "LINEAR" and first[1] < 1 else function


def _share(values: Values, tissue: Values, header: Dataset) -> Values:
    """From 0 (the lowest that is shown) to 1."""
    if header.get("VOILUTSequence"):
        entries, bits = _table(values, header.VOILUTSequence[0])
        return np.clip(entries / (2.0**bits - 1), 0, 1)
    window = _window(header)
    if window is None:
        low, high = (tissue.min(), tissue.max()) if tissue.size else (0, 1)
        return np.clip((values - low) / max(float(high) - float(low), 1e-300), 0, 1)
    center, width, function = window
    if function == "SIGMOID":
        return np.array(1 / (1 + np.exp(-4 * (values - center) / width)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    share: Values = np.clip((values - center) / width + 0.5, 0, 1)
    return share


def _palette(stored: Values, header: Dataset) -> Values:
    channels = []
    for colour in ("Red", "Green", "Blue"):
        count, first, bits = header[f"{colour}PaletteColorLookupTableDescriptor"].value
        name = f"{colour}PaletteColorLookupTableData"
        if name not in header:
            raise UnreadableError("segmented palette")
        data = bytes(header[name].value)
        entries = np.frombuffer(data, "<u2" if len(data) >= 2 * (count or 65536) else "u1")
        place = np.clip(stored - first, 0, (count or 65536) - 1)
        channels.append(entries[place] >> (8 if bits > 8 else 0))
    return np.stack(channels, axis=-1).astype(np.float64)

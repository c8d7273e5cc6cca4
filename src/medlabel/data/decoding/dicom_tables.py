"""The lookup tables of DICOM files: Modality LUT, VOI LUT and palettes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from medlabel.data.decoding.faults import Fault, ImageError

__all__ = ["palette", "table_values"]

_COLOURS = ("Red", "Green", "Blue")
_Table = tuple[NDArray[Any], int, int]  # entries, first value mapped, bits per entry


def table_values(
    values: NDArray[Any], table: Dataset, little: bool, signed: bool
) -> tuple[NDArray[Any], int]:
    """Look values up in an item of a Modality LUT or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    pydicom's own functions overflow in a table whose entries have fewer bits than its indices.

    Args:
        values: of any shape.
        table: LUT Descriptor and LUT Data.
        little: whether the file is little endian.
        signed: whether the first value that the table maps may be negative.

    Returns:
        The entries, in the shape of `values`, and how many bits they have.

    Raises:
        ImageError: the table has fewer entries than it declares, or entries without bits.
    """
    entries, first, bits = _entries(table["LUTData"], table.LUTDescriptor, little)
    return _look_up(values, entries, first, signed), bits


def palette(indices: NDArray[Any], header: Dataset, little: bool) -> NDArray[np.uint8]:
    """Look stored values [H, W] up in the palette of a file (PS3.3 C.7.6.3.1.5 and C.7.9.2).

    Returns:
        uint8 [H, W, 3]: of entries of 16 bits the upper 8.

    Raises:
        ImageError: as in `table_values`, or there is no palette.
    """
    if "SegmentedRedPaletteColorLookupTableData" in header:
        tables = _expanded(header, little)
    else:
        tables = [_entries(*_parts(header, colour), little) for colour in _COLOURS]
    signed = header.PixelRepresentation == 1
    channels = [_look_up(indices, entries, first, signed) for entries, first, _ in tables]
    # Some writers declare 16 bits and use the lower 8: upper halves alone would be black.
    if any(bits > 8 and entries.max() > 255 for entries, _, bits in tables):
        channels = [channel >> 8 for channel in channels]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _look_up(values: NDArray[Any], entries: NDArray[Any], first: int, signed: bool) -> NDArray[Any]:
    """Take the entry of each value: the first below what is mapped, the last above."""
    if signed and first >= 2**15:  # written as an unsigned number
        first -= 2**16
    place = np.clip(values.astype(np.float64) - first, 0, len(entries) - 1)
    return entries[place.astype(np.int64)]


def _parts(header: Dataset, colour: str, kind: str = "") -> tuple[DataElement, list[int]]:
    """Return the data and the descriptor of the palette of one colour."""
    name = f"{colour}PaletteColorLookupTable"
    if f"{kind}{name}Data" not in header or f"{name}Descriptor" not in header:
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: it lacks its palette")
    return header[f"{kind}{name}Data"], header[f"{name}Descriptor"].value


def _entries(data: DataElement, descriptor: list[int], little: bool) -> _Table:
    """Return the entries, the first value mapped and the bits per entry.

    Entries of 8 bits may be stored in 8 or, padded, in 16 bits.
    """
    count, first, bits = descriptor
    count = count % 2**16 or 2**16
    content = _little_endian(data, little)
    dtype = np.dtype("<u2" if len(content) >= 2 * count else "u1")
    if len(content) < count or (bits > 8 and dtype.itemsize == 1) or not 0 < bits <= 16:
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: a lookup table lacks entries")
    entries = np.frombuffer(content, dtype, count)
    return entries & 0xFF if bits == 8 else entries, first, bits


def _little_endian(data: DataElement, little: bool) -> bytes:
    """Return the words of a table in little-endian order, however pydicom has read them."""
    if isinstance(data.value, bytes):
        if little:
            return data.value
        return np.frombuffer(data.value[: len(data.value) // 2 * 2], ">u2").astype("<u2").tobytes()
    return (np.atleast_1d(data.value).astype(np.int64) & 0xFFFF).astype("<u2").tobytes()


def _expanded(header: Dataset, little: bool) -> list[_Table]:
    """Expand palettes that are stored in segments (PS3.3 C.7.9.2) with pydicom."""
    packed = Dataset()
    packed.file_meta = FileMetaDataset()
    packed.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for colour in _COLOURS:
        data, descriptor = _parts(header, colour, "Segmented")
        packed.add_new(data.tag, "OW", _little_endian(data, little))
        setattr(packed, f"{colour}PaletteColorLookupTableDescriptor", descriptor)
    count, first, bits = descriptor
    entries = apply_color_lut(np.arange(count % 2**16 or 2**16) + first, packed)
    return [(entries[:, channel], first, bits) for channel in range(3)]

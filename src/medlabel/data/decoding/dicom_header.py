"""Recognise and read what a DICOM file says of its pixels, and name what is not an image."""

import logging
import struct
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Literal

from pydicom.datadict import dictionary_description, dictionary_has_tag, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedUSVolumeStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from medlabel.data.decoding.faults import Fault, ImageError, check_frames

__all__ = ["begins_like_dicom", "read_dicom", "unreadable"]

# pydicom logs invalid values, and a value may be the name of a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_RESCALING = ("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence")
_WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence")
_GROUPS = {  # by the sequence of a functional group that holds them (PS3.3 C.7.6.16.2)
    "PixelValueTransformationSequence": _RESCALING,
    "FrameVOILUTSequence": _WINDOW,
}
_OF_ALL_FRAMES, _OF_EACH_FRAME = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_REQUIRED = (  # type 1 in the Image Pixel module (PS3.3 C.7.6.3)
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
_TAGS = [  # the only tags that are read: patient data is never parsed
    tag
    for keyword in (
        *("SOPClassUID", "Modality", "NumberOfFrames", "PixelPresentation"),
        *(*_REQUIRED, "PlanarConfiguration", "HighBit", "PixelPaddingValue"),
        *("PixelPaddingRangeLimit", *_RESCALING, *_WINDOW, _OF_ALL_FRAMES, _OF_EACH_FRAME),
        *(
            f"{segmented}{colour}PaletteColorLookupTable{part}"
            for colour in ("Red", "Green", "Blue")
            for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
        ),
        *("FloatPixelData", "DoubleFloatPixelData", "PixelData"),
    )
    if (tag := tag_for_keyword(keyword)) is not None
]
_GROUPS_OF_FRAMES = 0x52000000  # the first tag behind those that count the frames
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_VRS = frozenset(vr.value.encode() for vr in STANDARD_VR)
_LONG_VRS = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_UNDEFINED = 2**32 - 1
_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_SEGMENTATIONS = "1.2.840.10008.5.1.4.1.1.66."
_LATER_CLASSES = {  # of editions that are younger than pydicom's dictionary
    f"{_SEGMENTATIONS}7": "Label Map Segmentation Storage",
    f"{_SEGMENTATIONS}8": "Height Map Segmentation Storage",
}
_BY_MODALITY = {"SEG": "Segmentation Storage", "RTDOSE": "RT Dose Storage"}  # in private classes


def begins_like_dicom(data: bytes) -> bool:
    """Whether the bytes are those of a DICOM file, even one without the preamble of PS3.10 7.1.

    Without it, the first data elements have to follow each other as those of a data set do: known
    tags in ascending order from group 0002 or 0008 on, each length leading to the next.
    """
    if _start(data):
        return True
    tags = list(islice(_tags(data), 3))
    known = all(dictionary_has_tag(tag) or tag >> 16 & 1 for tag in tags)  # odd groups are private
    return len(tags) > 1 and tags[0] >> 16 in (2, 8) and known and tags == sorted(set(tags))


def read_dicom(data: bytes) -> tuple[Dataset, UID]:
    """Return the tags that show the image and its pixel data, and the transfer syntax.

    Rescaling and windows of the functional groups stand at the top level of what is returned.
    `dcmread` is not used, because it inflates a deflated file without any limit.

    Raises:
        ImageError: the syntax cannot be read, there are several frames, or it is not an image.
    """
    stream = BytesIO(data)
    stream.seek(_start(data))
    meta = FileMetaDataset(
        read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    )
    _check_class(meta.get("MediaStorageSOPClassUID"))
    head = data[stream.tell() : stream.tell() + 8]
    syntax = _transfer_syntax(meta.get("TransferSyntaxUID"), head)
    header = _read(stream, syntax, before=_GROUPS_OF_FRAMES)
    _check_class(header.get("SOPClassUID"), header.get("Modality"))
    check_frames(int(header.get("NumberOfFrames", 1)))  # before thousands of groups are parsed
    header.update(_read(stream, syntax, before=_UNDEFINED))
    if "PixelData" not in header and (not head or stream.tell() > len(data)):
        raise ImageError(Fault.DAMAGED, "a damaged DICOM file: it ends before its header does")
    header.file_meta = meta
    header.file_meta.TransferSyntaxUID = syntax
    _use_functional_groups(header)
    _check_header(header, syntax)
    return header, syntax


def unreadable(syntax: UID) -> ImageError:
    """Say that no decoder for this transfer syntax is installed."""
    # An unknown syntax is arbitrary text, so it is not repeated in the message.
    name = syntax.name if syntax.name != syntax else "an unknown transfer syntax"
    return ImageError(
        Fault.UNSUPPORTED, f"a DICOM file in {name}: convert it to Explicit VR Little Endian first"
    )


def _start(data: bytes) -> int:
    """Where the first data element stands: behind preamble and prefix if there are any."""
    return 132 if data[128:132] == b"DICM" else 4 if data.startswith(b"DICM\2\0") else 0


def _tags(data: bytes) -> Iterator[int]:
    """Yield the tags of a data set, in either VR and byte order, as far as it is one."""
    order = "<" if _encoding(data).is_little_endian else ">"
    place = 0
    while place + 8 <= len(data):
        group, element, vr, short, length = (
            *struct.unpack_from(f"{order}HH2sH", data, place),
            *struct.unpack_from(f"{order}L", data, place + 4),
        )
        head = 8
        if vr in _LONG_VRS:
            head, length = 12, int.from_bytes(data[place + 8 : place + 12], _ORDERS[order])
        elif vr in _VRS:
            length = short
        if length == _UNDEFINED:
            length = 0  # a sequence: its items are no tags of a data set
        place += head + length
        if place > len(data):
            return
        yield group << 16 | element


def _transfer_syntax(declared: str | None, head: bytes) -> UID:
    """Return the declared syntax; the first element decides where none or a native one is."""
    syntax = UID(declared or "")
    if syntax and syntax not in _NATIVE:
        try:
            readable = get_decoder(syntax).is_available and syntax != DeflatedExplicitVRLittleEndian
        except NotImplementedError:
            readable = False
        if not readable:
            raise unreadable(syntax)
        return syntax
    return _encoding(head)


def _encoding(head: bytes) -> UID:
    """Return the native syntax in which the first 8 bytes are a data element of a low group."""
    if head[4:6] not in _VRS:
        return ImplicitVRLittleEndian
    little = head[0] > head[1]  # groups up to 00FF come first
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _read(stream: BytesIO, syntax: UID, before: int) -> Dataset:
    """Read the elements of `_TAGS` up to the tag `before`, without those that are empty."""
    header = read_dataset(
        stream,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, vr, length: tag >= before,
        specific_tags=_TAGS,
    )
    for element in list(header):
        if element.is_empty:  # an empty element counts as absent
            del header[element.tag]
    return header


def _check_class(uid: str | None, modality: str = "") -> None:
    """Refuse objects that are not images by the registered name of their SOP class (PS3.6 A)."""
    known = UID(str(uid or "")).name  # the UID itself where it is not registered
    if known == (uid or ""):
        known = _LATER_CLASSES.get(known, "")
    name = known or _BY_MODALITY.get(str(modality), "")
    if "Storage" not in name or "Image Storage" in name or uid == EnhancedUSVolumeStorage:
        return
    name = name.removesuffix(" Storage")
    raise ImageError(Fault.UNSUITABLE, f"a DICOM {name} object, not an image")


def _use_functional_groups(header: Dataset) -> None:
    """Move rescaling and window from the functional groups of the only frame to the top level.

    What holds for all frames is replaced by what stands in the frame's own group.
    """
    for keyword in (_OF_ALL_FRAMES, _OF_EACH_FRAME):
        for groups in header.get(keyword, [])[:1]:
            for sequence, keywords in _GROUPS.items():
                for group in groups.get(sequence, [])[:1]:
                    _replace(header, group, keywords)


def _replace(header: Dataset, group: Dataset, keywords: tuple[str, ...]) -> None:
    found = [keyword for keyword in keywords if keyword in group and not group[keyword].is_empty]
    for keyword in keywords if found else ():
        header.pop(keyword, None)
    for keyword in found:
        header[keyword] = group[keyword]


def _check_header(header: Dataset, syntax: UID) -> None:
    """Raise an `ImageError` if there is no pixel data, or what describes it is missing."""
    if "PixelData" not in header:
        if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
            raise ImageError(Fault.UNSUITABLE, "a DICOM file of floating-point pixels")
        raise ImageError(Fault.UNSUITABLE, "a DICOM file without pixels")
    for keyword in _REQUIRED:
        if keyword not in header:
            name = dictionary_description(keyword)
            raise ImageError(Fault.DAMAGED, f"a damaged DICOM file: it lacks {name}")
    if header["PixelData"].is_undefined_length and syntax in _NATIVE:
        reason = "a DICOM file of compressed pixels that does not name their transfer syntax"
        raise ImageError(Fault.UNSUPPORTED, reason)

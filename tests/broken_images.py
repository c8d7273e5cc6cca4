"""Files to decode: good ones in every format, and ten kinds that are to be refused."""

import math
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from medlabel.data.decoding import ImageError, decode_image

__all__ = [
    "broken_files", "by_reason", "dicom_bytes", "encoded", "good_files", "png_promising", "refusal",
]  # fmt: skip

File = tuple[str, str, bytes]  # its kind, its name, its content
INSTANCE = UID("1.2.826.0.1.3680043.8.498.1")


def refusal(data: bytes) -> ImageError:
    """How `decode_image` refuses a file: in one line."""
    with pytest.raises(ImageError) as refused:
        decode_image(data)
    assert str(refused.value) == refused.value.reason
    assert "\n" not in refused.value.reason
    return refused.value


def by_reason(value: object) -> str:
    """A name for a parameter that would otherwise be named by all of its bytes."""
    return value if isinstance(value, str) else ""


def good_files(count: int, seed: int = 0) -> Iterator[File]:
    """Small drawings of many shapes, no two the same, in every format in turn."""
    kinds = list(_GOOD)
    for index in range(count):
        kind = kinds[index % len(kinds)]
        suffix, make = _GOOD[kind]
        content = make(np.random.default_rng([seed, index]))
        yield kind, f"{kind.replace(' ', '-')}-{index:05}.{suffix}", content


def broken_files(count_per_kind: int, seed: int = 0) -> Iterator[File]:
    """`count_per_kind` files of each of ten kinds, none of which is an image that can be used."""
    for place, (kind, (suffix, make)) in enumerate(_BROKEN.items()):
        for index in range(count_per_kind):
            content = make(np.random.default_rng([seed, place, index]))
            yield kind, f"{kind.replace(' ', '-')}-{index:05}.{suffix}", content


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_promising(
    width: int, height: int, pixels: bytes = b"", bits: int = 8, colour: int = 0
) -> bytes:
    """A PNG whose header claims this size, with the compressed `pixels` given; `colour` 0: grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def dicom_bytes(pixels: NDArray[Any], syntax: UID = ExplicitVRLittleEndian, **header: Any) -> bytes:
    """A DICOM file of pixels [H, W] or [H, W, 3]; `header` adds, replaces or (None) leaves out."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, INSTANCE
    data.PatientName, data.PatientID = "Doe^Jane", "id-4711"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for keyword, value in header.items():
        if value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    if "PixelData" in data:
        data["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
        data["PixelData"].is_undefined_length = syntax.is_encapsulated
    return _as_file(data, syntax)


def _as_file(data: Dataset, syntax: UID) -> bytes:
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


Dice = np.random.Generator


def _drawing(dice: Dice, size: tuple[int, int] | None = None) -> Image.Image:
    """A bright ellipse on a darker ground, with noise; 24 to 96 pixels a side."""
    width, height = size or map(int, dice.integers(24, 97, 2))
    picture = Image.new("L", (width, height), int(dice.integers(0, 100)))
    left, top = int(dice.integers(0, width // 2)), int(dice.integers(0, height // 2))
    box = (left, top, left + width // 3, top + height // 3)
    ImageDraw.Draw(picture).ellipse(box, fill=int(dice.integers(150, 230)))
    noise = dice.integers(0, 20, (height, width), dtype=np.uint8)
    return Image.fromarray(np.asarray(picture) + noise)


def _coloured(dice: Dice) -> Image.Image:
    grey = _drawing(dice)
    return Image.merge("RGB", [grey, grey.point(lambda v: v // 2), grey.point(lambda v: 255 - v)])


def _drawings(dice: Dice) -> list[Image.Image]:
    """Two to four different drawings of one size."""
    return [_drawing(dice, (40, 32)) for _ in range(int(dice.integers(2, 5)))]


def _computed_tomogram(dice: Dice) -> bytes:
    """Signed values of 12 bits, to be rescaled to Hounsfield units and windowed."""
    values = np.asarray(_drawing(dice)).astype(np.int16) * 8 - 1024
    window = {"WindowCenter": [40, 400], "WindowWidth": [400, 1800]}
    return dicom_bytes(values, BitsStored=12, RescaleSlope=1, RescaleIntercept=-24, **window)


def _film(dice: Dice) -> bytes:
    """A radiograph as the detector stores it: the more light, the lower the value."""
    values = 4095 - np.asarray(_drawing(dice)).astype(np.uint16) * 16
    return dicom_bytes(values, BitsStored=12, PhotometricInterpretation="MONOCHROME1")


def _bomb(dice: Dice) -> bytes:
    """Some kilobytes that are what they promise: 17, 94 or 196 million pixels of black.

    Pillow has nothing to say of the first, warns of the second and refuses the third.
    """
    side = int(dice.choice([4097, 9700, 14000]) + dice.integers(100))
    row = 1 + math.ceil(side / 8)
    return png_promising(side, side, zlib.compress(bytes(row * side), 1), bits=1)


def _truncated(dice: Dice) -> bytes:
    whole = encoded(_coloured(dice), "JPEG", quality=90)
    return whole[: int(len(whole) * dice.uniform(0.2, 0.9))]


def _several(dice: Dice, kind: str) -> bytes:
    first, *others = _drawings(dice)
    return encoded(first, kind, save_all=True, append_images=others)


def _cine(dice: Dice) -> bytes:
    frames = np.stack(list(map(np.asarray, _drawings(dice))))
    return dicom_bytes(frames[0], NumberOfFrames=len(frames), PixelData=frames.tobytes())


_GOOD = {
    "png": ("png", lambda dice: encoded(_drawing(dice))),
    "jpeg": ("jpg", lambda dice: encoded(_drawing(dice), "JPEG")),
    "tiff": ("tif", lambda dice: encoded(_drawing(dice), "TIFF")),
    "dicom": ("dcm", lambda dice: dicom_bytes(np.asarray(_drawing(dice)))),
    "coloured png": ("png", lambda dice: encoded(_coloured(dice))),
    "coloured jpeg": ("jpeg", lambda dice: encoded(_coloured(dice), "JPEG")),
    "packed tiff": ("tiff", lambda dice: encoded(_coloured(dice), "TIFF", compression="tiff_lzw")),
    "dicom monochrome1": ("dcm", _film),
    "dicom tomogram": ("dcm", _computed_tomogram),
    "coloured dicom": ("dcm", lambda dice: dicom_bytes(np.asarray(_coloured(dice)))),
}
_BROKEN = {
    "truncated jpeg": ("jpg", _truncated),
    "wrong magic": ("png", lambda dice: dice.bytes(int(dice.integers(150, 3000)))),
    "decompression bomb": ("png", _bomb),
    "16-bit colour png": ("png", lambda dice: png_promising(32, 24, dice.bytes(99), 16, colour=2)),
    "cmyk jpeg": ("jpg", lambda dice: encoded(_coloured(dice).convert("CMYK"), "JPEG")),
    "animated png": ("png", lambda dice: _several(dice, "PNG")),
    "zero bytes": ("jpg", lambda dice: b""),
    "dicom without pixels": (
        "dcm",
        lambda dice: dicom_bytes(np.asarray(_drawing(dice)), PixelData=None),
    ),
    "multi-frame dicom": ("dcm", _cine),
    "multi-page tiff": ("tif", lambda dice: _several(dice, "TIFF")),
}

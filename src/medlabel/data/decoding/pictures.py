"""Decode PNG, JPEG and TIFF files with Pillow."""

from contextlib import suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    IMAGELENGTH,
    IMAGEWIDTH,
    SAMPLEFORMAT,
    TILELENGTH,
    TILEWIDTH,
    ImageFileDirectory_v2,
)

from medlabel.data.decoding.faults import (
    COLOURS,
    TOO_DEEP,
    Fault,
    ImageError,
    check_frames,
    check_pixels,
)

__all__ = ["decode_jpeg", "decode_png", "decode_tiff"]

_MODES = {  # Pillow's modes that convert to grey or RGB without ambiguity
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"), "RGB"),
}
_MAX_PAGES = 1000  # at most counted: following a crafted chain of pages could take hours


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG into uint8 [H, W] or [H, W, 3].

    Raises:
        ImageError: the file is refused. Damaged files may raise any other exception.
    """
    picture = Image.open(BytesIO(data), formats=["PNG"])
    check_pixels(*picture.size)
    if data[24] > 8:  # Pillow would silently reduce 16-bit colours and clip 16-bit greys
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    return _pixels_of(picture)


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG into uint8 [H, W] or [H, W, 3]; errors are those of `decode_png`."""
    return _pixels_of(Image.open(BytesIO(data), formats=["JPEG"]))


def decode_tiff(data: bytes) -> NDArray[np.uint8]:
    """Decode a TIFF into uint8 [H, W] or [H, W, 3]; errors are those of `decode_png`.

    The first directory is read before Pillow opens the file, because Pillow supports few of the
    formats with more than 8 bits and reports the others as damaged.
    """
    stream = BytesIO(data)
    head = data[: 16 if data[2] == 43 else 8]  # BigTIFF or classic TIFF
    tags = ImageFileDirectory_v2(head)
    stream.seek(tags.next)
    tags.load(stream)
    check_pixels(tags[IMAGEWIDTH], tags[IMAGELENGTH])
    check_pixels(tags.get(TILEWIDTH, 1), tags.get(TILELENGTH, 1))  # tiles may be larger
    if max(tags.get(BITSPERSAMPLE, (1,))) > 8:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    if set(tags.get(SAMPLEFORMAT, (1,))) != {1}:
        raise ImageError(Fault.UNSUITABLE, "signed or float pixels: save them as 0 to 255 first")
    return _pixels_of(Image.open(BytesIO(data), formats=["TIFF"]))


def _pixels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened file after checking what its header declares."""
    check_pixels(*picture.size)
    check_frames(_count_frames(picture))
    if picture.mode not in _MODES:
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    picture.load()
    return np.array(picture.convert(_MODES[picture.mode]), dtype=np.uint8)


def _count_frames(picture: Image.Image) -> int:
    """Count the frames, of a TIFF `_MAX_PAGES` at most."""
    if not getattr(picture, "is_animated", False):
        return 1
    if picture.format != "TIFF":
        return int(getattr(picture, "n_frames", 1))
    count = 1
    with suppress(EOFError):
        while count < _MAX_PAGES:
            picture.seek(count)
            count += 1
    return count

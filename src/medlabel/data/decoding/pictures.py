"""PNG, JPEG and TIFF, by Pillow."""

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

_MODES = {  # what Pillow decodes to -> what it is turned into without a guess
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"), "RGB"),
}
_MOST_PAGES = 1000  # counted; a chain of pages may be long enough to keep us busy for hours


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """A PNG as uint8 [H, W] or [H, W, 3]; `ImageError`, or anything if it is damaged."""
    picture = Image.open(BytesIO(data), formats=["PNG"])
    check_pixels(*picture.size)
    if data[24] > 8:  # Pillow would silently halve 16-bit colours, and clip 16-bit greys
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    return _pixels_of(picture)


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """A JPEG as uint8 [H, W] or [H, W, 3]; `ImageError`, or anything if it is damaged."""
    return _pixels_of(Image.open(BytesIO(data), formats=["JPEG"]))


def decode_tiff(data: bytes) -> NDArray[np.uint8]:
    """A TIFF as uint8 [H, W] or [H, W, 3]; `ImageError`, or anything if it is damaged.

    Its first directory is read before Pillow opens it, because Pillow knows few of the deep kinds
    and would call the others damaged.
    """
    stream = BytesIO(data)
    head = data[: 16 if data[2] == 43 else 8]  # of a BigTIFF, or of a common one
    tags = ImageFileDirectory_v2(head)
    stream.seek(tags.next)
    tags.load(stream)
    check_pixels(tags[IMAGEWIDTH], tags[IMAGELENGTH])
    check_pixels(tags.get(TILEWIDTH, 1), tags.get(TILELENGTH, 1))  # a tile may exceed its image
    if max(tags.get(BITSPERSAMPLE, (1,))) > 8:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    if set(tags.get(SAMPLEFORMAT, (1,))) != {1}:
        raise ImageError(Fault.UNSUITABLE, "signed pixels: save them as 0 to 255 first")
    return _pixels_of(Image.open(BytesIO(data), formats=["TIFF"]))


def _pixels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened file, once all that its header says has been found good."""
    check_pixels(*picture.size)
    check_frames(_count_frames(picture))
    if picture.mode not in _MODES:
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    picture.load()
    return np.array(picture.convert(_MODES[picture.mode]), dtype=np.uint8)


def _count_frames(picture: Image.Image) -> int:
    """How many frames it holds; more pages of a TIFF than `_MOST_PAGES` are not counted."""
    if not getattr(picture, "is_animated", False):
        return 1
    if picture.format != "TIFF":
        return int(getattr(picture, "n_frames", 1))
    count = 1
    with suppress(EOFError):
        while count < _MOST_PAGES:
            picture.seek(count)
            count += 1
    return count

"""Decode PNG and JPEG files with Pillow."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from medlabel.data.decoding.faults import (
    COLOURS,
    TOO_DEEP,
    Fault,
    ImageError,
    check_frames,
    check_pixels,
)
from medlabel.data.decoding.levels import from_own_range
from medlabel.data.decoding.orientation import upright

__all__ = ["decode_jpeg", "decode_png", "pixels_of_picture"]

_MODES = {  # Pillow's modes that convert to grey or RGB without ambiguity
    **dict.fromkeys(("1", "L", "LA"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"), "RGB"),
}
_GREY, _GREY_ALPHA = 0, 4  # colour types of a PNG's header
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOF0 to SOF15, JPEG-LS
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST0 to RST7, SOI


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG into uint8 [H, W] or [H, W, 3].

    Raises:
        ImageError: the file is refused. Damaged files may raise any other exception.
    """
    picture = Image.open(BytesIO(data), formats=["PNG"])
    check_pixels(*picture.size)
    check_frames(int(getattr(picture, "n_frames", 1)))
    bits, colour = data[24], data[25]  # the header is the first chunk, or Pillow would not open it
    if bits <= 8:
        return pixels_of_picture(picture)
    if colour == _GREY_ALPHA:  # Pillow would silently drop the lower 8 bits of these
        reason = "16-bit grey with transparency: save it without transparency first"
        raise ImageError(Fault.UNSUITABLE, reason)
    if colour != _GREY:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    picture.load()
    return from_own_range(np.asarray(upright(picture)))


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG into uint8 [H, W] or [H, W, 3]; errors are those of `decode_png`.

    Of a multi-picture file (MPO, CIPA DC-007), as phones write it, the first picture is read: it is
    the main one, and the others are views, depth maps or larger and smaller copies of it.
    """
    _check_jpeg_frame(data)
    return pixels_of_picture(JpegImageFile(BytesIO(data)))


def _check_jpeg_frame(data: bytes) -> None:
    """Refuse what the frame header (ISO/IEC 10918-1, B.2.2) shows to be more than 8-bit colours.

    Pillow reports these as files that it cannot identify.
    """
    place = 2
    while data[place : place + 1] == b"\xff" and place + 9 < len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xF7:
            raise ImageError(Fault.UNSUPPORTED, "a JPEG-LS file: save it as PNG or TIFF first")
        if marker in _JPEG_FRAMES:
            bits, channels = data[place + 4], data[place + 9]
            if bits != 8:
                reason = f"a JPEG of {bits} bits per channel: save it as 16-bit PNG or TIFF first"
                raise ImageError(Fault.UNSUPPORTED, reason)
            if channels not in (1, 3):
                raise ImageError(Fault.UNSUITABLE, COLOURS)
            return
        if marker == 0xFF:  # padding before a marker
            place += 1
        else:
            place += 2 if marker in _JPEG_WITHOUT_LENGTH else 2 + length


def pixels_of_picture(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened file of at most 8 bits per channel, upright, into [H, W] or [H, W, 3]."""
    check_pixels(*picture.size)
    if picture.mode not in _MODES:
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    picture.load()
    return np.array(upright(picture).convert(_MODES[picture.mode]), dtype=np.uint8)

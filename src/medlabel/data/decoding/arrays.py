"""Decode npy files with NumPy, never unpickling."""

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from medlabel.data.decoding.faults import Fault, ImageError, check_pixels

__all__ = ["decode_npy", "npy_header"]

_NPY_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_MAX_HEADER = 1024  # characters; numpy writes 118 for an array of three dimensions


def decode_npy(data: bytes) -> NDArray[np.uint8]:
    """Decode an npy of one uint8 array [H, W], [H, W, 1] or [H, W, 3] into [H, W] or [H, W, 3].

    The header is checked against the number of bytes before anything is read.

    Raises:
        ImageError: the file is damaged or holds anything else.
    """
    stream = BytesIO(data)
    shape, dtype = npy_header(stream)
    if dtype != np.uint8:
        held = "pickled objects" if dtype.hasobject else f"dtype {dtype}"
        raise ImageError(Fault.UNSUITABLE, f"npy holds {held}: send uint8 pixels, 0 to 255")
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or 0 in shape:
        reason = f"npy of shape {list(shape)}: send one image, [H, W] or [H, W, 3]"
        raise ImageError(Fault.UNSUITABLE, reason)
    check_pixels(shape[1], shape[0])
    held_bytes = len(data) - stream.tell()
    if held_bytes != math.prod(shape):
        reason = f"damaged npy: {held_bytes} bytes of pixels for shape {list(shape)}"
        raise ImageError(Fault.DAMAGED, reason)
    array = np.load(BytesIO(data), allow_pickle=False)
    return np.ascontiguousarray(array[..., 0] if shape[2:] == (1,) else array)


def npy_header(stream: BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype that the header declares; the stream is left at the pixels."""
    try:
        read = _NPY_HEADERS[npy_format.read_magic(stream)]
        shape, _, dtype = read(stream, max_header_size=_MAX_HEADER)
    except Exception:  # the header is a Python literal: parsing it fails in many ways
        raise ImageError(Fault.DAMAGED, "damaged npy: its header cannot be read") from None
    return shape, dtype

"""Decode files of many images: npy stacks and npz archives, with limits on their unpacked size.

| file | images |
| --- | --- |
| npy [N, H, W], [N, H, W, 1], [N, H, W, 3] | N; but [H, W, 1] and [H, W, 3] are one image |
| npz with one array | as an npy of that array |
| npz in MedMNIST's layout | of every array named `...images`, in the order of the archive |
| anything else | one (see `medlabel.data.decoding`) |
"""

import math
import zipfile
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding.arrays import npy_header
from medlabel.data.decoding.faults import Fault, ImageError, check_pixels

__all__ = ["MAX_UNPACKED_BYTES", "decode_stack", "is_stack"]

MAX_UNPACKED_BYTES = 2**28  # bytes of pixels, after decompression, per file
_ZIP, _NPY = b"PK\x03\x04", b"\x93NUMPY"

Image = NDArray[np.uint8]


def is_stack(data: bytes) -> bool:
    """Whether the first bytes are those of an npy or npz, which may hold several images."""
    return data.startswith((_ZIP, _NPY))


def decode_stack(data: bytes, most: int) -> list[Image]:
    """Decode the images of an npy or npz, each uint8 [H, W] or [H, W, 3].

    Args:
        data: the whole content of the file.
        most: the maximal number of images.

    Raises:
        ImageError: the file is damaged, holds no images, more than `most`, or anything else.
    """
    try:
        arrays = _unpack_npz(data) if data.startswith(_ZIP) else [data]
        stacks = [_stack(array, most) for array in arrays]
    except (ImageError, MemoryError):
        raise
    except Exception:  # numpy and zipfile raise various errors for crafted files
        raise ImageError(Fault.DAMAGED, "a damaged npy or npz: it cannot be unpacked") from None
    _check_count(sum(map(len, stacks)), most)
    return [image for stack in stacks for image in stack]


def _unpack_npz(data: bytes) -> list[bytes]:
    """Unpack the arrays of images from an archive after checking their declared sizes."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        chosen = _image_members(archive.infolist())
        if sum(member.file_size for member in chosen) > MAX_UNPACKED_BYTES:
            reason = f"an npz of more than {MAX_UNPACKED_BYTES >> 20} MiB: send it in parts"
            raise ImageError(Fault.TOO_LARGE, reason)
        return [archive.read(member) for member in chosen]


def _image_members(members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    arrays = [member for member in members if member.filename.endswith(".npy")]
    if len(arrays) == 1:
        return arrays
    named = [member for member in arrays if member.filename.endswith("images.npy")]
    if not named:
        reason = f"an npz of {len(arrays)} arrays: name those of images `images` or `..._images`"
        raise ImageError(Fault.UNSUITABLE, reason)
    return named


def _stack(data: bytes, most: int) -> list[Image]:
    stream = BytesIO(data)
    if not data.startswith(_NPY):
        raise ImageError(Fault.DAMAGED, "a damaged npz: it holds something other than npy arrays")
    shape, dtype = npy_header(stream)
    if dtype != np.uint8:
        held = "pickled objects" if dtype.hasobject else f"dtype {dtype}"
        raise ImageError(Fault.UNSUITABLE, f"npy holds {held}: send uint8 pixels, 0 to 255")
    one = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    inner = shape if one else shape[1:]
    if len(inner) not in (2, 3) or inner[2:] not in ((), (1,), (3,)) or 0 in inner:
        reason = f"npy of shape {list(shape)}: send [N, H, W] or [N, H, W, 3], or one image"
        raise ImageError(Fault.UNSUITABLE, reason)
    _check_count(1 if one else shape[0], most)
    check_pixels(inner[1], inner[0])
    held_bytes = len(data) - stream.tell()
    if held_bytes != math.prod(shape):
        reason = f"damaged npy: {held_bytes} bytes of pixels for shape {list(shape)}"
        raise ImageError(Fault.DAMAGED, reason)
    array = np.load(BytesIO(data), allow_pickle=False)
    images = array[None] if one else array
    if inner[2:] == (1,):
        images = images[..., 0]
    return [np.ascontiguousarray(image) for image in images]


def _check_count(count: int, most: int) -> None:
    if count == 0:
        raise ImageError(Fault.UNSUITABLE, "a stack of no images")
    if count > most:
        reason = f"a stack of {count:,} images: at most {most:,} are allowed per file"
        raise ImageError(Fault.TOO_LARGE, reason)

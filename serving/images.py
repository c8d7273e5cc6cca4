"""Turn bytes that a stranger sent into one image, or say in one line why not.

| sent | accepted when |
| --- | --- |
| PNG | 8 bits a channel or fewer |
| JPEG | whole |
| npy | one uint8 array [H, W] or [H, W, 3] |

What it is decides its content, never its name or its header. Nothing is unpickled, no size is
trusted before it is checked, and no more than `MAX_PIXELS` pixels are ever decoded.
"""

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from PIL import Image

__all__ = ["MAX_PIXELS", "Refused", "decode_image"]

MAX_PIXELS = 4096 * 4096
_NPY, _PNG, _JPEG = b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_NPY_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_MAX_HEADER = 1024  # characters; numpy writes 118 for an array of three dimensions


class Refused(Exception):
    """A request that is the client's to mend: an HTTP status (4xx) and a reason of one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def decode_image(data: bytes) -> Image.Image:
    """The image in `data`, decoded whole.

    Raises:
        Refused: it is no PNG, JPEG or npy, is damaged, or is larger than `MAX_PIXELS`.
    """
    if data.startswith(_NPY):
        return Image.fromarray(_decode_npy(data))
    if data.startswith((_PNG, _JPEG)):
        return _decode_picture(data)
    raise Refused(415, "not a PNG, JPEG or npy: send one image as a file field or as the body")


def _decode_picture(data: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(data), formats=["PNG", "JPEG"])
        _check_pixels(image.width, image.height)
        if image.mode.startswith(("I", "F")):  # Pillow would clip these to white, not rescale
            raise Refused(
                422, "more than 8 bits a channel: window it to 8 bits first, as you want it seen"
            )
        image.load()
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(413, f"too many pixels: at most {MAX_PIXELS:,}") from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise Refused(422, "a damaged PNG or JPEG: it cannot be decoded") from error
    return image


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(
            413, f"{width}x{height} is too many pixels: at most {MAX_PIXELS:,} (such as 4096x4096)"
        )


def _decode_npy(data: bytes) -> NDArray[np.uint8]:
    """The array, read only after its header has been found to promise what its bytes hold."""
    stream = BytesIO(data)
    shape, dtype = _npy_header(stream)
    if dtype != np.uint8:
        held = "pickled objects" if dtype.hasobject else f"dtype {dtype}"
        raise Refused(422, f"npy holds {held}: send uint8 pixels, 0 to 255")
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or 0 in shape:
        raise Refused(422, f"npy of shape {list(shape)}: send one image, [H, W] or [H, W, 3]")
    _check_pixels(shape[1], shape[0])
    held_bytes = len(data) - stream.tell()
    if held_bytes != math.prod(shape):
        raise Refused(422, f"damaged npy: {held_bytes} bytes of pixels for shape {list(shape)}")
    return np.ascontiguousarray(np.load(BytesIO(data), allow_pickle=False))


def _npy_header(stream: BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that the header promises; leaves the stream where the pixels start."""
    try:
        read = _NPY_HEADERS[npy_format.read_magic(stream)]
        shape, _, dtype = read(stream, max_header_size=_MAX_HEADER)
    except Exception as error:  # the header is a Python literal: parsing it fails in many ways
        raise Refused(422, "damaged npy: its header cannot be read") from error
    return shape, dtype

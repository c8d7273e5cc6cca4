"""Turn the bytes of one file into one image, or say in one line why not.

| file | accepted when |
| --- | --- |
| PNG, TIFF | 8 bits a channel or fewer; grey, palette or RGB; one frame |
| JPEG | whole; grey or RGB |
| DICOM | one frame of pixels, in a transfer syntax that pydicom can decode here |
| npy | one uint8 array [H, W] or [H, W, 3] |

What a file is decides its content, never its name or its sender. Nothing is unpickled, no size is
trusted before it is checked, and no more than `MAX_PIXELS` pixels are ever decoded. How many bytes
a file may have is the caller's to say. Alpha is dropped, not blended.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.data.decoding.arrays import decode_npy
from medlabel.data.decoding.dicom import decode_dicom
from medlabel.data.decoding.faults import MAX_PIXELS, Fault, ImageError, declared_pixels
from medlabel.data.decoding.pictures import decode_jpeg, decode_png, decode_tiff
from medlabel.data.decoding.stacks import decode_stack, is_stack

__all__ = ["MAX_PIXELS", "Fault", "ImageError", "decode_image", "decode_stack", "is_stack"]

_ACCEPTED = "PNG, JPEG, TIFF, DICOM or npy"


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """The image in `data`, decoded whole, as uint8 [H, W] (grey) or [H, W, 3] (RGB).

    Grey DICOM comes rescaled and windowed by its own first window (by its darkest and brightest
    pixel where it has none), dark to bright whatever its photometric interpretation.

    Raises:
        ImageError: it is of no accepted format, damaged, too large or not one image of 8 bits.
    """
    if not data:
        raise ImageError(Fault.DAMAGED, "an empty file")
    name, decode = _format_of(data)
    declared_pixels.set(0)
    try:
        with warnings.catch_warnings():  # both libraries warn of what is refused or harmless
            warnings.simplefilter("ignore")
            return decode(data)
    except MemoryError:  # it may fit another time
        raise
    except ImageError as error:
        error.pixels = declared_pixels.get()
        raise
    except Image.DecompressionBombError:
        raise ImageError(Fault.TOO_LARGE, f"too many pixels: at most {MAX_PIXELS:,}") from None
    except Exception:  # damaged files make the libraries raise nearly anything, patients' names too
        reason = f"a damaged {name}: it cannot be decoded"
        raise ImageError(Fault.DAMAGED, reason, declared_pixels.get()) from None


def _format_of(data: bytes) -> tuple[str, Callable[[bytes], NDArray[np.uint8]]]:
    """Name and decoder of the format whose first bytes these are."""
    if data[128:132] == b"DICM":  # first: what precedes it is free, and may look like a TIFF
        return "DICOM file", decode_dicom
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", decode_png
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", decode_jpeg
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0")):
        return "TIFF", decode_tiff
    if data.startswith(b"\x93NUMPY"):
        return "npy", decode_npy
    reason = f"not a {_ACCEPTED}, whatever its name says: its content is none of them"
    raise ImageError(Fault.UNSUPPORTED, reason)

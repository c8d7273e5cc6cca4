"""Decode the bytes of one file into one image, or say in one line why that is impossible.

| file | accepted when |
| --- | --- |
| PNG | grey of up to 16 bits, palette or RGB of up to 8 bits per channel; one frame |
| JPEG | complete; grey or RGB of 8 bits; of several pictures (MPO) the first |
| TIFF | as PNG, and grey of 32 bits or float; one page, or a pyramid of one picture |
| DICOM | one frame, in a transfer syntax that the installed pydicom can decode |
| npy | one uint8 array [H, W] or [H, W, 3] |

The format is recognised from the content, never from a name or a media type. Nothing is unpickled,
no declared size is trusted before it is checked, and never more than `MAX_PIXELS` pixels are
decoded. The caller limits the size of the file itself.

How orientation, alpha, depth and colours are read stands in `docs/pixels.md`, each with its test.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.data.decoding.arrays import decode_npy
from medlabel.data.decoding.dicom import decode_dicom
from medlabel.data.decoding.dicom_header import begins_like_dicom
from medlabel.data.decoding.faults import MAX_PIXELS, Fault, ImageError, declared_pixels
from medlabel.data.decoding.levels import own_range_sentence, scaled_by_own_range
from medlabel.data.decoding.pictures import decode_jpeg, decode_png
from medlabel.data.decoding.stacks import decode_stack, is_stack
from medlabel.data.decoding.tiff import decode_tiff

__all__ = [
    "MAX_PIXELS",
    "Decoded",
    "Fault",
    "ImageError",
    "decode",
    "decode_image",
    "decode_stack",
    "is_stack",
    "own_range_sentence",
]

_ACCEPTED = "PNG, JPEG, TIFF, DICOM or npy"


@dataclass(frozen=True)
class Decoded:
    """An image, and what a user should know about how its file was read.

    Attributes:
        pixels: uint8 [H, W] (grey) or [H, W, 3] (RGB).
        own_range: whether it has more than 8 bits and no window, and was therefore scaled from its
            own lowest to its own highest value (`own_range_sentence`).
    """

    pixels: NDArray[np.uint8]
    own_range: bool = False


def decode(data: bytes) -> Decoded:
    """Decode a file as `decode_image` does; also returns how it was read."""
    scaled_by_own_range.set(False)
    pixels = decode_image(data)
    return Decoded(pixels, scaled_by_own_range.get())


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a file into uint8 [H, W] (grey) or [H, W, 3] (RGB).

    Pictures are upright, as their EXIF orientation says. Grey DICOM is rescaled and shown with the
    file's first window. Without a window, grey of more than 8 bits is shown with the range of its
    pixels. Black is 0 whatever the photometric interpretation.

    Args:
        data: the whole content of the file.

    Raises:
        ImageError: the format is not accepted, or the file is damaged, too large, or not a single
            grey or RGB image.
    """
    if not data:
        raise ImageError(Fault.DAMAGED, "an empty file")
    name, decode = _format_of(data)
    declared_pixels.set(0)
    try:
        with warnings.catch_warnings():  # pydicom and Pillow warn of what is refused or harmless
            warnings.simplefilter("ignore")
            return decode(data)
    except MemoryError:  # not the file's fault: it may fit later
        raise
    except ImageError as error:
        error.pixels = declared_pixels.get()
        raise
    except Image.DecompressionBombError:
        raise ImageError(Fault.TOO_LARGE, f"too many pixels: at most {MAX_PIXELS:,}") from None
    except Exception:  # the message of a library may hold a patient's name
        reason = f"a damaged {name}: it cannot be decoded"
        raise ImageError(Fault.DAMAGED, reason, declared_pixels.get()) from None


def _format_of(data: bytes) -> tuple[str, Callable[[bytes], NDArray[np.uint8]]]:
    """Return the name and the decoder of the format, recognised by its first bytes."""
    if data[128:132] == b"DICM":  # first, because the preamble may look like a TIFF
        return "DICOM file", decode_dicom
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", decode_png
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", decode_jpeg
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF", decode_tiff
    if data.startswith(b"\x93NUMPY"):
        return "npy", decode_npy
    if begins_like_dicom(data):  # without the preamble: last, because it has no certain mark
        return "DICOM file", decode_dicom
    if data.startswith(b"PK\x03\x04"):
        reason = "an archive (npz or zip), not one image: name an npz file itself as a source"
        raise ImageError(Fault.UNSUPPORTED, reason)
    reason = f"not a {_ACCEPTED}, whatever its name says: its content is none of them"
    raise ImageError(Fault.UNSUPPORTED, reason)

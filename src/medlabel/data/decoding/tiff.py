"""Decode TIFF files with Pillow."""

from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COLORMAP,
    COMPRESSION,
    COMPRESSION_INFO,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    SUBIFD,
    TILELENGTH,
    TILEWIDTH,
    YCBCRSUBSAMPLING,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from medlabel.data.decoding.faults import (
    COLOURS,
    TOO_DEEP,
    Fault,
    ImageError,
    check_frames,
    check_pixels,
)
from medlabel.data.decoding.levels import from_own_range
from medlabel.data.decoding.pictures import pixels_of_picture

__all__ = ["decode_tiff"]

# TIFF 6.0, section 8, and the supplements: what a directory's picture is.
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # a value of SubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _YCBCR = 0, 1, 3, 6  # PhotometricInterpretation
_GREYS = (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
_COLOURS = (2, _PALETTE, _YCBCR)
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # SampleFormat
_MAX_PAGES = 1000  # at most counted: following a crafted chain of pages could take hours


_LAYOUT = (
    "in a layout that cannot be read here: save it as unsigned grey of 8 or 16 bits, or as RGB"
)


def decode_tiff(data: bytes) -> NDArray[np.uint8]:
    """Decode a TIFF into uint8 [H, W] or [H, W, 3], upright.

    Of a pyramid, the picture itself is read, and neither its reduced copies nor its mask. The
    directories are read before Pillow opens the file, because Pillow supports few of the formats
    with more than 8 bits and reports the others as damaged.

    Raises:
        ImageError: the file is refused. Damaged files may raise any other exception.
    """
    if data.startswith(b"MM\0+"):
        raise ImageError(Fault.UNSUPPORTED, "a big-endian BigTIFF: save it as an ordinary TIFF")
    pages = _pages(data)
    main = _main_page(pages)
    tags = pages[main]
    check_pixels(tags[IMAGEWIDTH], tags[IMAGELENGTH])
    check_pixels(tags.get(TILEWIDTH, 1), tags.get(TILELENGTH, 1))  # tiles may be larger
    check_pixels(tags[IMAGEWIDTH], tags[IMAGELENGTH])
    _check_kind(tags)
    picture = _opened(data, main, tags)
    check_pixels(*picture.size)
    if _is_plain(tags):
        return pixels_of_picture(picture)
    picture.load()  # it comes out upright
    values = _stored(np.asarray(picture), tags)
    return from_own_range(values, inverted=tags[PHOTOMETRIC_INTERPRETATION] == _WHITE_IS_ZERO)


def _pages(data: bytes) -> list[ImageFileDirectory_v2]:
    """The directories of a file, at most `_MAX_PAGES`, each once even where they form a circle."""
    stream, head = BytesIO(data), data[: 16 if data[2] == 43 else 8]  # BigTIFF or classic TIFF
    place, seen = ImageFileDirectory_v2(head).next, set[int]()
    pages: list[ImageFileDirectory_v2] = []
    while place and place not in seen and len(pages) < _MAX_PAGES:
        seen.add(place)
        stream.seek(place)
        pages.append(ImageFileDirectory_v2(head))
        pages[-1].load(stream)
        place = pages[-1].next
    return pages


def _main_page(pages: list[ImageFileDirectory_v2]) -> int:
    """Number of the only page that is neither a reduced copy nor a mask of another one.

    Many writers of pyramids leave the tag out: pages that are halved again and again are copies.
    """
    main = [number for number, tags in enumerate(pages) if not _is_secondary(tags)]
    if not all(_is_half(pages[a], pages[b]) for a, b in pairwise(main)):
        check_frames(len(main))
    if main:
        return main[0]
    if len(pages) == 1 and SUBIFD not in pages[0]:
        return 0  # a reduced copy of a picture that is not in the file
    reason = "a TIFF of reduced copies without the picture itself, as cameras' raw files are"
    raise ImageError(Fault.UNSUITABLE, f"{reason}: save the picture as TIFF first")


def _is_secondary(tags: ImageFileDirectory_v2) -> bool:
    bits = int(tags.get(_NEW_SUBFILE_TYPE, 0))
    return bool(bits & (_REDUCED | _MASK)) or tags.get(_SUBFILE_TYPE) == _OLD_REDUCED


def _is_half(large: ImageFileDirectory_v2, small: ImageFileDirectory_v2) -> bool:
    """Whether a page is half as wide and half as high as another one, rounded up or down."""
    sides = [(large[side], small[side]) for side in (IMAGEWIDTH, IMAGELENGTH)]
    return all(few in (many // 2, -(-many // 2)) for many, few in sides) and sides[0] != (1, 1)


def _is_plain(tags: ImageFileDirectory_v2) -> bool:
    """Whether the pixels are unsigned and of at most 8 bits per channel."""
    return max(tags.get(BITSPERSAMPLE, (1,))) <= 8 and _format_of(tags) == {_UNSIGNED}


def _format_of(tags: ImageFileDirectory_v2) -> set[int]:
    return set(tags.get(SAMPLEFORMAT, (_UNSIGNED,)))


def _check_kind(tags: ImageFileDirectory_v2) -> None:
    """Refuse colours, depths and compressions that would be read wrongly or not at all."""
    colours = tags.get(PHOTOMETRIC_INTERPRETATION)
    if colours is None:
        reason = "a damaged TIFF: it does not say whether 0 is black or white"
        raise ImageError(Fault.DAMAGED, reason)
    if colours not in (*_GREYS, *_COLOURS):
        raise ImageError(Fault.UNSUITABLE, COLOURS)
    if _format_of(tags) not in ({_UNSIGNED}, {_SIGNED}, {_FLOAT}):
        reason = "a TIFF of complex or undefined numbers: save real ones first"
        raise ImageError(Fault.UNSUITABLE, reason)
    if not _is_plain(tags) and colours not in _GREYS:
        raise ImageError(Fault.UNSUITABLE, TOO_DEEP)
    packed = tags.get(COMPRESSION, 1)
    if packed not in COMPRESSION_INFO:
        reason = f"a TIFF in compression {packed}: save it uncompressed, or with LZW or Deflate"
        raise ImageError(Fault.UNSUPPORTED, reason)
    if _format_of(tags) != {_UNSIGNED} and packed != 1 and tags.prefix == b"MM":
        # Pillow 13 swaps the bytes of these twice, and gives other numbers without an error.
        raise _unreadable(tags)
    if colours == _YCBCR and packed == 1 and tuple(tags.get(YCBCRSUBSAMPLING, (2, 2))) != (1, 1):
        raise ImageError(Fault.UNSUITABLE, COLOURS)  # Pillow would misread the subsampled rows


def _opened(data: bytes, page: int, tags: ImageFileDirectory_v2) -> Image.Image:
    """A page, opened by Pillow."""
    try:
        picture = TiffImageFile(BytesIO(data))
        if page:
            picture.seek(page)
    except SyntaxError as error:
        if "unknown" not in str(error):
            raise
        raise _unreadable(tags) from None
    colours = tags.get(COLORMAP)
    if picture.mode == "P" and colours and max(colours) < 256:
        # Entries go up to 65535; like libtiff, take those of writers that only went to 255.
        picture.load()
        picture.putpalette(bytes(colours), "RGB;L")
    return picture


def _unreadable(tags: ImageFileDirectory_v2) -> ImageError:
    bits, channels = max(tags.get(BITSPERSAMPLE, (1,))), tags.get(SAMPLESPERPIXEL, 1)
    what = f"a TIFF of {channels} channel{'s' if channels > 1 else ''} with {bits} bits"
    return ImageError(Fault.UNSUPPORTED, f"{what}, {_LAYOUT}")


def _stored(pixels: NDArray[Any], tags: ImageFileDirectory_v2) -> NDArray[Any]:
    """The stored values [H, W] of what Pillow made of them, in a type that can hold their sign."""
    form, bits = _format_of(tags), max(tags.get(BITSPERSAMPLE, (1,)))
    if form == {_FLOAT} and not np.isfinite(pixels).all():
        reason = "a TIFF of numbers that are not finite (NaN): replace them first"
        raise ImageError(Fault.UNSUITABLE, reason)
    if form == {_SIGNED} and bits == 8:
        return pixels.view(np.int8)
    if form == {_UNSIGNED} and bits == 32:
        return pixels.view(np.uint32)
    return pixels

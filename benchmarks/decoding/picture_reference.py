"""The pixels of PNG, JPEG and TIFF files, by arithmetic that shares no code with medlabel.

PNG files are unpacked here, with zlib alone. TIFF files are read by tifffile, which shares no code
with Pillow. JPEG has no second decoder of equal output: Pillow decodes the samples, and the
colours and the orientation are computed here.
"""

from __future__ import annotations

import importlib
import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.decoding.dicom_reference import UnreadableError, rgb

__all__ = ["jpeg_pixels", "png_pixels", "tiff_pixels"]

Values = NDArray[Any]
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = [  # first row, first column, rows, columns of Adam7
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
]


def png_pixels(data: bytes) -> Values:
    """Grey [H, W] from 0 to 255 (more than 8 bits: of the own range), or RGB [H, W, 3]."""
    chunks = list(_chunks(data))
    if _frames(chunks) > 1:
        raise UnreadableError("several frames")
    header = next(body for kind, body in chunks if kind == b"IHDR")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">LLBBBBB", header)
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    raw = zlib.decompressobj().decompress(packed)
    samples = _unpacked(raw, (height, width, _CHANNELS[colour]), bits, bool(interlaced))
    palette = next((body for kind, body in chunks if kind == b"PLTE"), b"")
    return _turned(_png_colours(samples, bits, colour, palette), _png_orientation(chunks))


def _frames(chunks: list[tuple[bytes, bytes]]) -> int:
    """Frames of an animation, and the picture before it, which need not be its first frame."""
    kinds = [kind for kind, _ in chunks]
    head = chunks[: kinds.index(b"IDAT")]
    declared = [struct.unpack(">L", body[:4])[0] for kind, body in head if kind == b"acTL"]
    if len(declared) != 1 or not 0 < declared[0] < 2**31:
        return 1
    before = b"fcTL" not in [kind for kind, _ in head]
    return max(int(declared[0]), kinds.count(b"fcTL") + before)


def _png_orientation(chunks: list[tuple[bytes, bytes]]) -> int:
    """From an eXIf chunk, from one that older programs wrote as text, or from XMP."""
    for kind, body in chunks:
        if kind == b"eXIf":
            return _orientation(body)
        if kind == b"tEXt" and body.startswith(b"Raw profile type exif\0"):
            return _orientation(bytes.fromhex("".join(body.decode("latin-1").split("\n")[3:])))
    for kind, body in chunks:
        found = re.search(rb"tiff:Orientation(?:=[\"']|>)([1-8])", body)
        if kind == b"iTXt" and found:
            return int(found[1])
    return 1


def _png_colours(samples: Values, bits: int, colour: int, palette: bytes) -> Values:
    if colour == 3:
        table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
        colours: Values = table[np.minimum(samples[..., 0], len(table) - 1)].astype(np.float64)
        return colours
    if bits == 16 and colour != 0:
        raise UnreadableError("colours of more than 8 bits")
    if bits == 16:
        return _own_range(samples[..., 0])
    scaled: Values = samples * (255 / (2**bits - 1))
    return scaled[..., :3] if colour in (2, 6) else scaled[..., 0]


def _own_range(values: Values) -> Values:
    numbers: Values = values.astype(np.float64)
    numbers = 255 * (numbers - numbers.min()) / max(float(np.ptp(numbers)), 1e-300)
    return numbers


def _chunks(data: bytes) -> Any:
    place = 8
    while place + 8 <= len(data):
        (length,), kind = struct.unpack(">L", data[place : place + 4]), data[place + 4 : place + 8]
        yield kind, data[place + 8 : place + 8 + length]
        if kind == b"IEND":
            return
        place += 12 + length
    raise UnreadableError("the file ends early")


def _unpacked(raw: bytes, shape: tuple[int, int, int], bits: int, interlaced: bool) -> Values:
    if not interlaced:
        return _unfiltered(raw, shape, bits)[0]
    whole = np.zeros(shape, np.int64)
    for row, column, rows, columns in _PASSES:
        part = (-(-(shape[0] - row) // rows), -(-(shape[1] - column) // columns), shape[2])
        if part[0] > 0 and part[1] > 0:
            whole[row::rows, column::columns], raw = _unfiltered(raw, part, bits)
    return whole


def _unfiltered(raw: bytes, shape: tuple[int, int, int], bits: int) -> tuple[Values, bytes]:
    """Undo the filters of PNG, section 9; returns also the bytes behind these rows."""
    height, width, channels = shape
    size, step = (width * channels * bits + 7) // 8, max(1, channels * bits // 8)
    if len(raw) < height * (size + 1):
        raise UnreadableError("the file ends early")
    above, rows = bytearray(size), []
    for y in range(height):
        kind, row = raw[y * (size + 1)], bytearray(raw[y * (size + 1) + 1 : (y + 1) * (size + 1)])
        _undo(kind, row, above, step)
        rows.append(bytes(row))
        above = row
    values: Values = np.frombuffer(b"".join(rows), np.uint8).reshape(height, size)
    if bits == 16:
        words = values.reshape(height, -1, 2).astype(np.int64)
        values = words[..., 0] << 8 | words[..., 1]
    elif bits < 8:
        single = np.unpackbits(values, axis=1).reshape(height, -1, bits).astype(np.int64)
        values = single @ (1 << np.arange(bits)[::-1])
    return values[:, : width * channels].reshape(shape).astype(np.int64), raw[height * (size + 1) :]


def _undo(kind: int, row: bytearray, above: bytearray, step: int) -> None:
    if kind == 0:
        return
    for x in range(len(row)):
        left = row[x - step] if x >= step else 0
        up, corner = above[x], above[x - step] if x >= step else 0
        guess = {1: left, 2: up, 3: (left + up) // 2}.get(kind)
        if guess is None:
            far = left + up - corner
            distances = abs(far - left), abs(far - up), abs(far - corner)
            guess = (left, up, corner)[distances.index(min(distances))]
        row[x] = (row[x] + guess) & 255


def jpeg_pixels(data: bytes) -> Values:
    """Grey [H, W] or RGB [H, W, 3], upright."""
    with Image.open(BytesIO(data), formats=["JPEG"]) as picture:
        exif = picture.info.get("exif", b"").removeprefix(b"Exif\0\0")
        if picture.mode not in ("L", "RGB"):
            raise UnreadableError(picture.mode)
        pixels = np.asarray(picture).astype(np.float64)
    return _turned(pixels, _orientation(exif))


def _orientation(exif: bytes) -> int:
    """Tag 0x0112 of the first directory."""
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (place,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, place)
        for entry in range(count):
            tag, kind, _ = struct.unpack_from(f"{order}HHL", exif, place + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return int(struct.unpack_from(f"{order}H", exif, place + 10 + 12 * entry)[0])
    except struct.error:
        return 1
    return 1


def _turned(pixels: Values, orientation: int) -> Values:
    """The corner where row 0 and column 0 are to be shown, by EXIF 2.32."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down = {3: True, 4: True, 7: True, 8: True}.get(orientation, False)
    across = {2: True, 3: True, 6: True, 7: True}.get(orientation, False)
    return pixels[:: -1 if down else 1, :: -1 if across else 1]


def tiff_pixels(data: bytes) -> Values:
    """Grey [H, W] or RGB [H, W, 3], upright; of a pyramid the largest level."""
    tifffile = importlib.import_module("tifffile")
    with tifffile.TiffFile(BytesIO(data)) as file:
        main = [page for page in file.pages if not page.is_reduced and not page.is_mask]
        if len(main) != 1:
            raise UnreadableError("several pages" if main else "no main page")
        page = main[0]
        values, kind = np.asarray(page.asarray()), int(page.photometric)
        bits, planar = page.bitspersample, int(page.planarconfig)
        colours, premultiplied = page.colormap, page.extrasamples == (1,)
        is_jpeg = int(page.compression) == 7
        if int(page.compression) == 6:
            raise UnreadableError("old-style JPEG: decoders differ in how they enlarge its colours")
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
    if values.ndim == 3 and planar == 2:
        values = np.moveaxis(values, 0, -1)
    if premultiplied and kind == 2:
        alpha = np.maximum(values[..., 3:], 1)
        values = np.where(values[..., 3:] > 0, values[..., :3] * 255.0 / alpha, values[..., :3])
        values = np.clip(values, 0, 255).astype(np.uint8)
    return _turned(_tiff_colours(values, kind, bits, colours, is_jpeg), orientation)


def _tiff_colours(values: Values, kind: int, bits: int, colours: Any, is_jpeg: bool) -> Values:
    if kind == 3 and values.ndim == 2:
        table = np.asarray(colours).T
        return (table[values] >> (8 if table.max() > 255 else 0)).astype(np.float64)
    if kind in (0, 1):
        grey = values[..., 0] if values.ndim == 3 else values
        whole = grey.dtype == np.bool_ or (grey.dtype.kind == "u" and bits <= 8)
        shown = grey * (255 / (2**bits - 1)) if whole else _own_range(grey)
        return 255 - shown if kind == 0 else shown
    if kind == 6 and not is_jpeg:
        return rgb(values)
    if kind in (2, 6) and values.dtype == np.uint8:  # tifffile converts the colours of a JPEG
        return values[..., :3].astype(np.float64)
    raise UnreadableError("colours without a formula here")

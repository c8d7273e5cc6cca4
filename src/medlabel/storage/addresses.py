r"""Addresses: names of images as text that every table, page and terminal can hold.

A file's name is bytes without meaning; it may be no UTF-8, and hold line breaks and other control
characters. An address is valid UTF-8 on one line, differs from file to file, and leads back to the
file. It equals the path except that

- bytes that are no UTF-8, control characters and white space at the end are written `\xHH`, a byte
  each, and so is a backslash that could be read as the beginning of such;
- a `#` is written `\x23` where the path ends as the address of one image of a file does
  (`scans.parquet#3`, `chest.npz#val/3`), so that such an ending always means a place in a file.

In this package a path is text as well, whatever the locale: its bytes decoded as UTF-8, those that
are none as lone surrogates (Python's `surrogateescape`).
"""

import os
import re
from pathlib import Path

__all__ = [
    "escaped",
    "local_file",
    "path_bytes",
    "path_text",
    "place_in_file",
    "spellings",
    "unescaped",
]

_PLACE = r"(?:(?:train|val|test)/)?[0-9]+\Z"
_ESCAPED = re.compile(
    "[\udc80-\udcff]"  # bytes that are no UTF-8
    "|[\x00-\x1f\x7f-\x9f\u2028\u2029]"  # controls and line breaks
    r"|\s(?=\s*\Z)"
    r"|\\(?=x[0-9a-f]{2})"
    rf"|\#(?={_PLACE})",
)
_CODES = re.compile(r"(?:\\x[0-9a-f]{2})+")


def path_text(path: str | os.PathLike[str]) -> str:
    """A local path, as the user or the system spells it, as text that no locale decides."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_bytes(path: str) -> bytes:
    """The path that the operating system opens, of the text of one."""
    return path.encode("utf-8", "surrogateescape")


def escaped(path: str) -> str:
    r"""The address of a path, or of a part of one.

    >>> escaped("scans/a.png"), escaped("scans/a\nb\udcff.png"), escaped("scans#3")
    ('scans/a.png', 'scans/a\\x0ab\\xff.png', 'scans\\x233')
    """
    return _ESCAPED.sub(lambda found: _codes(found[0]), path)


def unescaped(address: str) -> str:
    r"""The path that has this address.

    >>> unescaped("scans/a\\x0ab\\xff.png") == "scans/a\nb\udcff.png"
    True
    """
    return _CODES.sub(lambda found: _decoded(found[0]), address)


def place_in_file(address: str) -> tuple[str, str | None]:
    """The path of a file and which of its images an address means; None if the file is one image.

    >>> place_in_file("/scans.parquet#3"), place_in_file("/a#b.png")
    (('/scans.parquet', '3'), ('/a#b.png', None))
    """
    found = re.search(f"#({_PLACE})", address)
    path = address[: found.start()] if found else address
    return unescaped(path), found[1] if found else None


def spellings(typed: str) -> set[str]:
    r"""The addresses that a user may mean by a path, an address, or the end of one.

    >>> sorted(spellings("t.parquet#3")), sorted(spellings("a\nb.png"))
    (['t.parquet#3', 't.parquet\\x233'], ['a\nb.png', 'a\\x0ab.png'])
    """
    path = path_text(typed)
    place = re.search(f"#{_PLACE}", path)
    image = [escaped(path[: place.start()]) + place[0]] if place else []
    return {typed, escaped(path), *image}


def local_file(address: str) -> Path | None:
    """The file on this machine that an address names as an image, as Python opens it; else None."""
    path, place = place_in_file(address)
    if place is not None or not path.startswith("/"):
        return None
    return Path(os.fsdecode(path_bytes(path)))


def _codes(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in path_bytes(text))


def _decoded(codes: str) -> str:
    return bytes.fromhex(codes.replace("\\x", "")).decode("utf-8", "surrogateescape")

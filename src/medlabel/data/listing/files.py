"""Parts of a folder or bucket of image files.

A folder is cut into parts after names whose digest falls into a small class (content-defined
chunking): where a part ends follows from the names near its end, and not from how many come before.
So a file that is added or removed changes one part, or a few, however large the folder is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing.folder import Folder
from medlabel.data.listing.parts import UNREADABLE, Content, Part
from medlabel.storage.addresses import escaped
from medlabel.storage.digests import digest_bytes, hex_digest

FILES = 512  # per part, about: some seconds of reading, yet several readers can share a folder
_FEWEST, _MOST = FILES // 4, FILES * 4
_MAX_FILE = 256 * 2**20  # bytes; larger files are not read to their end


@dataclass(frozen=True)
class FilesPart(Part):
    """Files of a folder or bucket. Their format is detected when they are decoded."""

    root: str
    names: tuple[str, ...]
    stamps: tuple[str, ...]

    def only(self, rows: NDArray[np.integer]) -> "FilesPart":
        """See `Part.only`: files are read one by one."""
        chosen = rows.tolist()
        names = tuple(self.names[row] for row in chosen)
        stamps = tuple(self.stamps[row] for row in chosen)
        return replace(
            self, count=len(names), fingerprint=_digest(stamps), names=names, stamps=stamps
        )

    def stamp(self, row: int) -> str:
        """See `Part.stamp`."""
        return self.stamps[row]

    def index(self, row: int) -> str:
        """The path within the folder."""
        return escaped(self.names[row])

    @property
    def folder(self) -> str:
        """See `Part.folder`."""
        return escaped(self.root)

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return escaped(f"{self.root}/{self.names[row]}")

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        folder = Folder(self.root)
        for row in range(self.count) if rows is None else rows:
            yield _content(folder, self.names[row])


def _content(folder: Folder, name: str) -> Content:
    """The bytes of a file, or the reason why there are none."""
    try:
        data = folder.read(name, _MAX_FILE + 1)
    except ImageError as error:
        return error
    except IsADirectoryError:
        return ImageError(Fault.UNSUPPORTED, "a folder, not a file")
    except OSError as error:
        return ImageError(Fault.DAMAGED, f"{UNREADABLE}: {error.strerror or error}")
    large = len(data) > _MAX_FILE
    return ImageError(Fault.TOO_LARGE, f"more than {_MAX_FILE:,} bytes") if large else data


def file_parts(
    source: str, where: str, files: Sequence[str], stamps: Mapping[str, str]
) -> Iterator[Part]:
    """Parts of some hundreds of files each; `stamps` has the fingerprint of each file by name."""
    for names in cut_names(files):
        mine = tuple(stamps[name] for name in names)
        yield FilesPart(source, "all", len(names), _digest(mine), where, names, mine)


def cut_names(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Cut sorted names into groups of 128 to 2,048; the last one may be smaller.

    >>> names = [f"{number:05}.png" for number in range(5000)]
    >>> before = set(cut_names(names))
    >>> len(before), len(set(cut_names(["a-new.png", *names])) - before)
    (11, 1)
    """
    start = 0
    for end, name in enumerate(names, start=1):
        count = end - start
        if count == _MOST or (count >= _FEWEST and _ends_a_part(name)):
            yield tuple(names[start:end])
            start = end
    if start < len(names):
        yield tuple(names[start:])


def _ends_a_part(name: str) -> bool:
    """Whether a part may end after this name: true of one name in `FILES`."""
    digest = digest_bytes(name.encode(errors="surrogateescape"))
    return int.from_bytes(digest[:4], "big") % FILES == 0


def _digest(stamps: Sequence[str]) -> str:
    return hex_digest("".join(stamps), 16)

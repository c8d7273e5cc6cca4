"""Parts of a folder or bucket of image files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import fsspec
import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing.parts import UNREADABLE, Content, Part
from medlabel.storage.digests import hex_digest

FILES = 512  # per part: some seconds of reading, yet several readers can share a folder
_MAX_FILE = 256 * 2**20  # bytes; larger files are not read to their end


@dataclass(frozen=True)
class FilesPart(Part):
    """Files of a folder or bucket. Their format is detected when they are decoded."""

    root: str
    names: tuple[str, ...]

    def index(self, row: int) -> str:
        """The path within the folder."""
        return self.names[row]

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{self.root}/{self.names[row]}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        fs, root = fsspec.core.url_to_fs(self.root)
        for row in range(self.count) if rows is None else rows:
            try:
                data = bytes(fs.cat_file(f"{root}/{self.names[row]}", end=_MAX_FILE + 1))
            except OSError as error:
                yield ImageError(Fault.DAMAGED, f"{UNREADABLE}: {error.strerror or error}")
                continue
            large = len(data) > _MAX_FILE
            yield ImageError(Fault.TOO_LARGE, f"more than {_MAX_FILE:,} bytes") if large else data


def file_parts(
    source: str, where: str, files: list[str], stamps: Mapping[str, str]
) -> Iterator[Part]:
    """Parts of some hundreds of files each; `stamps` has the fingerprint of each file by name."""
    for start in range(0, len(files), FILES):
        chunk = tuple(files[start : start + FILES])
        stamp = hex_digest("".join(stamps[name] for name in chunk), 16)
        yield FilesPart(source, "all", len(chunk), stamp, where, chunk)

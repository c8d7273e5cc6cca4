"""Open the files of a folder or bucket, by their paths in it."""

import os
from typing import BinaryIO, cast

import fsspec

from medlabel.data.listing.local import open_regular


class Folder:
    """A local folder, or one in a bucket.

    A local path is never read as a URL: fsspec would take `a::b` for a chain of file systems, and
    `a[1].parquet` for a pattern.

    Args:
        root: absolute path, or URI.
    """

    def __init__(self, root: str) -> None:
        self._fs: fsspec.AbstractFileSystem | None = None
        self._root = root
        if root and not root.startswith("/"):
            self._fs, self._root = fsspec.core.url_to_fs(root)

    def read(self, name: str, most: int) -> bytes:
        """The content of a file, at most its first `most` bytes.

        Raises:
            ImageError: it is no regular file.
            OSError: it cannot be read.
        """
        path = f"{self._root}/{name}"
        if self._fs is not None:
            return bytes(self._fs.cat_file(path, end=most))
        with open_regular(path) as file:
            return file.read(min(most, os.fstat(file.fileno()).st_size + 1))

    def open(self, name: str) -> BinaryIO:
        """Open a file to read it; the errors are those of `read`."""
        path = f"{self._root}/{name}"
        return open_regular(path) if self._fs is None else cast(BinaryIO, self._fs.open(path, "rb"))

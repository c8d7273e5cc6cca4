"""Parts of npz files in MedMNIST's layout and of phantoms: their splits."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from medlabel.data.listing.parts import CHUNK, UNREADABLE, Content, Part, all_rows
from medlabel.data.sources import SPLITS, check_pixels, open_source
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import escaped, path_bytes, path_text


@dataclass(frozen=True)
class NpzPart(Part):
    """A split of an npz file, read as a stream: only some 16 MiB of pixels are in memory."""

    path: str

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{escaped(self.path)}#{self.split}/{row}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        count = self.count if rows is None else len(rows)
        return all_rows(self._read(rows), count, "a damaged npz file")

    def _read(self, rows: NDArray[np.integer] | None) -> Iterator[Content]:
        wanted = None if rows is None else set(rows.tolist())
        path = os.fsdecode(path_bytes(self.path))
        with zipfile.ZipFile(path) as archive, archive.open(_member(self.split)) as file:
            shape, _ = _npy_header(file)
            size = int(np.prod(shape[1:]))
            chunk = max(1, CHUNK // size)
            for start in range(0, shape[0], chunk):
                stop = min(start + chunk, shape[0])
                data = file.read((stop - start) * size)
                images = np.frombuffer(data, dtype=np.uint8).reshape(stop - start, *shape[1:])
                for row in range(start, stop):
                    if wanted is None or row in wanted:
                        yield images[row - start]


@dataclass(frozen=True)
class PhantomPart(Part):
    """A split of phantoms. The seed is fixed, so each process renders the same images."""

    spec: str
    size: int

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{self.spec}#{self.split}/{row}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        images = open_source(self.spec, self.size).splits[self.split].images
        yield from images if rows is None else images[rows]


def phantom_parts(spec: str, size: int) -> list[Part]:
    """The splits of phantoms."""
    source = open_source(spec, size)
    return [
        PhantomPart(source.name, split, len(content.images), source.content_hash[:16], spec, size)
        for split, content in source.splits.items()
    ]


def npz_parts(path: Path, name: str) -> list[Part]:
    """The splits of an npz file; a `MedlabelError` if it is damaged or of another layout."""
    if not path.is_file():
        raise MedlabelError(f"{path}: no such file")
    info, parts = path.stat(), []
    stamp = f"{info.st_size}-{info.st_mtime_ns}-{info.st_ctime_ns}"
    for split in SPLITS:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(_member(split)) as file:
                shape, dtype = _npy_header(file)
        except PermissionError as error:
            raise MedlabelError(f"{path}: {UNREADABLE}: {error.strerror}") from error
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
            raise MedlabelError(f"{path}: damaged or not in MedMNIST's layout ({error})") from error
        check_pixels(path, split, shape, dtype)
        parts.append(NpzPart(escaped(name), split, shape[0], stamp, path_text(path.absolute())))
    return list(parts)


def _member(split: str) -> str:
    return f"{split}_images.npy"


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array; leaves the file at the first of its values."""
    major, _ = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran:
        raise ValueError("its array is in Fortran order")
    return shape, dtype

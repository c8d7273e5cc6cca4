"""List the images of a source in parts, and read them one after the other, however many there are.

| source | parts |
| --- | --- |
| `breastmnist`, `a.npz`, `phantom:breastmnist` | its three splits |
| `images/`, `s3://bucket/images` | files, some hundreds per part: PNG, JPEG, TIFF, DICOM |
| `'images/**/*.dcm'` | the files that match |
| `a.parquet`, and Parquet files in a folder | row groups, with an image column |

A `Part` is a description without pixels: it is small, can be sent to any process, and reads its
images on demand. An image is yielded as pixels, as the bytes of a file that is not decoded yet, or
as an `ImageError` if it cannot be read. Its id is `source/split/index`; for files the index is the
path within the folder, for Parquet the file and the row.
"""

import json
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from medlabel.data.decoding import MAX_PIXELS, Fault, ImageError, decode_image
from medlabel.data.sources import SPLITS, check_pixels, find_npz, open_source, source_name
from medlabel.errors import MedlabelError
from medlabel.storage.digests import digest_bytes, digest_image, hex_digest

__all__ = ["UNREADABLE", "Content", "Part", "digest_of", "list_parts", "pixels_of"]

FILES = 512  # per part: some seconds of reading, yet several readers can share a folder
_CHUNK = 2**24  # bytes of pixels or files in memory at a time
_MAX_ROWS = 256  # of a Parquet file at a time, however small
_MAX_FILE = 256 * 2**20  # bytes; larger files are not read to their end
UNREADABLE = "cannot be read"  # the beginning of reasons that may not hold the next time
Content = NDArray[np.uint8] | bytes | ImageError


def digest_of(content: NDArray[np.uint8] | bytes) -> bytes:
    """The 16-byte digest of an image: of its pixels, or of the bytes of its file."""
    return digest_bytes(content) if isinstance(content, bytes) else digest_image(content)


def pixels_of(content: Content) -> NDArray[np.uint8]:
    """The pixels uint8 [H, W] or [H, W, 3] of a content; raises its `ImageError` if it has none."""
    if isinstance(content, ImageError):
        raise content
    return decode_image(content) if isinstance(content, bytes) else content


@dataclass(frozen=True)
class Part(ABC):
    """Some of the images of a source, numbered from 0.

    Attributes:
        source: name of the source, the first component of ids.
        split: train, val, test or `all`.
        count: number of images.
        fingerprint: changes if the content may have changed (a file's size, time or ETag).
    """

    source: str
    split: str
    count: int
    fingerprint: str

    def image_id(self, row: int) -> str:
        """`source/split/index` of an image."""
        return f"{self.source}/{self.split}/{self.index(row)}"

    def index(self, row: int) -> str:
        """The last component of an image's id."""
        return str(row)

    @abstractmethod
    def address(self, row: int) -> str:
        """The path or URI of an image's file; if it holds several images, `#` and which one."""

    @property
    def key(self) -> str:
        """32 hexadecimal digits of its values, whatever classes and fields are called."""
        return hex_digest(json.dumps(astuple(self)), 32)  # no two kinds have values of equal types

    @abstractmethod
    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """Read images one after the other: one content per row.

        Args:
            rows: row numbers, ascending; None for all rows.
        """


@dataclass(frozen=True)
class NpzPart(Part):
    """A split of an npz file, read as a stream: only some 16 MiB of pixels are in memory."""

    path: str

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{self.path}#{self.split}/{row}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        wanted = None if rows is None else set(rows.tolist())
        with zipfile.ZipFile(self.path) as archive, archive.open(_member(self.split)) as file:
            shape, _ = _npy_header(file)
            size = int(np.prod(shape[1:]))
            chunk = max(1, _CHUNK // size)
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


@dataclass(frozen=True)
class ParquetPart(Part):
    """A row group of a Parquet file; its image column holds the bytes of files or uint8 pixels."""

    uri: str
    name: str
    group: int
    first: int
    column: str

    def index(self, row: int) -> str:
        """File and row."""
        return f"{self.name}#{self.first + row}"

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{self.uri}#{self.first + row}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        wanted = np.arange(self.count) if rows is None else rows
        with fsspec.open(self.uri) as file:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
            rows_at_once = _rows_at_once(table, self.group, self.column)
            first = 0
            for batch in table.iter_batches(rows_at_once, [self.group], [self.column]):
                here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
                if len(here):
                    yield from _cells(batch.column(0), here)
                first += len(batch)


def list_parts(
    spec: str, size: int = 28, data_root: Path | None = None, image_column: str | None = None
) -> list[Part]:
    """The parts of a source, as a user types it (see the table of this module).

    Args:
        spec: a MedMNIST flag, a path or a URI.
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's npz files; missing ones are downloaded to it.
        image_column: column of Parquet files that holds the images; may be None if only one can.

    Raises:
        MedlabelError: the source does not exist, is empty or damaged, or is of an unknown kind.
    """
    if spec.startswith("phantom:"):
        return _phantom_parts(spec, size)
    if "/" not in spec and not Path(spec).exists() and not spec.endswith((".npz", ".parquet")):
        return _npz_parts(find_npz(spec, size, data_root), spec)
    if spec.endswith(".npz"):
        return _npz_parts(find_npz(spec, size, data_root), source_name(spec))
    return _folder_parts(spec, image_column)


def _phantom_parts(spec: str, size: int) -> list[Part]:
    source = open_source(spec, size)
    return [
        PhantomPart(source.name, split, len(content.images), source.content_hash[:16], spec, size)
        for split, content in source.splits.items()
    ]


def _npz_parts(path: Path, name: str) -> list[Part]:
    if not path.is_file():
        raise MedlabelError(f"{path}: no such file")
    info, parts = path.stat(), []
    stamp = f"{info.st_size}-{info.st_mtime_ns}"
    for split in SPLITS:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(_member(split)) as file:
                shape, dtype = _npy_header(file)
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
            raise MedlabelError(f"{path}: damaged or not in MedMNIST's layout ({error})") from error
        check_pixels(path, split, shape, dtype)
        parts.append(NpzPart(name, split, shape[0], stamp, str(path.absolute())))
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


def _folder_parts(spec: str, column: str | None) -> list[Part]:
    """Parts of a folder, bucket, or single file."""
    try:
        fs, root = fsspec.core.url_to_fs(spec)
        root, found = _find(fs, root)
    except (ImportError, ValueError, OSError) as error:
        raise MedlabelError(f"cannot open {spec}: {error}") from error
    single = set(found) == {root}
    base = root.rsplit("/", 1)[0] if single else root
    names = sorted(path[len(base) :].lstrip("/") for path in found)
    names = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    if not names:
        raise MedlabelError(f"{spec}: no such file or folder, or nothing in it")
    own = Path(root.rstrip("/")).name
    source = own.rsplit(".", 1)[0] if single else own
    where = base if "file" in fs.protocol else fs.unstrip_protocol(base)
    stamps = {name: _stamp(found[f"{base}/{name}"]) for name in names}
    tables = [name for name in names if name.endswith(".parquet")]
    files = [name for name in names if not name.endswith(".parquet")]
    parts: list[Part] = []
    for start in range(0, len(files), FILES):
        chunk = tuple(files[start : start + FILES])
        stamp = hex_digest("".join(stamps[name] for name in chunk), 16)
        parts.append(FilesPart(source, "all", len(chunk), stamp, where, chunk))
    for name in tables:
        parts += _parquet_parts(source, f"{where}/{name}", name, stamps[name], column)
    if not parts:
        raise MedlabelError(f"{spec} holds no images")
    return parts


def _find(fs: Any, root: str) -> tuple[str, dict[str, Any]]:
    """A folder and its files by path; for a pattern, the folder before its first wildcard."""
    wild = re.search(r"[*?[]", root)
    if not wild or fs.exists(root):
        return root, fs.find(root, detail=True)
    fitting = fs.glob(root, detail=True).items()
    files = {path: info for path, info in fitting if info["type"] == "file"}
    return root[: root.rindex("/", 0, wild.start())], files


def _stamp(info: dict[str, Any]) -> str:
    """A digest of those facts of a file, as its store states them, that change with its content."""
    kept = ("size", "mtime", "ETag", "etag", "md5Hash", "crc32c", "LastModified", "created")
    return hex_digest(repr([(key, str(info[key])) for key in kept if key in info]), 16)


def _parquet_parts(
    source: str, uri: str, name: str, stamp: str, column: str | None
) -> Iterator[Part]:
    try:
        with fsspec.open(uri) as file:
            footer = pq.ParquetFile(file)
            groups = [footer.metadata.row_group(g).num_rows for g in range(footer.num_row_groups)]
            column = _image_column(footer.schema_arrow, column)
    except (pa.ArrowException, OSError) as error:
        raise MedlabelError(
            f"{uri} is not an intact Parquet file: {error}".splitlines()[0]
        ) from error
    except KeyError as error:
        raise MedlabelError(f"{uri}: {error.args[0]}; name one with --image-column") from error
    firsts = np.cumsum([0, *groups])
    for group, count in enumerate(groups):
        if not count:
            continue
        yield ParquetPart(source, "all", count, stamp, uri, name, group, int(firsts[group]), column)


def _image_column(schema: pa.Schema, named: str | None) -> str:
    """The column that the user named; else `image`; else the only one that can hold images."""
    able = [field.name for field in schema if _holds_images(field.type)]
    name = named or ("image" if "image" in schema.names else able[0] if len(able) == 1 else None)
    if name is None:
        raise KeyError(f"{len(able)} columns could hold the images ({', '.join(schema.names)})")
    if name not in schema.names:
        raise KeyError(f"there is no column {name!r} ({', '.join(schema.names)})")
    if name not in able:
        raise KeyError(f"column {name!r} holds {schema.field(name).type}, not images")
    return str(name)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tensor = isinstance(kind, pa.BaseExtensionType)
    nested = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if nested:
        kind = kind.field("bytes").type
    return tensor or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _rows_at_once(table: pq.ParquetFile, group: int, column: str) -> int:
    """The number of rows of a group to read at a time: their images take about `_CHUNK` bytes."""
    kind, facts = table.schema_arrow.field(column).type, table.metadata.row_group(group)
    if isinstance(kind, pa.FixedShapeTensorType):
        size = int(np.prod(kind.shape))
    else:
        size = facts.total_byte_size // max(1, facts.num_rows)
    return max(1, min(_MAX_ROWS, _CHUNK // max(1, size)))


def _cells(column: pa.Array, rows: NDArray[np.integer]) -> Iterator[Content]:
    """The contents of some rows of an image column."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    pixels = None
    if isinstance(column, pa.FixedShapeTensorArray) and not column.null_count:
        pixels = column.to_numpy_ndarray()  # all at once: many times faster than cell by cell
    for row in rows.tolist():
        yield _cell(column[row]) if pixels is None else _checked(pixels[row])


def _cell(value: Any) -> Content:
    """The content of a cell of an image column: bytes, a struct with bytes, or a tensor."""
    if isinstance(value, pa.StructScalar):
        value = value["bytes"]
    if isinstance(value, pa.BinaryScalar | pa.LargeBinaryScalar):
        return value.as_py() if value.is_valid else ImageError(Fault.DAMAGED, "an empty cell")
    if not value.is_valid:
        return ImageError(Fault.DAMAGED, "an empty cell")
    return _checked(np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value.as_py()))


def _checked(pixels: NDArray[Any]) -> Content:
    """The pixels of a tensor, uint8 [H, W] or [H, W, 3], or the reason why it is not an image."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim in (2, 3) and pixels.shape[2:] in ((), (3,))
    if pixels.dtype != np.uint8 or not fits or not pixels.size:
        reason = f"pixels are {pixels.dtype}{list(pixels.shape)}, not uint8 [H, W] or [H, W, 3]"
        return ImageError(Fault.UNSUPPORTED, reason)
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        return ImageError(Fault.TOO_LARGE, f"{pixels.shape[1]}x{pixels.shape[0]} pixels")
    return pixels

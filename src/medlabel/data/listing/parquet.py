"""Parts of Parquet files with an image column: their row groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.data.decoding import MAX_PIXELS, Fault, ImageError
from medlabel.data.listing.folder import Folder
from medlabel.data.listing.parts import CHUNK, Content, Part, all_rows
from medlabel.storage.addresses import escaped
from medlabel.storage.digests import hex_digest

_MAX_ROWS = 256  # read at a time, however small


@dataclass(frozen=True)
class ParquetPart(Part):
    """A row group of a Parquet file; its image column holds the bytes of files or uint8 pixels."""

    root: str
    name: str
    group: int
    first: int
    column: str

    def stamp(self, row: int) -> str:
        """See `Part.stamp`; another column of the same file holds other images."""
        return hex_digest(f"{self.fingerprint} {self.column}", 16)

    def index(self, row: int) -> str:
        """File and row."""
        return f"{escaped(self.name)}#{self.first + row}"

    @property
    def folder(self) -> str:
        """See `Part.folder`."""
        return escaped(self.root)

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return f"{escaped(f'{self.root}/{self.name}')}#{self.first + row}"

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        wanted = np.arange(self.count) if rows is None else rows
        return all_rows(self._read(wanted), len(wanted), "a damaged Parquet file")

    def _read(self, wanted: NDArray[np.integer]) -> Iterator[Content]:
        with Folder(self.root).open(self.name) as file:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
            rows_at_once = _rows_at_once(table, self.group, self.column)
            first = 0
            for batch in table.iter_batches(rows_at_once, [self.group], [self.column]):
                here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
                if len(here):
                    yield from _cells(batch.column(0), here)
                first += len(batch)


def parquet_parts(
    source: str, root: str, name: str, stamp: str, column: str | None
) -> Iterator[Part]:
    """The row groups of a file, given the path or URI of its folder and its path in that.

    Raises:
        ImageError: it is damaged, or has no column of images.
    """
    try:
        with Folder(root).open(name) as file:
            footer = pq.ParquetFile(file)
            groups = [footer.metadata.row_group(g).num_rows for g in range(footer.num_row_groups)]
            column = _image_column(footer.schema_arrow, column)
    except (pa.ArrowException, OSError) as error:
        reason = f"not an intact Parquet file: {error}".splitlines()[0]
        raise ImageError(Fault.DAMAGED, reason) from error
    except KeyError as error:
        reason = f"{error.args[0]}; name one with --image-column"
        raise ImageError(Fault.UNSUPPORTED, reason) from error
    firsts = np.cumsum([0, *groups])
    for group, count in enumerate(groups):
        if count:
            first = int(firsts[group])
            yield ParquetPart(source, "all", count, stamp, root, name, group, first, column)


def is_parquet(name: str) -> bool:
    """Whether a file is a Parquet file by its name, in capitals or not."""
    return name.lower().endswith(".parquet")


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
    """The number of rows of a group to read at a time: their images take about `CHUNK` bytes."""
    kind, facts = table.schema_arrow.field(column).type, table.metadata.row_group(group)
    if isinstance(kind, pa.FixedShapeTensorType):
        size = int(np.prod(kind.shape))
    else:
        size = facts.total_byte_size // max(1, facts.num_rows)
    return max(1, min(_MAX_ROWS, CHUNK // max(1, size)))


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

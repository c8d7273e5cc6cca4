"""Find which images have no embedding yet, and read and decode those, in shards.

There are two ways to do so:

- A catalogue holds the digests of all images of a part. `missing_rows` compares catalogues with the
  embedding table, and `read_shards` reads the missing images. This takes two reads per image, and
  no image that several parts hold is encoded twice.
- `read_pool` reads each image once. It computes the digest, and decodes the image for the teacher
  (unless the table has its embedding) and for the student. The images should be so few that what
  the student sees of them fits in memory: a pool that was sampled.

Shards are cut part by part, in the order of rows, and written whole. A job that was stopped has
lost whole shards, and the next one cuts the remaining rows in the same way, so every embedding is
the same, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.framing import CentreSquare, Framing
from medlabel.data.listing import UNREADABLE, Content, Part, decoded, digest_of, pixels_of
from medlabel.storage.digests import Digests, to_digests
from medlabel.storage.store import Store, checked_stem
from medlabel.teacher.embeddings import SHARD_SIZE, Contents, Shard

__all__ = [
    "Catalogue",
    "CatalogueStore",
    "PoolShard",
    "RawShard",
    "catalogue",
    "framed",
    "missing_rows",
    "read_pool",
    "read_shards",
]

_UNRESIZED = (28, 64, 128, 224)  # sides in pixels of images that the encoder resizes, in batches
_MAX_ASPECT_RATIO = 32
_MAX_SHARD_BYTES = 2**26
_NO_DIGEST = bytes(16)


@dataclass(frozen=True)
class Catalogue:
    """The digests of the N images of a part.

    Attributes:
        digests: `S16` [N]; zeros where an image could not be read.
        reasons: N; why an image could not be read, else None.
    """

    digests: Digests
    reasons: tuple[str | None, ...]

    @property
    def final(self) -> bool:
        """Whether reading the same files again would give the same: each could be read."""
        return not any((reason or "").startswith(UNREADABLE) for reason in self.reasons)

    def to_parquet(self) -> bytes:
        """The bytes of a Parquet file with the columns `digest` (hexadecimal) and `reason`."""
        buffer = BytesIO()
        digests = [digest.ljust(16, b"\0").hex() for digest in self.digests.tolist()]
        frame = pd.DataFrame({"digest": digests, "reason": pd.Series(self.reasons, dtype=object)})
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> "Catalogue":
        """The catalogue whose bytes `to_parquet` returned."""
        frame = pd.read_parquet(BytesIO(data))
        reasons = [reason if isinstance(reason, str) else None for reason in frame["reason"]]
        digests = to_digests([bytes.fromhex(digest) for digest in frame["digest"]])
        return cls(digests, tuple(reasons))


class CatalogueStore:
    """A folder of catalogues, one checked file per part (see `Store.write_checked`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, part: Part, entry: Catalogue) -> None:
        """Write the catalogue of a part."""
        self._store.write_checked(part.key, ".parquet", entry.to_parquet())

    def read(self, parts: Sequence[Part], *, final: bool = True) -> dict[str, Catalogue]:
        """The catalogues of these parts, by the keys of the parts. Damaged files are removed.

        Args:
            parts: the parts whose catalogues to read.
            final: whether to remove those of parts in which an image could not be read, too, so
                that these parts are read again.
        """
        wanted, found = {part.key: part for part in parts}, dict[str, Catalogue]()
        for name in self._store.list("*.parquet"):
            key = checked_stem(name)
            if key not in wanted:
                continue
            data = self._store.read_checked(name)
            entry = None if data is None else Catalogue.from_parquet(data)
            again = final and not wanted[key].is_rejected  # nobody has tried to read these
            if entry is None or (again and not entry.final):
                self._store.remove(name)
            else:
                found[key] = entry
        return found


def catalogue(part: Part) -> Catalogue:
    """Read all images of a part and compute their digests, without decoding them."""
    digests: list[bytes] = []
    reasons: list[str | None] = []
    for content in part.read():
        if isinstance(content, ImageError):
            digests.append(_NO_DIGEST)
            reasons.append(content.reason)
        else:
            digests.append(digest_of(content))
            reasons.append(None)
    return Catalogue(to_digests(digests), tuple(reasons))


def missing_rows(
    catalogues: Sequence[Catalogue], contents: Contents
) -> tuple[list[NDArray[np.int64]], int]:
    """The rows to encode of each part, and the number of distinct contents in all parts.

    Of equal images only the first is encoded, and none whose content the table already has.
    """
    digests = np.concatenate([entry.digests for entry in catalogues])
    readable = np.array([reason is None for entry in catalogues for reason in entry.reasons])
    rows = np.flatnonzero(readable)
    _, first = np.unique(digests[rows], return_index=True)
    missing = np.sort(rows[first])
    missing = missing[contents.find(digests[missing]) < 0]
    ends = np.cumsum([len(entry.digests) for entry in catalogues])
    cuts = np.split(missing, np.searchsorted(missing, ends[:-1]))
    return [cut - start for cut, start in zip(cuts, [0, *ends[:-1]], strict=True)], len(first)


@dataclass(frozen=True)
class RawShard:
    """Decoded images, and the digests of those that could not be decoded.

    Attributes:
        stacks: uint8 [N, S, S] or [N, S, S, 3], one array per side S.
        digests: of the decoded images, stack by stack.
        rejected: digests of the images that could not be decoded.
        reasons: why not, one per rejected image.
        own_range: how many of the decoded images were scaled by their own range of values
            (`medlabel.data.decoding.Decoded`).
    """

    stacks: tuple[NDArray[np.uint8], ...]
    digests: Digests
    rejected: Digests
    reasons: tuple[str, ...]
    own_range: int = 0

    def __len__(self) -> int:
        """Number of images, decoded or rejected."""
        return len(self.digests) + len(self.rejected)

    def embedded(self, embeddings: NDArray[np.floating]) -> Shard:
        """The shard to write to the table, given `embeddings` [N, D] of the decoded images."""
        empty = np.zeros((len(self.rejected), embeddings.shape[1]), dtype=np.float16)
        return Shard(
            np.concatenate([self.digests, self.rejected]),
            np.concatenate([embeddings.astype(np.float16), empty]),
            (*[None] * len(self.digests), *self.reasons),
        )


def read_shards(
    part: Part, rows: NDArray[np.integer], framing: Framing, size: int = SHARD_SIZE
) -> Iterator[RawShard]:
    """Read and decode some rows of a part, and yield them as shards.

    A shard ends after `size` rows, or as soon as its pixels take 64 MiB.
    """
    shard = _ShardBuilder(framing)
    for content in part.read(rows):
        shard.read += 1
        if not isinstance(content, ImageError):  # it was readable when the catalogue was made
            shard.add(digest_of(content), content)
        if shard.is_full(size):
            yield shard.build()
            shard = _ShardBuilder(framing)
    if shard.read:
        yield shard.build()


@dataclass(frozen=True)
class PoolShard:
    """Images of a part, each read and decoded once, for the teacher and for the student.

    Attributes:
        read: number of images that were read, decoded or not.
        new: the images whose embeddings the table does not have.
        rows: int64 [N], the rows of the part that could be decoded, ascending.
        digests: of these N images.
        squares: uint8 [N, S, S] or [N, S, S, 3], these N images as the student sees them.
    """

    read: int
    new: RawShard
    rows: NDArray[np.int64]
    digests: Digests
    squares: NDArray[np.uint8]


def read_pool(
    part: Part,
    rows: NDArray[np.integer],
    framing: Framing,
    square: CentreSquare,
    known: Contents,
    size: int = SHARD_SIZE,
) -> Iterator[PoolShard]:
    """Read and decode some rows of a part once, and yield them as shards.

    A row that cannot be read or decoded is left out. A shard ends after `size` rows, or as soon as
    the pixels for the teacher take 64 MiB.

    Args:
        part: the part.
        rows: row numbers, ascending.
        framing: how an image becomes what the teacher sees.
        square: how an image becomes what the student sees.
        known: what the embedding table has; such images are decoded for the student only.
        size: the most rows per shard.
    """
    seen = set[bytes]()
    shard = _PoolBuilder(framing, square)
    for row, content in zip(rows.tolist(), part.read(rows), strict=True):
        shard.new.read += 1
        if not isinstance(content, ImageError):
            digest = digest_of(content)
            is_new = digest not in seen and known.find(to_digests([digest]))[0] < 0
            shard.add(row, digest, content, is_new)
            seen.add(digest)
        if shard.new.is_full(size):
            yield shard.build()
            shard = _PoolBuilder(framing, square)
    if shard.new.read:
        yield shard.build()


class _ShardBuilder:
    """Collects the images of a shard.

    Attributes:
        read: number of images that were read so far.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._images: dict[int, list[tuple[bytes, NDArray[np.uint8]]]] = {}
        self._rejected: list[tuple[bytes, str]] = []
        self._bytes = self._own_range = self.read = 0

    def add(self, digest: bytes, content: Content) -> None:
        """Add an image, or the reason why it cannot be decoded or framed."""
        try:
            found = decoded(content)
            image = framed(found.pixels, self._framing)
        except ImageError as error:
            self._rejected.append((digest, error.reason))
            return
        self._images.setdefault(len(image), []).append((digest, image))
        self._bytes += image.nbytes
        self._own_range += found.own_range

    def is_full(self, size: int) -> bool:
        """Whether `size` images were read, or their pixels take as much memory as a shard may."""
        return self.read == size or self._bytes >= _MAX_SHARD_BYTES

    def build(self) -> RawShard:
        return RawShard(
            tuple(_stack([image for _, image in some]) for some in self._images.values()),
            to_digests([digest for some in self._images.values() for digest, _ in some]),
            to_digests([digest for digest, _ in self._rejected]),
            tuple(reason for _, reason in self._rejected),
            self._own_range,
        )


class _PoolBuilder:
    """Collects the images of a `PoolShard`."""

    def __init__(self, framing: Framing, square: CentreSquare) -> None:
        self.new = _ShardBuilder(framing)
        self._square = square
        self._rows: list[int] = []
        self._digests: list[bytes] = []
        self._squares: list[NDArray[np.uint8]] = []

    def add(self, row: int, digest: bytes, content: Content, is_new: bool) -> None:
        """Decode an image and add it for the student and, if it is new, for the teacher."""
        try:
            content = pixels_of(content)
        except ImageError as error:
            content = error
        if is_new:
            self.new.add(digest, content)
        if isinstance(content, np.ndarray):
            self._rows.append(row)
            self._digests.append(digest)
            self._squares.append(self._square(content))

    def build(self) -> PoolShard:
        squares = np.array(self._squares, dtype=np.uint8).reshape(-1, *self._square.shape)
        return PoolShard(
            self.new.read,
            self.new.build(),
            np.array(self._rows, dtype=np.int64),
            to_digests(self._digests),
            squares,
        )


def framed(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """The image itself if its size is one of MedMNIST's, else resized to what the model sees.

    The result must not depend on other images of the shard, or else the embedding would.
    """
    height, width = image.shape[:2]
    if not 0 < max(height, width) <= _MAX_ASPECT_RATIO * min(height, width):
        raise ImageError(Fault.UNSUITABLE, f"{width}x{height} pixels: too long and thin to frame")
    return image if height == width and height in _UNRESIZED else framing(image)


def _stack(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One array of images of the same side, in colour if any of them is."""
    if len({image.ndim for image in images}) > 1:
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    return np.stack(images)

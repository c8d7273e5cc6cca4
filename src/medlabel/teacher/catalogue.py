"""What of some parts is still to be encoded, and those images read, decoded and cut into shards.

Shards are cut from what is missing, part by part, in order, and written whole. So a run that was
stopped leaves out whole shards, and the next one (same options, same kind of cluster) cuts the rest
just as the first would have done: every embedding comes out the same, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.framing import Framing
from medlabel.data.listing import UNREADABLE, Content, Part, digest_of, pixels_of
from medlabel.storage.digests import Digests, to_digests
from medlabel.storage.store import Store, checked_stem
from medlabel.teacher.embeddings import SHARD_SIZE, Contents, Shard

__all__ = ["Catalogue", "CatalogueStore", "RawShard", "catalogue", "missing_rows", "read_shards"]

_AS_IS = (28, 64, 128, 224)  # sides that the encoder resizes itself, a batch at once
_LONGEST = 32  # times as long as wide
_LARGEST_SHARD = 2**26  # bytes
_NOTHING = bytes(16)


@dataclass(frozen=True)
class Catalogue:
    """The digests of a part's images [N]; where one could not be read, the reason instead."""

    digests: Digests
    reasons: tuple[str | None, ...]

    @property
    def final(self) -> bool:
        """Whether another look at the same files would find the same: nothing was unreadable."""
        return not any((reason or "").startswith(UNREADABLE) for reason in self.reasons)

    def only(self, rows: NDArray[np.int64]) -> "Catalogue":
        """The same part with all other images left out, so that nobody encodes them."""
        wanted = set(rows.tolist())
        reasons = enumerate(self.reasons)
        return Catalogue(
            self.digests,
            tuple(reason if row in wanted else "not wanted" for row, reason in reasons),
        )

    def to_parquet(self) -> bytes:
        """As a file of columns `digest` (hex) and `reason`."""
        buffer = BytesIO()
        digests = [digest.ljust(16, b"\0").hex() for digest in self.digests.tolist()]
        frame = pd.DataFrame({"digest": digests, "reason": pd.Series(self.reasons, dtype=object)})
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> "Catalogue":
        """Read what `to_parquet` wrote."""
        frame = pd.read_parquet(BytesIO(data))
        reasons = [reason if isinstance(reason, str) else None for reason in frame["reason"]]
        digests = to_digests([bytes.fromhex(digest) for digest in frame["digest"]])
        return cls(digests, tuple(reasons))


class CatalogueStore:
    """Catalogues in a folder, one checked file per part (see `Store.write_checked`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, part: Part, entry: Catalogue) -> None:
        """Keep the catalogue of a part."""
        self._store.write_checked(part.key, ".parquet", entry.to_parquet())

    def read(self, parts: Sequence[Part], *, final: bool = True) -> dict[str, Catalogue]:
        """What there is of these parts, by key; the damaged, and all but the final, are removed.

        Args:
            parts: whose catalogues are wanted.
            final: whether those are removed too in which something could not be read.
        """
        wanted, found = {part.key for part in parts}, dict[str, Catalogue]()
        for name in self._store.list("*.parquet"):
            key = checked_stem(name)
            if key not in wanted:
                continue
            data = self._store.read_checked(name)
            entry = None if data is None else Catalogue.from_parquet(data)
            if entry is None or (final and not entry.final):
                self._store.remove(name)
            else:
                found[key] = entry
        return found


def catalogue(part: Part) -> Catalogue:
    """Read all of a part, decode nothing, and note what each image's content is."""
    digests: list[bytes] = []
    reasons: list[str | None] = []
    for content in part.read():
        if isinstance(content, ImageError):
            digests.append(_NOTHING)
            reasons.append(content.reason)
        else:
            digests.append(digest_of(content))
            reasons.append(None)
    return Catalogue(to_digests(digests), tuple(reasons))


def missing_rows(
    catalogues: Sequence[Catalogue], contents: Contents
) -> tuple[list[NDArray[np.int64]], int]:
    """Rows to encode, a part; and the number of distinct contents in all parts.

    Of equal images the first is encoded, and none whose content the table has already.
    """
    digests = np.concatenate([entry.digests for entry in catalogues])
    readable = np.array([reason is None for entry in catalogues for reason in entry.reasons])
    rows = np.flatnonzero(readable)
    _, first = np.unique(digests[rows], return_index=True)
    wanted = np.sort(rows[first])
    wanted = wanted[contents.find(digests[wanted]) < 0]
    ends = np.cumsum([len(entry.digests) for entry in catalogues])
    cuts = np.split(wanted, np.searchsorted(wanted, ends[:-1]))
    return [cut - start for cut, start in zip(cuts, [0, *ends[:-1]], strict=True)], len(first)


@dataclass(frozen=True)
class RawShard:
    """Decoded images, and what could not be decoded.

    Attributes:
        stacks: uint8 [N, S, S] or [N, S, S, 3], one for each side S.
        digests: of the images, stack by stack.
        rejected: of what could not be decoded; `reasons` says why.
    """

    stacks: tuple[NDArray[np.uint8], ...]
    digests: Digests
    rejected: Digests
    reasons: tuple[str, ...]

    def embedded(self, embeddings: NDArray[np.floating]) -> Shard:
        """The shard that the table keeps, with `embeddings` [N, D] of the images."""
        empty = np.zeros((len(self.rejected), embeddings.shape[1]), dtype=np.float16)
        return Shard(
            np.concatenate([self.digests, self.rejected]),
            np.concatenate([embeddings.astype(np.float16), empty]),
            (*[None] * len(self.digests), *self.reasons),
        )


def read_shards(
    part: Part, rows: NDArray[np.integer], framing: Framing, size: int = SHARD_SIZE
) -> Iterator[RawShard]:
    """Read and decode some rows of a part, and give them in shards.

    A shard ends with its `size`-th row, or as soon as its pixels are 64 MiB.
    """
    shard = _ShardBuilder(framing)
    for content in part.read(rows):
        shard.add(content)
        if shard.rows == size or shard.bytes >= _LARGEST_SHARD:
            yield shard.whole()
            shard = _ShardBuilder(framing)
    if shard.rows:
        yield shard.whole()


class _ShardBuilder:
    """A shard that is being read."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._images: dict[int, list[tuple[bytes, NDArray[np.uint8]]]] = {}
        self._rejected: list[tuple[bytes, str]] = []
        self.rows = self.bytes = 0

    def add(self, content: Content) -> None:
        self.rows += 1
        if isinstance(content, ImageError):  # it was there when the catalogue was made
            return
        try:
            image = _square(pixels_of(content), self._framing)
        except ImageError as error:
            self._rejected.append((digest_of(content), error.reason))
            return
        self._images.setdefault(len(image), []).append((digest_of(content), image))
        self.bytes += image.nbytes

    def whole(self) -> RawShard:
        return RawShard(
            tuple(_stack([image for _, image in some]) for some in self._images.values()),
            to_digests([digest for some in self._images.values() for digest, _ in some]),
            to_digests([digest for digest, _ in self._rejected]),
            tuple(reason for _, reason in self._rejected),
        )


def _square(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """The image itself if it is of MedMNIST's sizes, else as the model would see it.

    It must not depend on the images around it, or its embedding would.
    """
    height, width = image.shape[:2]
    if not 0 < max(height, width) <= _LONGEST * min(height, width):  # or framing makes it huge
        raise ImageError(Fault.UNSUITABLE, f"{width}x{height} pixels: too long and thin to frame")
    return image if height == width and height in _AS_IS else framing(image)


def _stack(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One array of images of one side, in colour if any is."""
    if len({image.ndim for image in images}) > 1:
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    return np.stack(images)

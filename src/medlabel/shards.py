"""What of some parts is still to be encoded, and those images read, decoded and cut into shards.

Shards are cut from what is missing, part by part, in order, and written whole. So a run that was
stopped leaves out whole shards, and the next one cuts the rest just as the first would have done:
the same images meet in a batch, and every embedding comes out the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.embeddings import SHARD, Contents, Digests, Shard, to_digests
from medlabel.framing import Framing
from medlabel.images import ImageError, decode_image
from medlabel.listing import Content, Part, digest_of

__all__ = ["Catalogue", "RawShard", "catalogue", "missing_rows", "read_shards"]

_LARGEST_AS_IS = 256  # pixels; a shard of such images in colour is 100 MB
_NOTHING = bytes(16)


@dataclass(frozen=True)
class Catalogue:
    """The digests of a part's images [N]; where one could not be read, the reason instead."""

    digests: Digests
    reasons: tuple[str | None, ...]

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
    """Decoded images of one shape, uint8 [N, S, S] or [N, S, S, 3], and what could not be."""

    digests: Digests
    images: NDArray[np.uint8]
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
    part: Part, rows: NDArray[np.integer], framing: Framing, size: int = SHARD
) -> Iterator[RawShard]:
    """Read and decode some rows of a part, and give them in shards of at most `size`."""
    contents = part.read(rows)
    for start in range(0, len(rows), size):
        count = min(size, len(rows) - start)
        yield _decode([next(contents) for _ in range(count)], framing)


def _decode(contents: Sequence[Content], framing: Framing) -> RawShard:
    digests, images, rejected, reasons = [], [], [], []
    for content in contents:
        if isinstance(content, ImageError):  # it was there when the catalogue was made
            continue
        digest = digest_of(content)
        try:
            pixels = decode_image(content) if isinstance(content, bytes) else content
            images.append(_bounded(pixels, framing))
            digests.append(digest)
        except ImageError as error:
            rejected.append(digest)
            reasons.append(error.reason)
    return RawShard(
        to_digests(digests), _stack(images, framing), to_digests(rejected), tuple(reasons)
    )


def _bounded(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """The image itself if it is square and not large; else as the model would see it."""
    square = image.shape[0] == image.shape[1] <= _LARGEST_AS_IS
    return image if square else framing(image)


def _stack(images: Sequence[NDArray[np.uint8]], framing: Framing) -> NDArray[np.uint8]:
    """One array of all: of one size, and in colour if any is."""
    if not images:
        return np.zeros((0, framing.size, framing.size), dtype=np.uint8)
    if len({image.shape[0] for image in images}) > 1:
        images = [framing(image) for image in images]
    if len({image.ndim for image in images}) > 1:
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    return np.stack(images)

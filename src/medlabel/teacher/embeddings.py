"""The embedding table: each distinct image is encoded only once for each model.

The table is a folder of Parquet files per model, `model=KEY/shard-DIGESTS-CHECKSUM.parquet`. A row
is one distinct content (an image or, in a table of its own, a caption) with its digest and either
its embedding or the reason why it was rejected. So sources with the same image share a row, a
changed file never gets the embedding of its old content, and a growing folder costs only what is
new in it.

Shards are written atomically, and their names have a checksum. A damaged shard is removed when it
is read, and its contents count as missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.storage.digests import DIGEST_BYTES, Digests, digest_bytes, hex_digest, to_digests
from medlabel.storage.store import Store

__all__ = [
    "SHARD_SIZE",
    "Contents",
    "EmbeddingTable",
    "Shard",
    "embed_captions",
]

SHARD_SIZE = 2048  # images per shard at most: what a killed job may lose


@dataclass(frozen=True)
class Shard:
    """Embeddings of N distinct contents, or the reasons why they have none.

    Attributes:
        digests: of the contents, `S16` [N].
        embeddings: [N, D], float16 for images and float32 for captions; zero for rejects.
        reasons: why a content was rejected, or None.
    """

    digests: Digests
    embeddings: NDArray[np.floating]
    reasons: tuple[str | None, ...]


@dataclass(frozen=True)
class Contents:
    """Index of the contents of the table.

    Attributes:
        names: file names of the shards.
        digests: sorted digests of all contents, `S16` [M].
        shards: number of the shard of each content, int32 [M].
        rows: row of each content in its shard, int32 [M].
    """

    names: tuple[str, ...] = ()
    digests: Digests = field(default_factory=lambda: to_digests([]))
    shards: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    rows: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def find(self, digests: Digests) -> NDArray[np.int64]:
        """Return the position of each digest in the index, int64 [N]; -1 if it is missing."""
        if not len(self.digests):
            return np.full(len(digests), -1)
        at = np.searchsorted(self.digests, digests).clip(max=len(self.digests) - 1)
        return np.where(self.digests[at] == digests, at, -1)


class EmbeddingTable:
    """The embeddings of one model, identified by `Clip.key`."""

    def __init__(self, store: Store, model_key: str) -> None:
        self._store = store / f"model={model_key}"

    @property
    def uri(self) -> str:
        """The folder of this model's shards."""
        return self._store.uri

    def contents(self) -> Contents:
        """Read the index; damaged shards are removed. It takes 24 bytes of memory per image."""
        names: list[str] = []
        digests, shards, rows = [], [], []
        for name in self._store.list("shard-*.parquet"):
            shard = self._read(name)
            if shard is None:
                self._store.remove(name)
                continue
            digests.append(shard.digests)
            shards.append(np.full(len(shard.digests), len(names), dtype=np.int32))
            rows.append(np.arange(len(shard.digests), dtype=np.int32))
            names.append(name)
        if not names:
            return Contents()
        unique, first = np.unique(np.concatenate(digests), return_index=True)
        return Contents(
            tuple(names), unique, np.concatenate(shards)[first], np.concatenate(rows)[first]
        )

    def gather(self, contents: Contents, digests: Digests) -> Shard:
        """Return the rows of some digests, in their order, reading one shard at a time.

        Raises:
            MedlabelError: a digest is not in the index.
        """
        at = contents.find(digests)
        if (at < 0).any():
            raise MedlabelError(f"{self.uri} has lost {(at < 0).sum()} images: run again")
        parts, reasons = {}, np.empty(len(digests), dtype=object)
        for number in np.unique(contents.shards[at]):
            shard = self._read(contents.names[number])
            assert shard is not None, "it was whole when the contents were read"
            mine = np.flatnonzero(contents.shards[at] == number)
            rows = contents.rows[at[mine]]
            parts[int(number)] = (mine, shard.embeddings[rows])
            reasons[mine] = [shard.reasons[row] for row in rows]
        width = max((part.shape[1] for _, part in parts.values()), default=0)
        kind = np.result_type(np.float16, *{part.dtype for _, part in parts.values()})
        embeddings = np.zeros((len(digests), width), dtype=kind)
        for mine, part in parts.values():
            embeddings[mine, : part.shape[1]] = part
        return Shard(digests, embeddings, tuple(reasons))

    def write(self, shard: Shard) -> None:
        """Write a shard atomically. Equal contents have the same file name."""
        contents = hex_digest(shard.digests.tobytes(), 16)
        self._store.write_checked(f"shard-{contents}", ".parquet", _to_parquet(shard))

    def _read(self, name: str) -> Shard | None:
        """Read a shard; return None if it was damaged after it was written."""
        data = self._store.read_checked(name)
        return None if data is None else _from_parquet(data)


def embed_captions(
    table: EmbeddingTable,
    captions: Sequence[str],
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return the embeddings of K captions, float32 [K, D], from the table if possible.

    Args:
        table: that of the captions of a model; new embeddings are added to it.
        captions: the texts.
        embed: maps captions to embeddings; called for those that the table lacks.
    """
    digests = to_digests([digest_bytes(caption.encode()) for caption in captions])
    missing = np.flatnonzero(table.contents().find(digests) < 0)
    if len(missing):
        new = embed([captions[row] for row in missing.tolist()])
        table.write(Shard(digests[missing], new, (None,) * len(missing)))
    return np.asarray(table.gather(table.contents(), digests).embeddings, dtype=np.float32)


def _to_parquet(shard: Shard) -> bytes:
    count, width = shard.embeddings.shape
    table = pa.table(
        {
            "digest": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(DIGEST_BYTES), count, [None, pa.py_buffer(shard.digests.tobytes())]
            ),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(shard.embeddings.ravel()), width
            ),
            "reason": pa.array(shard.reasons, pa.string()),
        }
    )
    buffer = BytesIO()
    # Embeddings do not compress.
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


def _from_parquet(data: bytes) -> Shard:
    table = pq.read_table(BytesIO(data))
    width = table.schema.field("embedding").type.list_size
    flat = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Shard(
        to_digests(table.column("digest").to_pylist()),
        flat.reshape(len(table), width),
        tuple(table.column("reason").to_pylist()),
    )

"""The pool that `label` samples from the sources: read once, for the teacher and the student.

Rows are sampled from the parts' counts, before any image is read. With Ray Data, readers decode the
sampled images and encoders embed those that the embedding table does not have; what the student
sees of them comes back to the driver from the same read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import ray
from numpy.typing import NDArray
from ray.data import TaskPoolStrategy

from medlabel.data.framing import CentreSquare, grey_if_possible
from medlabel.data.listing import Part
from medlabel.errors import MedlabelError
from medlabel.storage.digests import Digests
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.teacher.clip import Clip
from medlabel.teacher.embeddings import EmbeddingTable
from rayjobs.embed import Encoder, count_shards, map_encoders, shard_size
from rayjobs.image_pipeline import (
    READER_CPUS,
    Replicas,
    cluster_cpus,
    finished_rows,
    one_block_per_item,
    one_block_per_row,
)
from rayjobs.image_reading import read_pooled

__all__ = ["Pool", "embed_pool", "sample_rows"]


@dataclass(frozen=True)
class Pool:
    """The N images of a pool that could be decoded and embedded, in the order of the sources.

    Attributes:
        images: as the student sees them, uint8 [N, S, S], or [N, S, S, 3] if any is in colour.
        digests: of their contents, `S16` [N].
        embeddings: by the teacher, float16 [N, D].
    """

    images: NDArray[np.uint8]
    digests: Digests
    embeddings: NDArray[np.floating]


def sample_rows(counts: Sequence[int], size: int, seed: int) -> list[NDArray[np.int64]]:
    """Sample `size` images, or all if there are fewer, at random without replacement.

    Args:
        counts: images of each part.
        size: of the sample.
        seed: of the random generator.

    Returns:
        The rows of each part, ascending.

    Examples:
        >>> [rows.tolist() for rows in sample_rows([3, 4], 4, seed=0)]
        [[2], [0, 1, 3]]
    """
    ends = np.cumsum(counts)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(int(ends[-1]))[:size])
    cuts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [cut - start for cut, start in zip(cuts, [0, *ends[:-1]], strict=True)]


def embed_pool(
    parts: Sequence[Part],
    rows: Sequence[NDArray[np.int64]],
    clip: Clip,
    table: EmbeddingTable,
    side: int,
    replicas: Replicas,
    on_progress: StageProgress = ignore_progress,
) -> Pool:
    """Read each image of a pool once, and embed those that the table does not have.

    An image that cannot be read, decoded or framed is left out, and no other takes its place: which
    images are sampled must not depend on which files can be read today.

    Args:
        parts: all parts of the sources.
        rows: of the pool, per part.
        clip: the teacher.
        table: its embeddings; the new ones are added.
        side: of the student's images, in pixels.
        replicas: how the encoders are placed on the cluster.
        on_progress: called with the number of images that were read.

    Raises:
        MedlabelError: no image can be decoded, or a worker failed.
    """
    square = CentreSquare(side, 3)
    sampled = any(len(mine) for mine in rows)
    found = _read(parts, rows, clip, table, square, replicas, on_progress) if sampled else []
    found.sort(key=lambda row: (row["number"], _first(row)))
    digests = np.frombuffer(b"".join(row["pool_digests"] for row in found), dtype="S16")
    if not len(digests):
        raise MedlabelError("none of the images can be decoded: see medlabel embed for the reasons")
    flat = np.frombuffer(b"".join(row["pool_squares"] for row in found), dtype=np.uint8)
    images = grey_if_possible(flat.reshape(-1, *square.shape))
    shard = table.gather(table.contents(), digests)
    framed = np.array([reason is None for reason in shard.reasons])  # others: too long and thin
    return Pool(images[framed], digests[framed], shard.embeddings[framed])


class _PoolEncoder(Encoder):
    """An encoder that also hands the student's images on to the driver."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Embed and write the new images of a shard; returns what the driver needs of all."""
        super().__call__(row)
        names = ("number", "images", "pool_rows", "pool_digests", "pool_squares")
        return {name: row[name] for name in names}


def _read(
    parts: Sequence[Part],
    rows: Sequence[NDArray[np.int64]],
    clip: Clip,
    table: EmbeddingTable,
    square: CentreSquare,
    replicas: Replicas,
    on_progress: StageProgress,
) -> list[dict[str, Any]]:
    """Run readers and encoders; what `_PoolEncoder` returns of each shard, in any order."""
    items: list[dict[str, Any]] = [
        {"number": number, "part": part, "rows": mine}
        for number, (part, mine) in enumerate(zip(parts, rows, strict=True))
        if len(mine)
    ]
    size = shard_size(clip, replicas.fitted(shards=1)[1])
    fitted = replicas.fitted(count_shards(rows, size))
    reading = {
        "framing": clip.framing,
        "square": square,
        "known": [ray.put(table.contents())],
        "size": size,
    }
    with one_block_per_row():
        readers = TaskPoolStrategy(min(cluster_cpus(), len(items)))
        shards = one_block_per_item(items).flat_map(
            cast(Any, read_pooled), fn_kwargs=reading, num_cpus=READER_CPUS, compute=readers
        )
        encoded = map_encoders(shards, clip, table, fitted, _PoolEncoder)
        total = sum(len(mine) for mine in rows)
        return list(finished_rows(encoded, total, "embedding", on_progress))


def _first(row: dict[str, Any]) -> int:
    """The first row of a shard; shards without a decoded image may stand anywhere."""
    return int(np.frombuffer(row["pool_rows"], dtype=np.int64)[0]) if row["pool_rows"] else -1

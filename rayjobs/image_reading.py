"""What reader processes do: read and decode images, and pass shards of them on as rows.

This is not part of `rayjobs.embed` because a worker imports the module of its task. Nothing here
imports torch, so a reader starts in two seconds instead of eight and leaves memory to the model.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import ray

from medlabel.annotation.table import DecodedPiece, Layout, Work, read_pieces
from medlabel.data.framing import CentreSquare, Framing
from medlabel.data.listing import Part
from medlabel.teacher.digest_catalogue import (
    CatalogueStore,
    PoolShard,
    RawShard,
    catalogue,
    read_pool,
    read_shards,
)
from medlabel.teacher.embeddings import Contents

__all__ = [
    "Cataloguer",
    "pack",
    "pack_pool",
    "pack_prepared",
    "read",
    "read_annotated",
    "read_pooled",
    "unpack",
    "unpack_prepared",
]


class Cataloguer:
    """Reads parts and writes their catalogues."""

    def __init__(self, kept: CatalogueStore) -> None:
        self._kept = kept

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Catalogue one part; returns how many images it has."""
        part: Part = row["part"]
        self._kept.write(part, catalogue(part))
        return {"images": part.count}


def read(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Read and decode some rows of a part that are to be embedded, one shard at a time."""
    part, framing = cast(Part, row["part"]), cast(Framing, row["framing"])
    for raw in read_shards(part, row["rows"], framing, row["size"]):
        yield pack(raw)


def pack(raw: RawShard) -> dict[str, Any]:
    """A shard as a row of plain values.

    Ray Data never splits a row, and the shapes of arrays may differ from row to row.
    """
    return {
        "digests": raw.digests.tobytes(),
        "pixels": b"".join(stack.tobytes() for stack in raw.stacks),
        "shapes": json.dumps([stack.shape for stack in raw.stacks]),
        "rejected": raw.rejected.tobytes(),
        "reasons": json.dumps(raw.reasons),
        "own_range": raw.own_range,
    }


def unpack(row: dict[str, Any]) -> RawShard:
    """The shard that `pack` made a row of."""
    shapes: list[list[int]] = json.loads(row["shapes"])
    cuts = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    flat = np.split(np.frombuffer(row["pixels"], dtype=np.uint8), cuts) if shapes else []
    return RawShard(
        tuple(pixels.reshape(shape) for pixels, shape in zip(flat, shapes, strict=True)),
        np.frombuffer(row["digests"], dtype="S16"),
        np.frombuffer(row["rejected"], dtype="S16"),
        tuple(json.loads(row["reasons"])),
        int(row["own_range"]),
    )


def read_pooled(
    row: dict[str, Any], framing: Framing, square: CentreSquare, known: Sequence[Any], size: int
) -> Iterator[dict[str, Any]]:
    """Read and decode the pool's rows of a part, one shard at a time.

    Args:
        row: the `number` of the part among all parts, the `part`, and its `rows`.
        framing: as for `medlabel.teacher.digest_catalogue.read_pool`.
        square: as for `read_pool`.
        known: a list of one reference to the `Contents` of the embedding table in Ray's object
            store.
        size: as for `read_pool`.
    """
    contents: Contents = ray.get(known[0])
    for shard in read_pool(row["part"], row["rows"], framing, square, contents, size):
        yield pack_pool(row["number"], shard)


def pack_pool(number: int, shard: PoolShard) -> dict[str, Any]:
    """A shard of the pool's images of a part as a row; `unpack` gives the shard's new images."""
    return {
        **pack(shard.new),
        "number": number,
        "images": shard.read,
        "pool_rows": shard.rows.tobytes(),
        "pool_digests": shard.digests.tobytes(),
        "pool_squares": shard.squares.tobytes(),
    }


def read_annotated(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Read, decode and prepare the images of some `work` to annotate, piece by piece."""
    for prepared in read_pieces(cast(Work, row["work"]), cast(Layout, row["layout"])):
        yield pack_prepared(prepared)


def pack_prepared(prepared: DecodedPiece) -> dict[str, Any]:
    """A piece as a row of plain values, as `pack` does with a shard."""
    return {
        "start": prepared.start,
        "addresses": json.dumps(prepared.addresses),
        "stamps": json.dumps(prepared.stamps),
        "pixels": prepared.images.tobytes(),
        "shape": json.dumps(prepared.images.shape),
        "chroma": prepared.chroma.tobytes(),
        "digests": prepared.digests.tobytes(),
        "reasons": json.dumps(prepared.reasons),
        "final": prepared.final.tobytes(),
        "unchanged": prepared.unchanged.tobytes(),
        "places": prepared.places.tobytes(),
        "own_range": prepared.own_range.tobytes(),
    }


def unpack_prepared(row: dict[str, Any]) -> DecodedPiece:
    """The piece that `pack_prepared` made a row of."""
    return DecodedPiece(
        int(row["start"]),
        tuple(json.loads(row["addresses"])),
        tuple(json.loads(row["stamps"])),
        np.frombuffer(row["pixels"], dtype=np.uint8).reshape(json.loads(row["shape"])),
        np.frombuffer(row["chroma"], dtype=np.float32),
        np.frombuffer(row["digests"], dtype="S16"),
        tuple(json.loads(row["reasons"])),
        np.frombuffer(row["final"], dtype=bool),
        np.frombuffer(row["unchanged"], dtype=bool),
        np.frombuffer(row["places"], dtype=np.int32),
        np.frombuffer(row["own_range"], dtype=bool),
    )

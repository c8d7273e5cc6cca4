"""What a reader process does: read, decode, and hand shards on.

Apart from `rayjobs.embed`, because a worker imports the module that its task is in: here nothing
imports torch, so a reader starts in two seconds instead of eight and leaves the cores to the model.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from medlabel.annotation.table import DecodedPiece, Layout, read_pieces
from medlabel.data.framing import Framing
from medlabel.data.listing import Part
from medlabel.teacher.catalogue import CatalogueStore, RawShard, catalogue, read_shards

__all__ = [
    "Cataloguer",
    "pack",
    "pack_prepared",
    "read",
    "read_annotated",
    "unpack",
    "unpack_prepared",
]


class Cataloguer:
    """Reads a part and leaves its catalogue where the others are."""

    def __init__(self, kept: CatalogueStore) -> None:
        self._kept = kept

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Catalogue one part; returns how many images it has."""
        part: Part = row["part"]
        self._kept.write(part, catalogue(part))
        return {"images": part.count}


def read(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a reader does: decode a part's rows, a shard at a time."""
    part, framing = cast(Part, row["part"]), cast(Framing, row["framing"])
    for raw in read_shards(part, row["rows"], framing, row["size"]):
        yield pack(raw)


def pack(raw: RawShard) -> dict[str, Any]:
    """A shard as a row of plain values. A row is never cut, and shapes may differ between rows."""
    return {
        "digests": raw.digests.tobytes(),
        "pixels": b"".join(stack.tobytes() for stack in raw.stacks),
        "shapes": json.dumps([stack.shape for stack in raw.stacks]),
        "rejected": raw.rejected.tobytes(),
        "reasons": json.dumps(raw.reasons),
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
    )


def read_annotated(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a reader of images to label does: prepare a part's images, a piece at a time."""
    part, layout = cast(Part, row["part"]), cast(Layout, row["layout"])
    for prepared in read_pieces(part, row["starts"], layout):
        yield pack_prepared(prepared)


def pack_prepared(prepared: DecodedPiece) -> dict[str, Any]:
    """A piece as a row of plain values, as `pack` does with a shard."""
    return {
        "key": prepared.key,
        "start": prepared.start,
        "addresses": json.dumps(prepared.addresses),
        "pixels": prepared.images.tobytes(),
        "shape": json.dumps(prepared.images.shape),
        "digests": prepared.digests.tobytes(),
        "reasons": json.dumps(prepared.reasons),
    }


def unpack_prepared(row: dict[str, Any]) -> DecodedPiece:
    """The piece that `pack_prepared` made a row of."""
    return DecodedPiece(
        row["key"],
        int(row["start"]),
        tuple(json.loads(row["addresses"])),
        np.frombuffer(row["pixels"], dtype=np.uint8).reshape(json.loads(row["shape"])),
        np.frombuffer(row["digests"], dtype="S16"),
        tuple(json.loads(row["reasons"])),
    )

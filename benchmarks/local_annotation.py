"""`medlabel annotate` in one process, without Ray, with a student that tells dark from bright."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.table import (
    AnnotationTable,
    Changes,
    Layout,
    Listing,
    Origin,
    Piece,
    check_prune,
    claim,
    cut_work,
    label_pieces,
    read_pieces,
    settle,
    sign,
)
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import Part, list_all_parts
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment

__all__ = ["ORIGIN", "SMALL", "Annotated", "annotate_here", "brightness", "rejects_of", "rows_of"]

SMALL = Layout(CentreSquare(28, 1), rows=4, batch=4)
ORIGIN = Origin.of("b1", {"sha256": "f00", "seed": 3}, 0.75, "medlabel 1", "2026-01-01T00:00:00")


@dataclass(frozen=True)
class Annotated:
    """What one call of `annotate_here` did: images read, images labelled, and the rest."""

    read: int
    labelled: int
    pieces: list[Piece]
    changes: Changes


def annotate_here(
    store: Store,
    sources: Sequence[str | Part],
    *,
    assess: Callable[..., Assessment] | None = None,
    classes: Sequence[str] = ("dark", "bright"),
    layout: Layout = SMALL,
    origin: Origin = ORIGIN,
    bundle: str = "",
    prune: bool = False,
    killed_after: Sequence[int] | None = None,
) -> Annotated:
    """What `medlabel annotate` does, in this process; it is killed after some of its pieces."""
    names = [one for one in sources if isinstance(one, str)]
    parts = [one for one in sources if isinstance(one, Part)]
    parts += list_all_parts(names, left_out=[store.uri]) if names else []
    asked = {
        "sources": names, "bundle": bundle, "size": 28, "data_root": None, "column": None
    }  # fmt: skip
    listing, table = Listing.of(parts), AnnotationTable(store)
    if prune:
        check_prune(table, listing)
    claimed = claim(store, asked, origin, listing)
    table.discard_damaged()
    read = labelled = 0
    work = cut_work(listing, *listing.missing(table.entries()[1]), layout)
    for done, piece in enumerate(one for some in work for one in read_pieces(some, layout)):
        if killed_after is not None and done not in killed_after:
            continue
        found = label_pieces(
            piece.images, piece.chroma, assess or brightness, layout.batch, piece.kept
        )
        table.write(piece, found, classes, claimed.origin, claimed.generation)
        read, labelled = read + len(piece.images), labelled + int(piece.kept.sum())
    if killed_after is not None:
        raise KeyboardInterrupt
    with store.locked("annotations"):
        pieces, changes = settle(table, listing, prune=prune)
        sign(store, asked, pieces, listing, changes, decisions={}, prune=prune)
    return Annotated(read, labelled, pieces, changes)


def brightness(images: NDArray[np.uint8], chroma: object = None) -> Assessment:
    """A student of two classes: how dark, how bright."""
    bright = images.reshape(len(images), -1).mean(axis=1) / 255
    chances = np.stack([1 - bright, bright], axis=1).astype(np.float32)
    return Assessment(chances, (bright > 0.7).astype(np.float32) * 2, calibrated=True)


def rows_of(store: Store, *, repeated: bool = False) -> dict[str, dict[str, Any]]:
    """The rows of a table by address; an address that has two is an error unless `repeated`."""
    table = AnnotationTable(store)
    rows = [row for piece in table.pieces() for row in table.read(piece).to_pylist()]
    found = {row["uri"]: row for row in rows}
    assert repeated or len(found) == len(rows)
    return found


def rejects_of(store: Store) -> dict[str, str]:
    """The reasons of a table's rejects by address."""
    pieces = AnnotationTable(store).pieces()
    return {one.uri: one.reason for piece in pieces for one in piece.rejects}

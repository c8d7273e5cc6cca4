"""`annotate.json`: what a folder of annotations was asked for, its provenance, and its counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from medlabel.annotation.table.identities import Listing
from medlabel.annotation.table.layout import Origin
from medlabel.annotation.table.pieces import LAYOUT, MANIFEST, Piece, signature
from medlabel.annotation.table.settle import Changes
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store, refuse_different
from medlabel.versions import ANNOTATION


class Claim(NamedTuple):
    """What pieces of this run are written with.

    Attributes:
        origin: of the folder's first run: its time and the libraries of that day.
        generation: number of this run; a run that is repeated, of the same files, has the same one.
    """

    origin: Origin
    generation: int


def claim(
    store: Store,
    asked: Mapping[str, Any],
    mine: Origin,
    listing: Listing,
    code_versions: Mapping[str, int] = ANNOTATION,
) -> Claim:
    """Take a folder for some annotations, or go on with those that it holds; sources may differ.

    A folder that was begun with another `PREPROCESSING` or `DECISIONS` (`medlabel.versions`) is
    refused, for its rows could not be compared. Other releases of libraries are not: the column
    `versions` says for each row what made it.

    Raises:
        MedlabelError: the folder holds other annotations, or those of another layout.
    """
    numbers = {"code_versions": dict(code_versions)}
    wanted = asdict(mine)
    generation, first = 1, mine
    if store.exists(MANIFEST):
        found = store.read_json(MANIFEST)
        before = found["origin"] | {"code_versions": found.get("code_versions")}
        ignored = {"time", "versions"}
        refuse_different(store, before, wanted | numbers, "other annotations", ignored)
        if found.get("layout") != LAYOUT:
            raise MedlabelError(
                f"{store.uri} holds annotations of an earlier version of medlabel, which cannot be "
                "continued: choose another --out"
            )
        generation = found["generation"] + (found["listing"] != listing.digest)
        first = Origin(**found["origin"])
    else:
        found = {"asked": [], "origin": wanted, "layout": LAYOUT, **numbers}
    new = {
        **found,
        "asked": _with(found["asked"], asked),
        "generation": generation,
        "listing": listing.digest,
    }
    if new != found:
        store.write_json(MANIFEST, new)
    return Claim(first, generation)


def _with(before: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> list[Any]:
    """All that was asked for, once each, the last at the end."""
    return [one for one in before if one != asked] + [dict(asked)]


def sign(
    store: Store,
    asked: Mapping[str, Any],
    pieces: Sequence[Piece],
    listing: Listing,
    changes: Changes,
    *,
    decisions: Mapping[str, Any],
    prune: bool = False,
) -> dict[str, Any]:
    """Compare the counts and sign all pieces; returns the signed manifest.

    Args:
        store: the folder.
        asked: what this run was asked for.
        pieces: of the table, settled.
        listing: the images that came in.
        changes: what settling did.
        decisions: counts of decisions.
        prune: whether only what this run was asked for is left.

    Raises:
        MedlabelError: images were lost.
    """
    annotations = sum(piece.rows for piece in pieces)
    rejects = sum(len(piece.rejects) for piece in pieces)
    images = len(listing) + changes.elsewhere
    if annotations + rejects != images:
        raise MedlabelError(
            f"{images} images came in, {annotations} annotations and {rejects} rejects went out to "
            f"{store.uri}: run again, and report it if it happens again"
        )
    found = store.read_json(MANIFEST)  # another command may have added its sources
    counts = {"images": images, "annotations": annotations, "rejects": rejects}
    signed = {
        **found,
        "asked": [dict(asked)] if prune else _with(found["asked"], asked),
        "counts": counts,
        "decisions": dict(decisions),
        "sha256": signature(pieces, found["origin"]),
    }
    store.write_json(MANIFEST, signed)
    return signed

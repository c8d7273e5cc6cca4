"""What a listing says about images that it does not hold: they are gone, or could not be listed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.table.identities import REJECT, Entries, Listing
from medlabel.annotation.table.pieces import AnnotationTable, Piece
from medlabel.errors import MedlabelError


def obsolete(pieces: Sequence[Piece], entries: Entries, listing: Listing) -> NDArray[np.bool_]:
    """Which rejects are of files that are gone, bool [M]: a folder was listed without them."""
    found = np.zeros(len(entries.kinds), dtype=bool)
    others = (entries.kinds == REJECT) & ~listing.holds(entries.addresses)
    for number in np.flatnonzero(others).tolist():
        piece = pieces[entries.pieces[number]]
        found[number] = listing.covers(piece.rejects[entries.rows[number] - piece.rows].uri)
    return found


def check_prune(table: AnnotationTable, listing: Listing) -> None:
    """Raise unless the sources were listed whole, as far as labels are concerned.

    Raises:
        MedlabelError: a source holds no images at all, or labels would be removed because their
            folder cannot be listed, or their Parquet file cannot be read.
    """
    for source in sorted({part.source for part in listing.parts}):
        if all(part.is_rejected for part in listing.parts if part.source == source):
            raise MedlabelError(
                f"--prune: no image was found in {source}, so its labels are not removed: run "
                "without --prune, or name the sources that hold the images"
            )
    pieces, entries = table.entries()
    held = listing.holds(entries.addresses)
    for number, piece in enumerate(pieces):
        gone = ~held[entries.pieces == number][: piece.rows]
        uris = table.read(piece, ["uri"])["uri"].to_pylist() if gone.any() else []
        for uri in np.array(uris, dtype=object)[gone].tolist() if uris else []:
            folder = listing.unlisted_folder(uri)
            if folder:
                raise MedlabelError(
                    f"--prune: {folder} cannot be read, and there are labels of images in it: "
                    "make it readable or move it away, or run without --prune"
                )

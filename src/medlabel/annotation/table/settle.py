"""After labelling: one row for each image, the newest, and nothing is lost that was labelled.

| an image | its row |
| --- | --- |
| has a label or a final reject of the file as it is now | that one |
| cannot be read now | the label of the file as it was |
| is not held by the sources now | its label, the newest if there are several |

A label is removed only if another entry of the same image takes its place or, with `prune`, if the
sources do not hold its image. A reject is removed, too, if its folder was listed without it.
Files are replaced one by one, the new one first: a process that is killed leaves an image with two
rows, and the next run removes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.table.identities import CONFIRMED, FAILED, LABEL, Entries, Listing
from medlabel.annotation.table.pieces import AnnotationTable, Piece
from medlabel.annotation.table.prune import obsolete


@dataclass(frozen=True)
class Changes:
    """What settling a table did: numbers of images.

    Attributes:
        elsewhere: whose labels or rejects are kept although the sources do not hold them now.
        labels_elsewhere: those among them that have a label.
        outdated: whose labels are of an earlier state, because their files cannot be read now.
        replaced: whose labels were replaced, because their files have changed.
        pruned: whose labels were removed, because the sources do not hold them now.
        damaged: files of the table that were removed, because they were damaged.
    """

    elsewhere: int = 0
    labels_elsewhere: int = 0
    outdated: int = 0
    replaced: int = 0
    pruned: int = 0
    damaged: int = 0

    def sentences(self) -> list[str]:
        """What a user should know, in words."""
        known = (
            (self.labels_elsewhere, "Kept: {} of images that were not found now; --prune removes "
             "those that are gone."),
            (self.outdated, "Kept: {} of files that cannot be read now."),
            (self.replaced, "Replaced: {}, because the files have changed."),
            (self.pruned, "Removed (--prune): {} of images that the sources do not hold."),
        )  # fmt: skip
        lines = [
            text.format(f"{count:,} label{'s' if count > 1 else ''}")
            for count, text in known
            if count
        ]
        if self.damaged:
            lines.append(
                f"{self.damaged:,} damaged files of the table were removed; their images are "
                "labelled again where the sources hold them."
            )
        return lines


def settle(
    table: AnnotationTable, listing: Listing, *, prune: bool = False
) -> tuple[list[Piece], Changes]:
    """Leave one row for each image; returns the pieces and what was done.

    Args:
        table: the table; nobody else may settle it at the same time.
        listing: the images that the sources hold now, all of which have been labelled.
        prune: whether to remove what the table knows about other images.
    """
    pieces, entries = table.entries()
    keep, changes = decide(entries, listing, obsolete(pieces, entries, listing), prune=prune)
    return _apply(table, pieces, entries, keep), changes


def decide(
    entries: Entries, listing: Listing, gone: NDArray[np.bool_], *, prune: bool = False
) -> tuple[NDArray[np.bool_], Changes]:
    """Which entries to keep, bool [M], and what that does.

    Args:
        entries: all that the table has.
        listing: the images that the sources hold now.
        gone: which entries are rejects of files that are gone, bool [M].
        prune: whether to remove what is known about images that the sources do not hold.
    """
    current = listing.is_current(entries.identities)
    held = listing.holds(entries.addresses)
    is_row, label = entries.kinds != CONFIRMED, entries.kinds == LABEL
    failed = entries.kinds == FAILED
    verified = (current & ~failed) | entries.confirms(current)
    winner = _winners(entries, is_row, verified)
    kept = winner & (held | ~(failed | gone | prune))
    labelled = np.isin(entries.addresses, entries.addresses[kept & label])
    kept |= ~is_row & np.where(held, current, labelled & (not prune))
    lost = label & ~kept
    unread = current & (entries.contents == b"")
    changes = Changes(
        elsewhere=int((kept & is_row & ~held).sum()),
        labels_elsewhere=int((kept & label & ~held).sum()),
        outdated=int((kept & label & held & (~verified | entries.confirms(unread))).sum()),
        replaced=int((lost & held & ~verified).sum()),
        pruned=int((lost & winner).sum()),
    )
    return kept, changes


def _winners(
    entries: Entries, is_row: NDArray[np.bool_], verified: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The best row of each address: of the file as it is now, else the newest that was read.

    Of several that are right the oldest stays, for it may have been audited.
    """
    ranks = np.where(verified, 0, np.where(entries.kinds == FAILED, 2, 1))
    age = np.where(verified, entries.generations, -entries.generations)
    rows = np.flatnonzero(is_row)
    order = rows[np.lexsort((age[rows], ranks[rows], entries.addresses[rows]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = entries.addresses[order][1:] != entries.addresses[order][:-1]
    winner = np.zeros(len(is_row), dtype=bool)
    winner[order[first]] = True
    return winner


def _apply(
    table: AnnotationTable, pieces: Sequence[Piece], entries: Entries, keep: NDArray[np.bool_]
) -> list[Piece]:
    """Write the pieces anew of which not all entries are kept; returns those that are left."""
    ends = np.searchsorted(entries.pieces, np.arange(len(pieces)), side="right")
    left = list[Piece | None]()
    for piece, mine in zip(pieces, np.split(keep, ends[:-1]), strict=True):
        left.append(piece if mine.all() else table.keep(piece, mine))
    return sorted((piece for piece in left if piece), key=lambda piece: piece.name)

"""Which image a row is about, and which images no row is about.

An image is identified by its address and a stamp, a digest of what changes with its file (size,
time, ETag). Both are kept as 16 bytes of a SHA-256 in numpy arrays: millions of images take some
hundred megabytes, and nothing is compared but numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.table.layout import Layout
from medlabel.data.listing import Part
from medlabel.storage.digests import Digests, digest_bytes, hex_digest, to_digests

LABEL, REJECT, FAILED, CONFIRMED = range(4)
"""Kinds of entries: a label; a file that is no image; one that could not be read; a new stamp."""


def address_digest(address: str) -> bytes:
    """16 bytes that stand for an address."""
    return digest_bytes(address.encode(errors="surrogateescape"))


def identity(address: str, stamp: str) -> bytes:
    """16 bytes that stand for a file as it was when it had this stamp."""
    return digest_bytes(f"{address}\0{stamp}".encode(errors="surrogateescape"))


def positions(among: Digests, wanted: Digests) -> NDArray[np.int64]:
    """The position of each wanted digest in sorted ones, int64 [N]; -1 if it is not there."""
    if not len(among):
        return np.full(len(wanted), -1)
    at = np.searchsorted(among, wanted).clip(max=len(among) - 1)
    return np.where(among[at] == wanted, at, -1)


@dataclass(frozen=True)
class Entries:
    """What a table knows about images: M entries, in the order of its pieces.

    Attributes:
        addresses: digests of the addresses, [M].
        identities: digests of addresses and stamps, [M].
        contents: digests of the images' contents, [M]; empty for rejects.
        kinds: `LABEL`, `REJECT`, `FAILED` or `CONFIRMED`, int8 [M].
        generations: in which run the entry was made, int32 [M].
        pieces: number of the piece, int32 [M].
        rows: number among the piece's entries of this sort, int32 [M].
    """

    addresses: Digests
    identities: Digests
    contents: Digests
    kinds: NDArray[np.int8]
    generations: NDArray[np.int32]
    pieces: NDArray[np.int32]
    rows: NDArray[np.int32]

    @classmethod
    def concatenate(cls, entries: "Sequence[Entries]") -> "Entries":
        """All entries of some pieces, in their order."""
        nothing = to_digests([])
        empty = cls(
            nothing, nothing, nothing, np.zeros(0, np.int8),
            np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32),
        )  # fmt: skip
        names = [field.name for field in fields(cls)]
        return cls(
            *(np.concatenate([getattr(one, name) for one in (empty, *entries)]) for name in names)
        )

    def confirms(self, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which labels some confirmations are about, bool [M].

        Args:
            which: the confirmations that count, bool [M].
        """
        seen = np.flatnonzero(which & (self.kinds == CONFIRMED))
        names, first = np.unique(self.addresses[seen], return_index=True)
        at = positions(names, self.addresses)
        if not len(names):
            return np.zeros(len(at), dtype=bool)
        content = self.contents[seen[first]][at]
        same = (content == self.contents) | (content == b"")
        found: NDArray[np.bool_] = (at >= 0) & same & (self.kinds == LABEL)
        return found


@dataclass(frozen=True)
class Listing:
    """The images that the sources hold now, in order; one that two sources hold counts once.

    Attributes:
        parts: of the sources.
        addresses: digests of the addresses, [N].
        identities: digests of addresses and stamps, [N].
        repeated: whether the same address comes earlier, bool [N].
    """

    parts: tuple[Part, ...]
    addresses: Digests
    identities: Digests
    repeated: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "Listing":
        """The images of some parts."""
        names, whole = list[bytes](), list[bytes]()
        for part in parts:
            for row in range(part.count):
                address = part.address(row)
                names.append(address_digest(address))
                whole.append(identity(address, part.stamp(row)))
        addresses = to_digests(names)
        repeated = np.ones(len(addresses), dtype=bool)
        repeated[np.unique(addresses, return_index=True)[1]] = False
        return cls(tuple(parts), addresses, to_digests(whole), repeated)

    def __len__(self) -> int:
        """Number of distinct images."""
        return int((~self.repeated).sum())

    @property
    def digest(self) -> str:
        """64 hex digits that are the same for the same files in the same state."""
        return hex_digest(np.sort(self.identities[~self.repeated]).tobytes())

    def holds(self, addresses: Digests) -> NDArray[np.bool_]:
        """Whether the sources hold images at these addresses, in whatever state."""
        return np.isin(addresses, self.addresses)

    def is_current(self, identities: Digests) -> NDArray[np.bool_]:
        """Whether these are identities of files in the state that they are in now."""
        return np.isin(identities, self.identities[~self.repeated])

    @cached_property
    def _folders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The folders that are sources, and the paths in them that could not be listed."""
        sources, unlisted = set[str](), set[str]()
        for part in self.parts:
            if part.is_rejected:
                unlisted |= {part.address(row) for row in range(part.count)}
            if part.folder is not None:
                sources.add(part.folder)
        return tuple(sources), tuple(unlisted)

    def covers(self, address: str) -> bool:
        """Whether an image at this address would have been found, if there were one."""
        inside = any(_lies_in(address, folder) for folder in self._folders[0])
        return inside and self.unlisted_folder(address) is None

    def unlisted_folder(self, address: str) -> str | None:
        """What holds an address, a folder or a table, and could not be read; None if nothing."""
        found = (
            path
            for path in self._folders[1]
            if address.startswith(f"{path}#") or (_lies_in(address, path) and address != path)
        )
        return next(found, None)

    def missing(self, entries: Entries) -> tuple[NDArray[np.bool_], Digests]:
        """Which images have to be read, and the content that each had when it was labelled.

        An image is read if nothing final is known of the file in its present state.

        Returns:
            bool [N]; and digests [N], empty where the image has no label.
        """
        current = self.is_current(entries.identities)
        certain = (entries.kinds == LABEL) | (entries.kinds == REJECT)
        confirmed = np.isin(entries.addresses, entries.addresses[entries.confirms(current)])
        known = certain | (confirmed & (entries.kinds == CONFIRMED))
        missing = ~self.repeated & ~np.isin(self.identities, entries.identities[known & current])
        return missing, self._previous(entries)

    def _previous(self, entries: Entries) -> Digests:
        labels = np.flatnonzero(entries.kinds == LABEL)
        newest = labels[np.argsort(-entries.generations[labels], kind="stable")]
        names, first = np.unique(entries.addresses[newest], return_index=True)
        at = positions(names, self.addresses)
        found = np.zeros(len(at), dtype=self.addresses.dtype)
        found[at >= 0] = entries.contents[newest[first]][at[at >= 0]]
        return found


def _lies_in(address: str, folder: str) -> bool:
    """Whether an address is that of a folder, or of something in it."""
    return f"{address}/".startswith(f"{folder.rstrip('/')}/")


@dataclass(frozen=True)
class Work:
    """Images to be read in one pass, by one reader.

    Attributes:
        parts: parts and their rows, in order; N rows in all.
        numbers: of the images among all that were listed, int64 [N].
        previous: digests of their contents when they were labelled, [N]; empty without a label.
    """

    parts: tuple[tuple[Part, NDArray[np.int64]], ...]
    numbers: NDArray[np.int64]
    previous: Digests

    def __len__(self) -> int:
        """Number of images."""
        return len(self.numbers)

    def pieces(self, layout: Layout) -> int:
        """Number of pieces that this is cut into."""
        return -(-len(self) // layout.rows)


def cut_work(
    listing: Listing, missing: NDArray[np.bool_], previous: Digests, layout: Layout
) -> list[Work]:
    """Cut the missing images into work.

    Pieces are cut from all missing images in order, and all but the last are full. So when some of
    them are finished, the others are cut in the same way from what is then missing.

    Args:
        listing: the images, N.
        missing: which are missing, bool [N].
        previous: see `Work`; [N].
        layout: how many images a piece has.
    """
    found, files, first = list[Work](), list[tuple[Part, NDArray[np.int64]]](), 0
    for part in listing.parts:
        rows = np.flatnonzero(missing[first : first + part.count])
        some = part.only(rows) if len(rows) else None
        if some is not None:
            files.append((some, first + rows))
        elif len(rows):
            found.append(Work(((part, rows),), first + rows, previous[first + rows]))
        first += part.count
    return found + [_joined(group, previous) for group in _groups(files, layout.files)]


def _groups(
    files: Sequence[tuple[Part, NDArray[np.int64]]], size: int
) -> Iterator[list[tuple[Part, NDArray[np.int64]]]]:
    """Groups of `size` files; the last one may be smaller."""
    group, room = list[tuple[Part, NDArray[np.int64]]](), size
    for part, numbers in files:
        start = 0
        while start < part.count:
            rows = np.arange(start, min(start + room, part.count))
            some = part.only(rows)
            assert some is not None, "it was cut from one before"
            group.append((some, numbers[rows]))
            start, room = start + len(rows), room - len(rows)
            if not room:
                yield group
                group, room = [], size
    if group:
        yield group


def _joined(group: Sequence[tuple[Part, NDArray[np.int64]]], previous: Digests) -> Work:
    numbers = np.concatenate([mine for _, mine in group])
    parts = tuple((part, np.arange(part.count)) for part, _ in group)
    return Work(parts, numbers, previous[numbers])

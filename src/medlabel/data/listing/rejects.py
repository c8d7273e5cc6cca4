"""Parts of what a listing finds to be no file, or unreadable: rejects without any reading."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing.parts import Content, Part
from medlabel.storage.addresses import escaped
from medlabel.storage.digests import hex_digest


@dataclass(frozen=True)
class RejectsPart(Part):
    """Paths in a folder that hold no image, each with the reason; "" is the folder itself.

    Nothing is gained by a second look before the listing says otherwise.
    """

    names: tuple[str, ...]
    reasons: tuple[str, ...]
    root: str

    @property
    def is_rejected(self) -> bool:
        """See `Part.is_rejected`."""
        return True

    def only(self, rows: NDArray[np.integer]) -> "RejectsPart":
        """See `Part.only`."""
        kept = {self.names[row]: self.reasons[row] for row in rows.tolist()}
        return rejects_part(self.source, self.root, kept)

    def stamp(self, row: int) -> str:
        """See `Part.stamp`."""
        return hex_digest(self.reasons[row], 16)

    def index(self, row: int) -> str:
        """The path within the folder."""
        return escaped(self.names[row])

    @property
    def folder(self) -> str:
        """See `Part.folder`."""
        return escaped(self.root)

    def address(self, row: int) -> str:
        """See `Part.address`."""
        return escaped(f"{self.root}/{self.names[row]}".rstrip("/"))

    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """See `Part.read`."""
        for row in range(self.count) if rows is None else rows:
            yield ImageError(Fault.UNSUPPORTED, self.reasons[row])


def rejects_part(source: str, root: str, reasons: Mapping[str, str]) -> RejectsPart:
    """One part of all that a folder or bucket has of this, by path in it."""
    names = tuple(sorted(reasons))
    why = tuple(reasons[name] for name in names)
    fingerprint = hex_digest("\n".join(why), 16)
    return RejectsPart(source, "all", len(names), fingerprint, names, why, root)

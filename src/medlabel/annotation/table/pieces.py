"""The files of a table: writing, reading, and a hash over all of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.annotation.table.identities import (
    CONFIRMED,
    FAILED,
    LABEL,
    REJECT,
    Entries,
    address_digest,
    identity,
)
from medlabel.annotation.table.layout import Origin
from medlabel.annotation.table.reading import DecodedPiece
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest, to_digests
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment, review_reasons

MANIFEST, REJECTS = "annotate.json", "rejects.parquet"
LAYOUT = 2
"""The layout of the table, in its manifest: 1 had pieces that were labelled anew as a whole."""

_FOLDER = "annotations"
_META = b"medlabel"  # in a file's metadata: a `_Facts`


class Reject(NamedTuple):
    """An image without a label, and why; `final` unless it has to be tried again."""

    uri: str
    reason: str
    stamp: str
    final: bool


class Confirmed(NamedTuple):
    """An image whose label is right although its stamp has changed.

    Its content has this digest still; or 32 zeros, if the listing found that it cannot be read.
    """

    uri: str
    stamp: str
    digest: str


@dataclass(frozen=True)
class Piece:
    """One file of the table.

    Attributes:
        name: of the file, within the table's folder.
        generation: number of the run that wrote it, from 1.
        start: number of its first image among all that this run listed.
        rows: number of annotations in it.
        rejects: images without a label.
        confirmed: images whose labels, in other pieces, are still right.
    """

    name: str
    generation: int
    start: int
    rows: int
    rejects: tuple[Reject, ...]
    confirmed: tuple[Confirmed, ...] = ()

    @property
    def stem(self) -> str:
        """What its name begins with, before the checksum."""
        return f"part-{self.generation:04d}-{self.start:010d}"


class AnnotationTable:
    """The table of a folder; pieces are written in any order, and read in the order of their names.

    Args:
        store: the folder that `--out` names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store / _FOLDER

    def write(
        self,
        decoded: DecodedPiece,
        assessment: Assessment,
        classes: Sequence[str],
        origin: Origin,
        generation: int = 1,
    ) -> int:
        """Write a piece with the assessment of its N images; returns the number of rejects."""
        places = zip(
            decoded.addresses, decoded.stamps, decoded.reasons, decoded.unchanged,
            decoded.digests.tolist(), decoded.final.tolist(), strict=True,
        )  # fmt: skip
        rejects, confirmed = list[Reject](), list[Confirmed]()
        for uri, stamp, reason, unchanged, digest, final in places:
            if unchanged:
                confirmed.append(Confirmed(uri, stamp, _hex(digest)))
            elif reason is not None:
                rejects.append(Reject(uri, reason, stamp, final))
        table = _to_table(decoded, assessment, classes, origin)
        piece = Piece("", generation, decoded.start, len(table), tuple(rejects), tuple(confirmed))
        self._write(piece, table)
        return len(rejects)

    def pieces(self) -> list[Piece]:
        """All pieces that are intact."""
        return [_piece(name, data) for name, data in self._intact()]

    def entries(self) -> tuple[list[Piece], Entries]:
        """All pieces that are intact, and what they know about images."""
        pieces, found = list[Piece](), list[Entries]()
        for number, (name, data) in enumerate(self._intact()):
            piece = _piece(name, data)
            rows = pq.read_table(BytesIO(data), columns=["uri", "stamp", "digest"])
            pieces.append(piece)
            found.append(_entries(number, piece, rows))
        return pieces, Entries.concatenate(found)

    def discard_damaged(self) -> int:
        """Remove the files that were damaged after they were written; returns how many."""
        damaged = 0
        for name in self._names():
            with suppress(_Gone):
                if self._read_checked(name) is None:
                    self._store.remove(name)
                    damaged += 1
        return damaged

    def keep(self, piece: Piece, keep: NDArray[np.bool_]) -> Piece | None:
        """Write a piece anew with some of its entries, and remove the old file.

        Args:
            piece: the piece.
            keep: whether to keep each annotation, then each reject, then each confirmation.

        Returns:
            The new piece; None if nothing is left.
        """
        rows, rejects, confirmed = np.split(
            keep, np.cumsum([piece.rows, len(piece.rejects), len(piece.confirmed)])[:-1]
        )
        kept = Piece(
            "", piece.generation, piece.start, int(rows.sum()),
            tuple(one for one, kept in zip(piece.rejects, rejects, strict=True) if kept),
            tuple(one for one, kept in zip(piece.confirmed, confirmed, strict=True) if kept),
        )  # fmt: skip
        if keep.any():
            kept = self._write(kept, self.read(piece).filter(pa.array(rows)))
        if kept.name != piece.name:
            self._store.remove(piece.name)
        return kept if keep.any() else None

    def read(self, piece: Piece, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a piece, with some columns or all."""
        data = BytesIO(self._store.read(piece.name))
        return pq.read_table(data, columns=None if columns is None else list(columns))

    def _write(self, piece: Piece, table: pa.Table) -> Piece:
        facts = asdict(piece)
        del facts["name"], facts["rows"]
        buffer = BytesIO()
        pq.write_table(
            table.replace_schema_metadata({_META: json.dumps(facts)}), buffer, compression="zstd"
        )
        name = self._store.write_checked(piece.stem, ".parquet", buffer.getvalue())
        return _piece(name, buffer.getvalue())

    def _names(self) -> list[str]:
        return self._store.list("part-*.parquet")

    def _intact(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of all intact files; another process may replace files meanwhile."""
        done, whole = set[str](), False
        while not whole:
            whole = True
            for name in self._names():
                if name in done:
                    continue
                done.add(name)
                try:
                    data = self._read_checked(name)
                except _Gone:
                    whole = False  # what has taken its place may have been listed too early
                    continue
                if data is not None:
                    yield name, data

    def _read_checked(self, name: str) -> bytes | None:
        try:
            return self._store.read_checked(name)
        except MedlabelError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise _Gone from error
            raise


class _Gone(Exception):
    """Another process has removed a file since it was listed."""


def _piece(name: str, data: bytes) -> Piece:
    """The description of a piece, from its file's bytes."""
    footer = pq.read_metadata(BytesIO(data))
    try:
        facts = json.loads((footer.metadata or {})[_META])
    except KeyError as error:
        raise MedlabelError(
            f"{name} was written by another version of medlabel: annotate into another folder"
        ) from error
    rejects = tuple(Reject(*one) for one in facts.pop("rejects"))
    confirmed = tuple(Confirmed(*one) for one in facts.pop("confirmed"))
    return Piece(name=name, rows=footer.num_rows, rejects=rejects, confirmed=confirmed, **facts)


def _entries(number: int, piece: Piece, rows: pa.Table) -> Entries:
    """The entries of a piece: its rows, its rejects, its confirmations."""
    labels = zip(*(rows[name].to_pylist() for name in ("uri", "stamp", "digest")), strict=True)
    found = [(uri, stamp, digest, LABEL) for uri, stamp, digest in labels]
    found += [(one.uri, one.stamp, "", REJECT if one.final else FAILED) for one in piece.rejects]
    found += [(one.uri, one.stamp, one.digest, CONFIRMED) for one in piece.confirmed]
    return Entries(
        to_digests([address_digest(uri) for uri, *_ in found]),
        to_digests([identity(uri, stamp) for uri, stamp, *_ in found]),
        to_digests([bytes.fromhex(digest or "00" * 16) for _, _, digest, _ in found]),
        np.array([kind for *_, kind in found], dtype=np.int8),
        np.full(len(found), piece.generation, dtype=np.int32),
        np.full(len(found), number, dtype=np.int32),
        np.arange(len(found), dtype=np.int32),
    )


def _hex(digest: bytes) -> str:
    return digest.ljust(16, b"\0").hex()  # numpy drops final zeros


def _to_table(
    decoded: DecodedPiece, assessment: Assessment, classes: Sequence[str], origin: Origin
) -> pa.Table:
    """The rows of a piece, with the columns of the package's table.

    Args:
        decoded: the piece, N images.
        assessment: of all N images; those that are not labelled are left out.
        classes: names of the classes.
        origin: provenance.
    """
    kept, assessment = decoded.kept, assessment[decoded.kept]
    count = int(kept.sum())
    chances, ood_score = assessment.probabilities, assessment.ood_score
    why = review_reasons(assessment, origin.auto_above)

    def chosen(values: Sequence[str]) -> pa.Array:
        return pa.array([v for v, keep in zip(values, kept, strict=True) if keep], pa.string())

    return pa.table({
        "uri": chosen(decoded.addresses),
        "digest": pa.array([_hex(one) for one in decoded.digests[kept].tolist()], pa.string()),
        "label": pa.array(classes).take(pa.array(chances.argmax(axis=1))),
        "confidence": pa.array(assessment.confidence),
        **{f"p_{name}": pa.array(chances[:, k]) for k, name in enumerate(classes)},
        "ood_score": pa.array(ood_score, mask=np.isnan(ood_score)),
        "decision": pa.array(["review" if found else "auto" for found in why], pa.string()),
        "review_reasons": pa.array([",".join(found) for found in why], pa.string()),
        **{name: pa.repeat(pa.scalar(value), count) for name, value in vars(origin).items()},
        "stamp": chosen(decoded.stamps),
        "place": pa.array(decoded.places[kept]),
        "own_range": pa.array(decoded.own_range[kept]),
    })  # fmt: skip


def signature(pieces: Sequence[Piece], origin: Mapping[str, Any]) -> str:
    """A hash over the names of all files (which hold their checksums), provenance and rejects."""
    rejects = sorted((one.uri, one.reason) for piece in pieces for one in piece.rejects)
    signed = [piece.name for piece in pieces], dict(origin), rejects
    return hex_digest(json.dumps(signed, sort_keys=True))


def signed_pieces(store: Store) -> tuple[str, list[Piece]]:
    """The signature of a folder, and its pieces, which are exactly those that were signed.

    Raises:
        MedlabelError: there are none, or the table is unfinished or has changed since.
    """
    pieces = AnnotationTable(store).pieces()
    if not pieces:
        raise MedlabelError(f"{store.uri} holds no annotations: run `medlabel annotate` first")
    manifest = store.read_json(MANIFEST)
    found = signature(pieces, manifest["origin"])
    if manifest.get("sha256") != found:
        raise MedlabelError(
            f"the annotations in {store.uri} are incomplete: run the command that wrote them again"
        )
    return found, pieces

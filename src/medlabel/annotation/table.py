"""The table of annotations of any number of images: a folder of Parquet files.

```
OUT/annotations/part-KEY-START-CHECKSUM.parquet   one row per image with a label
OUT/rejects.parquet                               uri, reason: one row per image without a label
OUT/annotate.json                                 provenance, counts, a hash over all files
OUT/summary/index.html
```

A file holds a piece: consecutive rows of one part of the input. It is written atomically, and its
name holds the checksum of its bytes. The piece's rejects are stored in the file's metadata until
the end, so that a piece is never half present. All batches have one size; each image keeps the
place of its row, and rejects are black squares. So a label depends on nothing but the image, its
place and the student, and is reproduced bit for bit whenever it is computed again.

| column | content |
| --- | --- |
| `uri` | path or URI of the file, followed by `#` and the place in it, if it holds several images |
| `digest` | 32 hex digits of the SHA-256 of the content, as in the embedding table |
| `label`, `confidence` | the most probable class, and its probability |
| `p_CLASS` | one float32 per class; they sum to 1 |
| `ood_score` | out-of-distribution score; above 1 is out of distribution, null if unknown |
| `decision`, `review_reasons` | `auto` or `review`, and why (see `medlabel.student.decision`) |
| `bundle`, `weights` | id of the student, and the SHA-256 of its weights |
| `teacher`, `teacher_model`, `captions` | name, identifier of its weights, hash of its captions |
| `recipe`, `seed`, `auto_above` | more of the provenance |
| `verdict`, `doubtful_below` | the verdict on the student's labels, empty if it has none; the |
| | probability below which a doubtful verdict supports no label |
| `learned_from` | `drawn`, `mixed` or `real` images; empty if unknown |
| `versions`, `time` | the rest of the provenance |
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.data.decoding import ImageError
from medlabel.data.framing import CentreSquare, chroma_of
from medlabel.data.listing import UNREADABLE, Part, digest_of, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.digests import Digests, hex_digest, to_digests
from medlabel.storage.store import Store, checked_stem
from medlabel.student.decision import Assessment, review_reasons
from medlabel.student.provenance import read_learned_from
from medlabel.student.verdict import verdict_of

__all__ = [
    "MANIFEST",
    "REJECTS",
    "AnnotationTable",
    "DecodedPiece",
    "Layout",
    "Origin",
    "Piece",
    "label_pieces",
    "missing_starts",
    "read_pieces",
    "signature",
    "signed_pieces",
]

MANIFEST, REJECTS = "annotate.json", "rejects.parquet"
_FOLDER = "annotations"
_MOST_ROWS, _LARGEST = 8192, 2**26  # of a piece: rows, bytes of pixels
_BATCH, _SMALL_BATCH = 256, 32
_NOTHING = bytes(16)


@dataclass(frozen=True)
class Layout:
    """How images are split into pieces, and pieces into batches; it follows from the student alone.

    Attributes:
        square: preprocessing of an image for the student.
        rows: number of rows per piece; a multiple of `batch`.
        batch: number of images per batch.
    """

    square: CentreSquare
    rows: int
    batch: int

    @classmethod
    def of(cls, square: CentreSquare) -> "Layout":
        """Pieces of at most 8,192 images and 64 MiB."""
        rows = min(_MOST_ROWS, _LARGEST // int(np.prod(square.shape)))
        batch = _BATCH if rows >= _BATCH else _SMALL_BATCH
        return cls(square, max(batch, rows // batch * batch), batch)


@dataclass(frozen=True)
class Origin:
    """The provenance of labels: the columns that are the same in every row, in order."""

    bundle: str
    weights: str
    teacher: str
    teacher_model: str
    captions: str
    recipe: str
    seed: int
    auto_above: float
    verdict: str
    doubtful_below: float
    learned_from: str
    versions: str
    time: str

    @classmethod
    def of(
        cls,
        bundle_id: str,
        provenance: Mapping[str, Any],
        auto_above: float,
        versions: str,
        time: str,
    ) -> "Origin":
        """From a bundle's provenance; unknown fields are empty, an unknown seed is -1."""
        teacher = provenance.get("teacher") or {}
        recipe = provenance.get("recipe") or {}
        captions, verdict = teacher.get("captions"), verdict_of(provenance)
        spelled = json.dumps(captions, sort_keys=True).encode()
        return cls(
            bundle_id,
            str(provenance.get("sha256", "")),
            str(teacher.get("name", "")),
            str(teacher.get("model", "")),
            hex_digest(spelled, 32) if captions else "",
            str(recipe.get("name", "")),
            int(provenance.get("seed", -1)),
            auto_above,
            verdict.level if verdict else "",
            verdict.doubtful_below if verdict else 0.0,
            read_learned_from(provenance) or "",
            versions,
            time,
        )


@dataclass(frozen=True)
class DecodedPiece:
    """The N decoded images of a piece, ready to be labelled.

    Attributes:
        key: of the part.
        start: row of the part that the piece begins with.
        addresses: of the images, N.
        images: uint8 [N, S, S] or [N, S, S, 3]; black where decoding failed.
        chroma: how far the images were from grey (`chroma_of`), float32 [N].
        digests: of the contents, N.
        reasons: why decoding failed, N; None where it succeeded.
    """

    key: str
    start: int
    addresses: tuple[str, ...]
    images: NDArray[np.uint8]
    chroma: NDArray[np.float32]
    digests: Digests
    reasons: tuple[str | None, ...]


@dataclass(frozen=True)
class Piece:
    """One file of the table.

    Attributes:
        name: of the file, within the table's folder.
        key: of the part whose rows it holds.
        start: row of the part that it begins with.
        rows: number of annotations in it.
        rejects: addresses and reasons.
    """

    name: str
    key: str
    start: int
    rows: int
    rejects: tuple[tuple[str, str], ...]

    @property
    def final(self) -> bool:
        """Whether reading the same files again would give the same: no file was unreadable."""
        return not any(reason.startswith(UNREADABLE) for _, reason in self.rejects)


def missing_starts(
    parts: Sequence[Part], pieces: Sequence[Piece], layout: Layout
) -> list[list[int]]:
    """The first rows of the pieces that are still missing, one list per part."""
    present = {(piece.key, piece.start) for piece in pieces}
    return [
        [start for start in range(0, part.count, layout.rows) if (part.key, start) not in present]
        for part in parts
    ]


def read_pieces(part: Part, starts: Sequence[int], layout: Layout) -> Iterator[DecodedPiece]:
    """Read and decode some pieces of a part, one after the other."""
    spans = [range(start, min(start + layout.rows, part.count)) for start in starts]
    contents = part.read(np.concatenate([np.array(span) for span in spans]))
    for span in spans:
        images = np.zeros((len(span), *layout.square.shape), dtype=np.uint8)
        chroma = np.zeros(len(span), dtype=np.float32)
        digests, reasons = list[bytes](), list[str | None]()
        for place in range(len(span)):
            content = next(contents)
            digests.append(_NOTHING if isinstance(content, ImageError) else digest_of(content))
            try:
                pixels = pixels_of(content)
                images[place], chroma[place] = layout.square(pixels), chroma_of(pixels)
                reasons.append(None)
            except ImageError as error:
                reasons.append(error.reason)
        addresses = tuple(part.address(row) for row in span)
        yield DecodedPiece(
            part.key, span.start, addresses, images, chroma, to_digests(digests), tuple(reasons)
        )


def label_pieces(
    images: NDArray[np.uint8],
    chroma: NDArray[np.float32],
    assess: Callable[[NDArray[np.uint8], NDArray[np.float32]], Assessment],
    batch: int,
) -> Assessment:
    """A student's assessment of a piece's images, in batches that are all of one size.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3].
        chroma: how far they were from grey, float32 [N].
        assess: the student; it is given `batch` images at a time, the last ones padded with black.
        batch: number of images per batch.
    """
    padded = np.zeros((-(-len(images) // batch) * batch, *images.shape[1:]), dtype=np.uint8)
    padded[: len(images)] = images
    hues = np.pad(chroma, (0, len(padded) - len(images)))
    found = [
        assess(padded[at : at + batch], hues[at : at + batch])
        for at in range(0, len(padded), batch)
    ]
    return Assessment.concatenate(found)[: len(images)]


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
    ) -> int:
        """Write a piece with the assessment of its N images; returns the number of rejects."""
        kept = np.array([reason is None for reason in decoded.reasons], dtype=bool)
        rejects = [
            (address, reason)
            for address, reason in zip(decoded.addresses, decoded.reasons, strict=True)
            if reason is not None
        ]
        table = _to_table(decoded, kept, assessment[kept], classes, origin)
        buffer = BytesIO()
        pq.write_table(
            table.replace_schema_metadata({"rejects": json.dumps(rejects)}),
            buffer,
            compression="zstd",
        )
        stem = f"part-{decoded.key}-{decoded.start:010d}"
        self._store.write_checked(stem, ".parquet", buffer.getvalue())
        return len(rejects)

    def pieces(self) -> list[Piece]:
        """All pieces; a file that was damaged after it was written is removed."""
        found = []
        for name in self._store.list("part-*.parquet"):
            data = self._store.read_checked(name)
            if data is None:
                self._store.remove(name)
                continue
            _, key, start = checked_stem(name).split("-")
            footer = pq.read_metadata(BytesIO(data))
            rejects = json.loads((footer.metadata or {})[b"rejects"])
            pairs = tuple((address, reason) for address, reason in rejects)
            found.append(Piece(name, key, int(start), footer.num_rows, pairs))
        return found

    def remove(self, piece: Piece) -> None:
        """Remove a piece, so that its images are read again."""
        self._store.remove(piece.name)

    def read(self, piece: Piece, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a piece, with some columns or all."""
        data = BytesIO(self._store.read(piece.name))
        return pq.read_table(data, columns=None if columns is None else list(columns))


def signature(pieces: Sequence[Piece], origin: Mapping[str, Any]) -> str:
    """A hash over the names of all files (which hold their checksums), provenance and rejects."""
    rejects = sorted(pair for piece in pieces for pair in piece.rejects)
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


def _to_table(
    decoded: DecodedPiece,
    kept: NDArray[np.bool_],
    assessment: Assessment,
    classes: Sequence[str],
    origin: Origin,
) -> pa.Table:
    """The rows of a piece, with the columns of the module's table; `assessment` is of those kept.

    Args:
        decoded: the piece, N images.
        kept: which images could be decoded, bool [N].
        assessment: of the images that are kept.
        classes: names of the classes.
        origin: provenance.
    """
    count = int(kept.sum())
    chances, ood_score = assessment.probabilities, assessment.ood_score
    why = review_reasons(assessment, origin.auto_above)
    digests = decoded.digests[kept].tolist()
    columns = {
        "uri": pa.array([a for a, keep in zip(decoded.addresses, kept, strict=True) if keep]),
        "digest": pa.array([digest.ljust(16, b"\0").hex() for digest in digests], pa.string()),
        "label": pa.array(classes).take(pa.array(chances.argmax(axis=1))),
        "confidence": pa.array(assessment.confidence),
        **{f"p_{name}": pa.array(chances[:, k]) for k, name in enumerate(classes)},
        "ood_score": pa.array(ood_score, mask=np.isnan(ood_score)),
        "decision": pa.array(["review" if found else "auto" for found in why], pa.string()),
        "review_reasons": pa.array([",".join(found) for found in why], pa.string()),
        **{name: pa.repeat(pa.scalar(value), count) for name, value in vars(origin).items()},
    }
    columns["uri"] = columns["uri"].cast(pa.string())
    return pa.table(columns)

"""The annotations of any number of images, as a folder of Parquet files.

```
OUT/annotations/part-KEY-START-CHECKSUM.parquet   a row an image that has a label
OUT/rejects.parquet                               uri, reason: a row an image that has none
OUT/annotate.json                                 what made them, the counts, a hash over all files
OUT/summary/index.html
```

A file holds a piece: consecutive rows of one part of the input, whole or not at all, with the
checksum of its bytes in its name. The piece's rejects travel in the file's metadata until the end,
so that a piece is never half there. The images are labelled in batches of one size, each at its
row's own place and rejects as black squares: so a label depends on nothing but the image, its place
and the student, and comes out the same, bit for bit, whenever it is made again.

| column | what it is |
| --- | --- |
| `uri` | path or URI of the file, and `#` what it is within it |
| `digest` | 32 hex digits of the SHA-256 of the content, as in the embedding table |
| `label`, `confidence` | the most probable class, and its probability |
| `p_CLASS` | one float32 a class; they sum to 1 |
| `ood_score` | distance from what the student learned; above 1 is unlike, null where not known |
| `decision`, `review_reasons` | `auto` or `review`, and why (see `medlabel.student.decision`) |
| `bundle`, `weights` | id of the student, and the SHA-256 of its weights |
| `teacher`, `teacher_model`, `captions` | its name, what names its weights, hash of its captions |
| `recipe`, `seed`, `auto_above`, `versions`, `time` | the rest of where the label comes from |
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
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import UNREADABLE, Part, digest_of, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.digests import Digests, hex_digest, to_digests
from medlabel.storage.store import Store, checked_stem
from medlabel.student.decision import Assessment, review_reasons

__all__ = [
    "MANIFEST",
    "REJECTS",
    "AnnotationTable",
    "Layout",
    "Origin",
    "Piece",
    "Prepared",
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
    """How images are cut into pieces, and pieces into batches; it follows from the student alone.

    Attributes:
        square: how an image becomes what the student sees.
        rows: of a piece; a multiple of `batch`.
        batch: images the student sees at once.
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
    """Where labels come from: the columns that are the same in every row, in their order."""

    bundle: str
    weights: str
    teacher: str
    teacher_model: str
    captions: str
    recipe: str
    seed: int
    auto_above: float
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
        """What a bundle's provenance tells; empty where it does not know."""
        teacher = provenance.get("teacher") or {}
        recipe = provenance.get("recipe") or {}
        captions = teacher.get("captions")
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
            versions,
            time,
        )


@dataclass(frozen=True)
class Prepared:
    """A piece that was read: all it takes to label it, without its part.

    Attributes:
        key: of the part.
        start: row of the part that the piece begins with.
        addresses: N.
        images: uint8 [N, S, S] or [N, S, S, 3]; black where there is a reason.
        digests: of the contents [N].
        reasons: N; None where there is an image.
    """

    key: str
    start: int
    addresses: tuple[str, ...]
    images: NDArray[np.uint8]
    digests: Digests
    reasons: tuple[str | None, ...]


@dataclass(frozen=True)
class Piece:
    """A file of the table.

    Attributes:
        name: of the file, within the table's folder.
        key: of the part whose rows it holds.
        start: row of the part that it begins with.
        rows: annotations in it.
        rejects: addresses and reasons.
    """

    name: str
    key: str
    start: int
    rows: int
    rejects: tuple[tuple[str, str], ...]

    @property
    def final(self) -> bool:
        """Whether another look at the same files would find the same."""
        return not any(reason.startswith(UNREADABLE) for _, reason in self.rejects)


def missing_starts(
    parts: Sequence[Part], pieces: Sequence[Piece], layout: Layout
) -> list[list[int]]:
    """Where the pieces begin that are not there yet, a part."""
    there = {(piece.key, piece.start) for piece in pieces}
    return [
        [start for start in range(0, part.count, layout.rows) if (part.key, start) not in there]
        for part in parts
    ]


def read_pieces(part: Part, starts: Sequence[int], layout: Layout) -> Iterator[Prepared]:
    """Read, decode and prepare some pieces of a part, one after the other."""
    spans = [range(start, min(start + layout.rows, part.count)) for start in starts]
    contents = part.read(np.concatenate([np.array(span) for span in spans]))
    for span in spans:
        images = np.zeros((len(span), *layout.square.shape), dtype=np.uint8)
        digests, reasons = list[bytes](), list[str | None]()
        for place in range(len(span)):
            content = next(contents)
            digests.append(_NOTHING if isinstance(content, ImageError) else digest_of(content))
            try:
                images[place] = layout.square(pixels_of(content))
                reasons.append(None)
            except ImageError as error:
                reasons.append(error.reason)
        addresses = tuple(part.address(row) for row in span)
        yield Prepared(part.key, span.start, addresses, images, to_digests(digests), tuple(reasons))


def label_pieces(
    images: NDArray[np.uint8],
    judge: Callable[[NDArray[np.uint8]], Assessment],
    batch: int,
) -> Assessment:
    """What a student says of a piece's images, by batches that are all of one size."""
    padded = np.zeros((-(-len(images) // batch) * batch, *images.shape[1:]), dtype=np.uint8)
    padded[: len(images)] = images
    found = [judge(padded[at : at + batch]) for at in range(0, len(padded), batch)]
    return Assessment.joined(found)[: len(images)]


class AnnotationTable:
    """The table of a folder: pieces are written in any order, and read back in the order of names.

    Args:
        store: the folder that `--out` names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store / _FOLDER

    def write(
        self,
        prepared: Prepared,
        assessment: Assessment,
        classes: Sequence[str],
        origin: Origin,
    ) -> int:
        """Write a piece and what is said of its N images; returns how many of it are rejects."""
        kept = np.array([reason is None for reason in prepared.reasons], dtype=bool)
        rejects = [
            (address, reason)
            for address, reason in zip(prepared.addresses, prepared.reasons, strict=True)
            if reason is not None
        ]
        table = _to_table(prepared, kept, assessment[kept], classes, origin)
        buffer = BytesIO()
        pq.write_table(
            table.replace_schema_metadata({"rejects": json.dumps(rejects)}),
            buffer,
            compression="zstd",
        )
        stem = f"part-{prepared.key}-{prepared.start:010d}"
        self._store.write_checked(stem, ".parquet", buffer.getvalue())
        return len(rejects)

    def pieces(self) -> list[Piece]:
        """What is there, whole; a file that was damaged since it was written is removed."""
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
        """Take a piece away, for its images to be read again."""
        self._store.remove(piece.name)

    def read(self, piece: Piece, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a piece, some columns or all."""
        data = BytesIO(self._store.read(piece.name))
        return pq.read_table(data, columns=None if columns is None else list(columns))


def signature(pieces: Sequence[Piece], origin: Mapping[str, Any]) -> str:
    """A hash over the names of all files (each holds its own checksum), the origin and rejects."""
    rejects = sorted(pair for piece in pieces for pair in piece.rejects)
    signed = [piece.name for piece in pieces], dict(origin), rejects
    return hex_digest(json.dumps(signed, sort_keys=True))


def signed_pieces(store: Store) -> tuple[str, list[Piece]]:
    """The signature and the pieces of a folder, which are all that it signs and nothing else.

    Raises:
        MedlabelError: there are none, or the table was not finished, or has changed since.
    """
    pieces = AnnotationTable(store).pieces()
    if not pieces:
        raise MedlabelError(f"{store.uri} holds no annotations: run medlabel annotate first")
    manifest = store.read_json(MANIFEST)
    found = signature(pieces, manifest["origin"])
    if manifest.get("sha256") != found:
        raise MedlabelError(
            f"the annotations in {store.uri} are not whole: run the command that made them again"
        )
    return found, pieces


def _to_table(
    prepared: Prepared,
    kept: NDArray[np.bool_],
    assessment: Assessment,
    classes: Sequence[str],
    origin: Origin,
) -> pa.Table:
    """The rows of a piece as the module's table has them; the assessment is of those kept."""
    count = int(kept.sum())
    chances, unlike = assessment.probabilities, assessment.ood_score
    why = review_reasons(assessment, origin.auto_above)
    digests = prepared.digests[kept].tolist()
    columns = {
        "uri": pa.array([a for a, keep in zip(prepared.addresses, kept, strict=True) if keep]),
        "digest": pa.array([digest.ljust(16, b"\0").hex() for digest in digests], pa.string()),
        "label": pa.array(classes).take(pa.array(chances.argmax(axis=1))),
        "confidence": pa.array(assessment.confidence),
        **{f"p_{name}": pa.array(chances[:, k]) for k, name in enumerate(classes)},
        "ood_score": pa.array(unlike, mask=np.isnan(unlike)),
        "decision": pa.array(["review" if found else "auto" for found in why], pa.string()),
        "review_reasons": pa.array([",".join(found) for found in why], pa.string()),
        **{name: pa.repeat(pa.scalar(value), count) for name, value in vars(origin).items()},
    }
    columns["uri"] = columns["uri"].cast(pa.string())
    return pa.table(columns)

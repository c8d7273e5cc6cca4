"""What people have said of images that are in a folder of annotations, from the files they fill in.

| file | where it is from | an image is told by |
| --- | --- | --- |
| columns `uri`, `answer` | `medlabel audit plan` | its address |
| columns `sha256`, `index`, `label` | `corrections.csv` of the service | its bytes |

An image's bytes name it only where it is a file of its own, or bytes in Parquet: one of a stack
that was sent to the service cannot be told. Of several corrections of an image the last one counts.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medlabel.annotations import AnnotationTable, Piece
from medlabel.audit import class_of, read_answers
from medlabel.errors import MedlabelError, reason
from medlabel.store import Store

__all__ = ["Answered", "Answers", "find_answered", "read_all_answers"]

_DIGEST = 32  # hex digits of a SHA-256 that the annotations keep
_MOST_LINES = 10**6


@dataclass(frozen=True)
class Answers:
    """Answers by address, and by the first 32 hex digits of a file's SHA-256."""

    by_uri: Mapping[str, str] = field(default_factory=dict)
    by_digest: Mapping[str, str] = field(default_factory=dict)

    def about(self, uri: str, digest: str) -> str | None:
        """What was said of an image.

        Raises:
            MedlabelError: two files say different things of it.
        """
        one, other = self.by_uri.get(uri), self.by_digest.get(digest)
        if one is not None and other is not None and one != other:
            raise MedlabelError(
                f"one file says {one!r} of {uri} and another {other!r}: correct one of them"
            )
        return one if one is not None else other


@dataclass(frozen=True)
class Answered:
    """An annotated image that somebody has said something of.

    Attributes:
        row: of the whole table, pieces in their order.
        label: class index; -1 where it is of no class.
    """

    row: int
    digest: str
    label: int


def read_all_answers(paths: Sequence[Path]) -> Answers:
    """Read files of either kind.

    Raises:
        MedlabelError: a file is of neither kind, or two of them contradict each other.
    """
    by_uri: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    for path in paths:
        known, new = by_uri, {}
        if "sha256" in _columns(path):
            known, new = by_digest, _read_corrections(path)
        else:
            new = read_answers(path)
        for name, answer in new.items():
            if known.setdefault(name, answer) != answer:
                raise MedlabelError(f"{path}: another file says {known[name]!r} of {name}")
    return Answers(by_uri, by_digest)


def find_answered(
    store: Store, pieces: Sequence[Piece], classes: Sequence[str], answers: Answers
) -> list[Answered]:
    """The annotations that the answers are about, in the table's order; copies of an image too.

    Raises:
        MedlabelError: an answer is no class, or contradicts another.
    """
    said: dict[str, int] = {}
    for _, uri, digest in _rows(store, pieces):
        answer = answers.about(uri, digest)
        if answer is None:
            continue
        label = class_of(answer, uri, classes)
        if said.setdefault(digest, label) != label:
            raise MedlabelError(f"the answers about {uri} and about its copy differ: correct one")
    return [
        Answered(row, digest, said[digest])
        for row, _, digest in _rows(store, pieces)
        if digest in said
    ]


def _rows(store: Store, pieces: Sequence[Piece]) -> Iterator[tuple[int, str, str]]:
    """Row, address and digest of every annotation."""
    table, first = AnnotationTable(store), 0
    for piece in pieces:
        rows = table.read(piece, ["uri", "digest"])
        numbers = range(first, first + piece.rows)
        yield from zip(numbers, rows["uri"].to_pylist(), rows["digest"].to_pylist(), strict=True)
        first += piece.rows


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MedlabelError(f"{path}: {reason(error)}") from error


def _read_corrections(path: Path) -> dict[str, str]:
    """Labels by digest, of the service's CSV: the last word on each file."""
    try:
        return _last_words(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MedlabelError(f"{path}: {reason(error)}") from error


def _last_words(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := {"sha256", "index", "label"} - set(reader.fieldnames or ()):
            raise MedlabelError(f"{path} has no column {' and no '.join(sorted(missing))}")
        for number, line in enumerate(reader, start=2):
            if number > _MOST_LINES:
                raise MedlabelError(f"{path} has more than {_MOST_LINES:,} lines")
            if (line["index"] or "0").strip() == "0":
                found[(line["sha256"] or "").strip()[:_DIGEST]] = (line["label"] or "").strip()
    return found

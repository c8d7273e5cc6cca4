"""People's answers about annotated images, read from the files in which they are given.

| columns | written by | identifies an image by |
| --- | --- | --- |
| `uri`, `answer` | `medlabel audit plan` | its address |
| `sha256`, `index`, `label`, `classes` | the service: `corrections.csv` | its content |

The digest of a file identifies an image only if the image is a file of its own, or bytes in a
Parquet file; images of a stack that was sent to the service cannot be identified. If an image was
corrected several times, the last correction counts. The service's file may concern several
students: corrections with other classes, and choices that are not an answer
(`medlabel.annotation.answer_words`), are counted and left out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medlabel.annotation.answer_words import class_of, find_class
from medlabel.annotation.audit import answers_by_uri, settled
from medlabel.annotation.table import AnnotationTable, Piece
from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import CsvTable, read_csv
from medlabel.storage.store import Store

__all__ = ["AnsweredImage", "Answers", "find_answered", "read_all_answers"]

ELSEWHERE = "the image is not annotated here"
STACKED = "the image is one of a stack and cannot be identified"
OTHERS = "the classes are not the student's"
NO_CLASS = "the choice is not a class"

_DIGEST = 32  # hex digits of the SHA-256 that the annotations keep
_MOST_LINES = 10**6
_CORRECTION = ("sha256", "index", "label")
_EXPECTED = ("uri", "answer", *_CORRECTION, "classes")


@dataclass(frozen=True)
class Answers:
    """Answers by address, and by the first 32 hex digits of a file's SHA-256.

    Attributes:
        by_uri: answer by address.
        by_digest: answer by digest.
        left_out: number of answers that cannot be used, by reason.
    """

    by_uri: Mapping[str, str] = field(default_factory=dict)
    by_digest: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def of(self, uri: str, digest: str, classes: Sequence[str] = ()) -> str | None:
        """The answer about an image, of one of these classes; None if there is none.

        Raises:
            MedlabelError: two files contradict each other.
        """
        one, other = self.by_uri.get(uri), self.by_digest.get(digest)
        if one is not None and other is not None and not _agree(one, other, classes):
            raise MedlabelError(
                f"one file says {one!r} of {uri} and another {other!r}: correct one of them"
            )
        return one if one is not None else other


@dataclass(frozen=True)
class AnsweredImage:
    """An annotated image about which there is an answer.

    Attributes:
        row: in the whole table, its pieces in order.
        digest: of the image's content, 32 hex digits.
        label: class index; -1 if the image is of no class.
    """

    row: int
    digest: str
    label: int


def read_all_answers(paths: Sequence[Path], classes: Sequence[str]) -> Answers:
    """Read files of either kind, for a student with these classes.

    Raises:
        MedlabelError: a file is of neither kind, or two files contradict each other.
    """
    by_uri: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for path in paths:
        table = read_csv(path, _EXPECTED, _MOST_LINES)
        if "sha256" in table.columns:
            known, new = by_digest, _read_corrections(table, classes, left_out)
        else:
            known, new = by_uri, answers_by_uri(table)
        for name, answer in new.items():
            if not _agree(known.setdefault(name, answer), answer, classes):
                raise MedlabelError(f"{path}: another file says {known[name]!r} of {name}")
    return Answers(by_uri, by_digest, left_out)


def find_answered(
    store: Store, pieces: Sequence[Piece], classes: Sequence[str], answers: Answers
) -> tuple[list[AnsweredImage], dict[str, int]]:
    """The annotations that have an answer, in the table's order; copies of an image included.

    Returns:
        the annotations, and the number of answers that are left out, by reason.

    Raises:
        MedlabelError: an answer names no class, or contradicts another.
    """
    answers = _settled(store, pieces, answers)
    labels: dict[str, int] = {}
    placed = 0
    elsewhere = set(answers.by_digest)
    for _, uri, digest in _rows(store, pieces):
        answer = answers.of(uri, digest, classes)
        if answer is None:
            continue
        placed += uri in answers.by_uri
        elsewhere.discard(digest)
        label = class_of(answer, uri, classes)
        if labels.setdefault(digest, label) != label:
            raise MedlabelError(f"the answers about {uri} and about its copy differ: correct one")
    found = [
        AnsweredImage(row, digest, labels[digest])
        for row, _, digest in _rows(store, pieces)
        if digest in labels
    ]
    left_out = Counter(answers.left_out)
    left_out[ELSEWHERE] += len(answers.by_uri) - placed + len(elsewhere)
    return found, dict(+left_out)


def _rows(store: Store, pieces: Sequence[Piece]) -> Iterator[tuple[int, str, str]]:
    """Row, address and digest of every annotation."""
    table, first = AnnotationTable(store), 0
    for piece in pieces:
        rows = table.read(piece, ["uri", "digest"])
        numbers = range(first, first + piece.rows)
        yield from zip(numbers, rows["uri"].to_pylist(), rows["digest"].to_pylist(), strict=True)
        first += piece.rows


def _settled(store: Store, pieces: Sequence[Piece], answers: Answers) -> Answers:
    """Answers by the addresses of the table; it is read only if blanks make a difference."""
    if all(uri == uri.strip() for uri in answers.by_uri):
        return answers
    known = {uri for _, uri, _ in _rows(store, pieces)}
    return replace(answers, by_uri=settled(answers.by_uri, known))


def _agree(one: str, other: str, classes: Sequence[str]) -> bool:
    """Whether two answers are the same, or name the same class."""
    meant = find_class(one, classes)
    return one == other or (meant is not None and meant == find_class(other, classes))


def _read_corrections(
    table: CsvTable, classes: Sequence[str], left_out: Counter[str]
) -> dict[str, str]:
    """Labels by digest from the service's CSV file: the last correction of each image."""
    words = _last_corrections(table, classes, left_out)
    known = {digest: w for digest, w in words.items() if find_class(w, classes) is not None}
    left_out[NO_CLASS] += len(words) - len(known)
    return known


def _last_corrections(
    table: CsvTable, classes: Sequence[str], left_out: Counter[str]
) -> dict[str, str]:
    table.require(*_CORRECTION)
    found: dict[str, str] = {}
    for number, line in table.rows:
        offered = _offered(line.get("classes", ""))
        if offered is None:
            raise MedlabelError(f"{table.path} line {number}: classes is not a list of names")
        digest = line["sha256"].strip()[:_DIGEST]
        if offered and sorted(offered) != sorted(classes):
            left_out[OTHERS] += 1
        elif (line["index"].strip() or "0") != "0":
            left_out[STACKED] += 1
        elif not digest:
            left_out[ELSEWHERE] += 1
        else:
            found[digest] = line["label"].strip(" ")
    return found


def _offered(cell: str) -> list[str] | None:
    """The classes that a person chose from, a JSON list; None if it is something else."""
    try:
        offered = json.loads(cell.strip() or "[]")
    except ValueError:
        return None
    return [str(name) for name in offered] if isinstance(offered, list) else None

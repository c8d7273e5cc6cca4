"""What people said of labels: accepted or corrected, who and when. Rows are only ever added.

The last word on an image counts: one for each set of classes that people chose from, for an image
may be labelled by students of different tasks. A word from Label Studio is a row before its image
is read; when it is, a second row with the hash takes the first one's turn. Exported as CSV, and as
tasks that Label Studio imports.
"""

import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medlabel.errors import MedlabelError
from serving.schemas import Correction, StoredCorrection

__all__ = ["CHOICE", "Corrections", "as_csv", "as_tasks", "labelling_config"]

CHOICE, IMAGE = "choice", "image"  # names of the tags in Label Studio's configuration
_COLUMNS = (
    "sha256",
    "image",
    "file",
    "bundle",
    "predicted",
    "confidence",
    "label",
    "who",
    "classes",
    "completes",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS corrections (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sha256 TEXT NOT NULL,
  image INTEGER NOT NULL, file TEXT NOT NULL, bundle TEXT NOT NULL, predicted TEXT NOT NULL,
  confidence REAL NOT NULL, label TEXT NOT NULL, who TEXT NOT NULL,
  classes TEXT NOT NULL, completes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_image ON corrections (sha256, image, id);
CREATE TRIGGER IF NOT EXISTS never_changed BEFORE UPDATE ON corrections
  BEGIN SELECT RAISE(ABORT, 'corrections are only added'); END;
CREATE TRIGGER IF NOT EXISTS never_removed BEFORE DELETE ON corrections
  BEGIN SELECT RAISE(ABORT, 'corrections are only added'); END;
"""
_NEWER = {  # columns that files of earlier versions have not
    "classes": "ALTER TABLE corrections ADD COLUMN classes TEXT NOT NULL DEFAULT '[]'",
    "completes": "ALTER TABLE corrections ADD COLUMN completes INTEGER NOT NULL DEFAULT 0",
}
_LATEST = """
WITH words AS (
  SELECT *, CASE completes WHEN 0 THEN id ELSE completes END AS turn FROM corrections
)
SELECT *, MAX(turn) FROM words AS one
WHERE NOT (sha256 = '' AND EXISTS (
  SELECT 1 FROM words WHERE file = one.file AND classes = one.classes
  AND (turn > one.turn OR completes = one.id)))
AND NOT (classes = '[]' AND EXISTS (
  SELECT 1 FROM words WHERE sha256 = one.sha256 AND image = one.image AND turn > one.turn))
GROUP BY sha256, image, classes, CASE sha256 WHEN '' THEN file ELSE '' END
ORDER BY turn
"""  # of bare columns SQLite gives those of the row that has the maximum


_STORED = ("id", "at", *_COLUMNS[:-1])
_TRIES = 50  # a tenth of a second apart


class Corrections:
    """A SQLite file; several copies on one machine may share it.

    Raises:
        MedlabelError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prepare()
            path.chmod(0o600)
        except (OSError, sqlite3.Error) as error:
            raise MedlabelError(f"cannot keep corrections in {path}: {error}") from error

    def _prepare(self) -> None:
        """Make the table; copies that start at once take turns, for this switch does not wait."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._connect() as database:
                    database.execute("PRAGMA journal_mode=WAL")
                    database.executescript(_SCHEMA)
                    there = {row[1] for row in database.execute("PRAGMA table_info(corrections)")}
                    for name in _NEWER.keys() - there:
                        database.execute(_NEWER[name])
                return
            except sqlite3.OperationalError as error:  # or another copy added it just now
                if not tries_left or not re.search("locked|duplicate column", str(error)):
                    raise
                time.sleep(0.1)

    def add(
        self, correction: Correction, classes: Sequence[str], completes: int = 0
    ) -> StoredCorrection:
        """Write one down, with the classes that there were; what was said before stays.

        `completes` is the number of a row that said the same before its image was read.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = (correction.sha256, correction.index, correction.file, correction.bundle)
        said = (correction.predicted, correction.confidence, correction.label, correction.who)
        names = sorted(classes)
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        with self._connect() as database:
            cursor = database.execute(
                f"INSERT INTO corrections (at, {', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608  (ours)
                (at, *values, *said, json.dumps(names), completes),
            )
        number = cursor.lastrowid or 0
        return StoredCorrection(id=number, at=at, classes=names, **correction.model_dump())

    def latest(self) -> list[StoredCorrection]:
        """The last word on each image, in the order in which it was said."""
        return self._read(_LATEST)

    def history(self) -> list[StoredCorrection]:
        """Everything that was ever said."""
        completed = "SELECT completes FROM corrections"
        query = f"SELECT * FROM corrections WHERE id NOT IN ({completed}) ORDER BY id"  # noqa: S608  (no input in it)
        return self._read(query)

    def _read(self, query: str) -> list[StoredCorrection]:
        with self._connect() as database:
            database.row_factory = sqlite3.Row
            return [_stored(row) for row in database.execute(query)]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own: calls come from many threads."""
        with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
            yield database


def _stored(row: sqlite3.Row) -> StoredCorrection:
    values = {name: row[name] for name in row.keys() if name in _STORED}  # noqa: SIM118  (a Row has values)
    classes = json.loads(values.pop("classes"))
    return StoredCorrection(index=values.pop("image"), classes=classes, **values)


def as_csv(rows: list[StoredCorrection]) -> str:
    """One line a row, under a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(StoredCorrection.model_fields))
    writer.writeheader()
    for row in rows:
        values = row.model_dump() | {"classes": json.dumps(row.classes)}
        writer.writerow({key: _harmless(value) for key, value in values.items()})
    return buffer.getvalue()


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, marked as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def as_tasks(rows: list[StoredCorrection], prefix: str = "") -> list[dict[str, Any]]:
    """Tasks for Label Studio: what the student said, and the person's label.

    `prefix` goes before each file's name, such as `/data/local-files/?d=images/`, and makes an
    address of it.
    """
    return [_task(row, prefix) for row in rows]


def _task(row: StoredCorrection, prefix: str) -> dict[str, Any]:
    data = {
        IMAGE: _address(row.file or row.sha256, prefix),
        "sha256": row.sha256,
        "index": row.index,
        "who": row.who,
        "at": row.at,
    }
    prediction = {
        "model_version": row.bundle,
        "score": row.confidence,
        "result": [choice(row.predicted)],
    }
    return {
        "data": data,
        "predictions": [prediction] if row.predicted else [],
        "annotations": [{"result": [choice(row.label)]}],
    }


def _address(file: str, prefix: str) -> str:
    """A file's address behind a prefix; what Label Studio named itself is one."""
    if not prefix or file.startswith(("/", "http:", "https:", "data:")):
        return file
    return prefix + quote(file)


def choice(label: str, from_name: str = CHOICE, to_name: str = IMAGE) -> dict[str, Any]:
    """A label as Label Studio writes it."""
    return {
        "from_name": from_name,
        "to_name": to_name,
        "type": "choices",
        "value": {"choices": [label]},
    }


def labelling_config(classes: list[str]) -> str:
    """The labelling configuration of a project whose tasks these are."""
    from xml.sax.saxutils import quoteattr

    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View><Image name="{IMAGE}" value="${IMAGE}"/>'
        f'<Choices name="{CHOICE}" toName="{IMAGE}" choice="single">{choices}</Choices></View>'
    )

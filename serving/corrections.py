"""People's labels, accepted or corrected, with who and when. Rows are only ever added.

The latest correction of an image counts: one for each set of classes that people chose from, since
an image may be labelled by students of different tasks. A correction from Label Studio is stored
before its image is read; when the image has been read, a second row with its SHA-256 completes the
first and takes its place in the order. The export formats are CSV and Label Studio's tasks.
"""

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
from medlabel.storage.csv_files import write_csv
from serving.schemas import Correction, StoredCorrection

__all__ = ["CHOICE", "Corrections", "as_csv", "as_tasks", "labelling_config"]

CHOICE, IMAGE = "choice", "image"  # names of the tags in Label Studio's labelling configuration
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
_ADDED_COLUMNS = {  # since earlier versions, whose files are migrated
    "classes": "ALTER TABLE corrections ADD COLUMN classes TEXT NOT NULL DEFAULT '[]'",
    "completes": "ALTER TABLE corrections ADD COLUMN completes INTEGER NOT NULL DEFAULT 0",
}
_LATEST = """
WITH ordered AS (
  SELECT *, CASE completes WHEN 0 THEN id ELSE completes END AS turn FROM corrections
)
SELECT *, MAX(turn) FROM ordered AS this
WHERE NOT (sha256 = '' AND EXISTS (
  SELECT 1 FROM ordered WHERE file = this.file AND classes = this.classes
  AND (turn > this.turn OR completes = this.id)))
AND NOT (classes = '[]' AND EXISTS (
  SELECT 1 FROM ordered WHERE sha256 = this.sha256 AND image = this.image AND turn > this.turn))
GROUP BY sha256, image, classes, CASE sha256 WHEN '' THEN file ELSE '' END
ORDER BY turn
"""  # SQLite takes bare columns from the row that has the maximum

_STORED = ("id", "at", *_COLUMNS[:-1])
_ATTEMPTS = 50  # a tenth of a second apart


class Corrections:
    """A SQLite file, which several replicas on one machine may share.

    Raises:
        MedlabelError: it cannot be opened, or is not such a file.
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
        """Create the table; retry while another replica does, for the PRAGMA does not wait."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                with self._connect() as database:
                    database.execute("PRAGMA journal_mode=WAL")
                    database.executescript(_SCHEMA)
                    existing = {
                        row[1] for row in database.execute("PRAGMA table_info(corrections)")
                    }
                    for name in _ADDED_COLUMNS.keys() - existing:
                        database.execute(_ADDED_COLUMNS[name])
                return
            except sqlite3.OperationalError as error:  # another replica did it just now
                if not attempts_left or not re.search("locked|duplicate column", str(error)):
                    raise
                time.sleep(0.1)

    def add(
        self, correction: Correction, classes: Sequence[str], completes: int = 0
    ) -> StoredCorrection:
        """Store a correction.

        Args:
            correction: to store.
            classes: to choose from.
            completes: id of the row that held this correction before its image was read.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = (correction.sha256, correction.index, correction.file, correction.bundle)
        labels = (correction.predicted, correction.confidence, correction.label, correction.who)
        names = sorted(classes)
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        with self._connect() as database:
            cursor = database.execute(
                f"INSERT INTO corrections (at, {', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608  (ours)
                (at, *values, *labels, json.dumps(names), completes),
            )
        row_id = cursor.lastrowid or 0
        return StoredCorrection(id=row_id, at=at, classes=names, **correction.model_dump())

    def latest(self) -> list[StoredCorrection]:
        """The latest correction of each image, oldest first."""
        return self._read(_LATEST)

    def history(self) -> list[StoredCorrection]:
        """All corrections, oldest first."""
        completed = "SELECT completes FROM corrections"
        query = f"SELECT * FROM corrections WHERE id NOT IN ({completed}) ORDER BY id"  # noqa: S608  (no input in it)
        return self._read(query)

    def _read(self, query: str) -> list[StoredCorrection]:
        with self._connect() as database:
            database.row_factory = sqlite3.Row
            return [_stored(row) for row in database.execute(query)]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A new connection, since calls come from many threads."""
        with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
            yield database


def _stored(row: sqlite3.Row) -> StoredCorrection:
    values = {name: row[name] for name in row.keys() if name in _STORED}  # noqa: SIM118  (a Row has values)
    classes = json.loads(values.pop("classes"))
    return StoredCorrection(index=values.pop("image"), classes=classes, **values)


def as_csv(rows: list[StoredCorrection]) -> str:
    """CSV with a header and one line per row; `medlabel retrain` reads it back exactly."""
    columns = list(StoredCorrection.model_fields)
    values = (row.model_dump() | {"classes": json.dumps(row.classes)} for row in rows)
    return write_csv(columns, [[row[name] for name in columns] for row in values])


def as_tasks(rows: list[StoredCorrection], prefix: str = "") -> list[dict[str, Any]]:
    """Tasks for Label Studio: the student's label is the prediction, the person's the annotation.

    `prefix`, such as `/data/local-files/?d=images/`, is prepended to each file name to make a URL.
    """
    return [_task(row, prefix) for row in rows]


def _task(row: StoredCorrection, prefix: str) -> dict[str, Any]:
    data = {
        IMAGE: _url(row.file or row.sha256, prefix),
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


def _url(file: str, prefix: str) -> str:
    """The URL of a file; a name that came from Label Studio already is one."""
    if not prefix or file.startswith(("/", "http:", "https:", "data:")):
        return file
    return prefix + quote(file)


def choice(label: str) -> dict[str, Any]:
    """A label in Label Studio's format, for a project with `labelling_config`."""
    return {
        "from_name": CHOICE,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [label]},
    }


def labelling_config(classes: list[str]) -> str:
    """The labelling configuration of a Label Studio project for these classes."""
    from xml.sax.saxutils import quoteattr

    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View><Image name="{IMAGE}" value="${IMAGE}"/>'
        f'<Choices name="{CHOICE}" toName="{IMAGE}" choice="single">{choices}</Choices></View>'
    )

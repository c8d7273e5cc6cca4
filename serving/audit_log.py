"""One line of JSON for each annotation, appended to a file: what was said of which bytes.

A line has a time, the request's id, the file's hash, the image's place in it, the student, its
label, probability and decision. No name of a file, no header and no pixel is ever written.
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from medlabel.errors import MedlabelError
from serving.schemas import Annotation, RefusedFile

__all__ = ["Audit"]


class Audit:
    """Appends to `audit-DATE-NAME.jsonl` in a folder; a line is written whole.

    Raises:
        MedlabelError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._day, self._file = "", -1
        self._open(_day())

    def write(self, request_id: str, results: Sequence[Annotation | RefusedFile]) -> None:
        """A line for each result."""
        now = datetime.now(UTC)
        self._open(now.strftime("%Y%m%d"))
        head = {"at": now.isoformat(timespec="milliseconds"), "request": request_id}
        lines = [json.dumps(head | _facts(one)) for one in results]
        os.write(self._file, ("\n".join(lines) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file, self._day = -1, ""

    def _open(self, day: str) -> None:
        if day == self._day:
            return
        self.close()
        path = self._folder / f"audit-{day}-{self._name}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise MedlabelError(f"cannot write audit lines to {path}: {error.strerror}") from error
        self._day = day


def _day() -> str:
    return datetime.now(UTC).strftime("%Y%m%d")


def _facts(one: Annotation | RefusedFile) -> dict[str, object]:
    if isinstance(one, RefusedFile):
        return {"sha256": one.sha256, "status": one.status}
    return {
        "sha256": one.sha256,
        "index": one.index,
        "bundle": one.bundle,
        "label": one.label,
        "confidence": round(one.confidence, 4),
        "decision": one.decision,
        "review_reasons": one.review_reasons,
    }

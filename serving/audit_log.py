"""The audit log: one line of JSON per annotation, appended to a file.

A line holds the time, the request's id, the file's SHA-256, the image's index within the file, the
student, its label, probability and decision, and the review reasons. File names, HTTP headers and
pixels are never written.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from medlabel.errors import MedlabelError
from medlabel.storage.strict_json import to_json
from serving.schemas import Annotation, RefusedFile

__all__ = ["AuditLog"]


class AuditLog:
    """Appends to `audit-DATE-NAME.jsonl` in a folder; the lines of a request are written at once.

    Raises:
        MedlabelError: the folder or the file cannot be created.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._day, self._file = "", -1
        self._open(datetime.now(UTC))

    def write(self, request_id: str, results: Sequence[Annotation | RefusedFile]) -> None:
        """Append a line for each result of a request."""
        now = datetime.now(UTC)
        self._open(now)
        head = {"at": now.isoformat(timespec="milliseconds"), "request": request_id}
        lines = [to_json(head | _facts(result)) for result in results]
        os.write(self._file, ("\n".join(lines) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file, self._day = -1, ""

    def _open(self, now: datetime) -> None:
        """Open the file of today (UTC), unless it is open already."""
        day = now.strftime("%Y%m%d")
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


def _facts(result: Annotation | RefusedFile) -> dict[str, object]:
    if isinstance(result, RefusedFile):
        return {"sha256": result.sha256, "status": result.status}
    return {
        "sha256": result.sha256,
        "index": result.index,
        "bundle": result.bundle,
        "label": result.label,
        "confidence": round(result.confidence, 4),
        "decision": result.decision,
        "review_reasons": result.review_reasons,
    }

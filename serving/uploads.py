"""Read the files of a request, and never more of them than is allowed."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.images import Refused

__all__ = ["FIELDS", "Bounded", "Gate", "Limits", "Upload", "read_uploads"]

FIELDS = ("file", "files")
_NAME = 255  # characters of a file's name that are kept


@dataclass(frozen=True, slots=True)
class Upload:
    """One file: the name its sender gave, and its content."""

    name: str
    data: bytes


class Gate:
    """Counts the bytes of all bodies that are held at once, so that memory has an end."""

    def __init__(self, most: int) -> None:
        self.held, self._most = 0, most

    def take(self, size: int) -> None:
        """Let so many bytes in; `Refused` with 503 when that is too much for now."""
        if self.held + size > self._most:
            raise Refused(503, "busy with other requests: come back in a second")
        self.held += size

    def release(self, size: int) -> None:
        """Forget bytes that are no longer held."""
        self.held -= size


class Bounded:
    """Ends a body that grows too large, where the framework reads it: all but `/annotate`.

    Args:
        app: the interface.
        most: bytes that a route's body may have, by the start of its path; `small` elsewhere.
        gate: for all bodies that are held at once.
        small: bytes.
    """

    def __init__(
        self, app: ASGIApp, most: Mapping[str, int], gate: Gate, small: int = 2**16
    ) -> None:
        self._app, self._most, self._gate, self._small = app, most, gate, small

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, with an eye on its body."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/annotate":  # which reads with care itself
            await self._app(scope, receive, send)
            return
        limit = next((m for p, m in self._most.items() if path.startswith(p)), self._small)
        held = 0

        async def bounded() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if held + size > limit:
                raise HTTPException(413, f"more than {limit:,} bytes")
            try:
                self._gate.take(size)
            except Refused as busy:
                raise HTTPException(503, busy.reason, {"Retry-After": "1"}) from busy
            held += size
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._gate.release(held)


class _Body:
    """A request's body in pieces, until it grows beyond `limit` bytes."""

    def __init__(self, request: Request, limit: int, gate: Gate) -> None:
        self._request, self._limit, self._gate, self.taken = request, limit, gate, 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._request.stream():
            if self.taken + len(chunk) > self._limit:
                reason = f"more than {self._limit / 2**20:g} MiB: send it in parts"
                raise Refused(413, reason)
            self._gate.take(len(chunk))
            self.taken += len(chunk)
            yield chunk


@dataclass(frozen=True)
class Limits:
    """What a request may have: bytes, files, and seconds to send them in."""

    size: int
    files: int
    seconds: float


async def read_uploads(request: Request, limits: Limits, gate: Gate) -> tuple[list[Upload], int]:
    """The files that were sent, as a form's file fields or as the whole body, and their bytes.

    The caller gives the bytes back to the gate when it is done with them.

    Raises:
        Refused: there is none, or a limit is passed, whatever the request's header says.
    """
    body = _Body(request, limits.size, gate)
    try:
        async with asyncio.timeout(limits.seconds):
            uploads = await _read(request, body, limits.files)
        if not any(upload.data for upload in uploads):
            raise Refused(400, "nothing was sent: put an image into the body or a file field")
    except ClientDisconnect as error:
        gate.release(body.taken)
        raise Refused(400, "the upload was cut short") from error
    except TimeoutError as error:
        gate.release(body.taken)
        reason = f"not sent within {limits.seconds:g} seconds: send it in parts"
        raise Refused(408, reason) from error
    except BaseException:
        gate.release(body.taken)
        raise
    return uploads, body.taken


async def _read(request: Request, body: _Body, most: int) -> list[Upload]:
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request, body, most)
    return [Upload("", b"".join([piece async for piece in body.pieces()]))]


class _MemoryParser(MultiPartParser):
    """Keeps files in memory: patients' images are not to lie about in temporary files."""

    spool_max_size = sys.maxsize


async def _read_form(request: Request, body: _Body, most: int) -> list[Upload]:
    parser = _MemoryParser(request.headers, body.pieces(), max_files=most, max_fields=8)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if "Too many files" in error.message else 400
        raise Refused(status, f"a form that is refused: {error.message}".splitlines()[0]) from error
    except (KeyError, ValueError) as error:
        raise Refused(400, f"a malformed form: {error}".splitlines()[0]) from error
    uploads = [
        Upload((value.filename or "")[:_NAME], await value.read())
        for name, value in form.multi_items()
        if isinstance(value, UploadFile) and name in FIELDS
    ]
    await form.close()
    if not uploads:
        raise Refused(400, f"the form has no file in a field {FIELDS[0]!r}")
    return uploads

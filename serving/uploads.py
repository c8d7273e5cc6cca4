"""Read the files of a request, and never more of them than is allowed."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.images import Refused

__all__ = ["FIELDS", "Bounded", "Gate", "Held", "Limits", "Upload", "read_uploads"]

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


class Held:
    """Bytes that are in by a gate until the block ends."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._size = gate, 0

    def take(self, size: int) -> None:
        """Let so many more in; `Refused` with 503 when that is too much for now."""
        self._gate.take(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._gate.release(self._size)


class Bounded:
    """Ends a body that grows too large or takes too long, where the framework reads it.

    That is everywhere but at `/annotate`.

    Args:
        app: the interface.
        most: bytes that a route's body may have, by the start of its path; `small` elsewhere.
        gate: for all bodies that are held at once.
        seconds: to send a body in.
        small: bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        most: Mapping[str, int],
        gate: Gate,
        seconds: float,
        small: int = 2**16,
    ) -> None:
        self._app, self._most, self._gate, self._small = app, most, gate, small
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, with an eye on its body."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/annotate":  # which reads with care itself
            await self._app(scope, receive, send)
            return
        limit = next((m for p, m in self._most.items() if path.startswith(p)), self._small)
        size, whole = 0, False
        until = asyncio.get_running_loop().time() + self._seconds

        async def bounded() -> Message:
            nonlocal size, whole
            try:
                async with asyncio.timeout_at(None if whole else until):
                    message = await receive()
            except TimeoutError as error:
                reason = f"not sent within {self._seconds:g} seconds"
                raise HTTPException(408, reason) from error
            more = len(message.get("body", b""))
            if size + more > limit:
                raise HTTPException(413, f"more than {limit:,} bytes")
            try:
                held.take(more)
            except Refused as busy:
                raise HTTPException(503, busy.reason, {"Retry-After": "1"}) from busy
            size, whole = size + more, not message.get("more_body", False)
            return message

        with Held(self._gate) as held:
            await self._app(scope, bounded, send)


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

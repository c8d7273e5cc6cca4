"""Reads the files of a request, within limits on bytes, files, time and memory."""

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

from serving.images import RequestError

__all__ = [
    "FIELDS",
    "BodyLimits",
    "Limits",
    "MemoryLimit",
    "Reservation",
    "Upload",
    "read_uploads",
]

FIELDS = ("file", "files")
_NAME = 255  # characters of a file's name that are kept


@dataclass(frozen=True, slots=True)
class Upload:
    """One file: the name that the client gave it, and its content."""

    name: str
    data: bytes


class MemoryLimit:
    """Counts the bytes of all request bodies in memory, and refuses those that exceed a maximum.

    Attributes:
        used: bytes in memory now.
    """

    def __init__(self, maximum: int) -> None:
        self.used, self._maximum = 0, maximum

    def acquire(self, size: int) -> None:
        """Count bytes; raise `RequestError` with 503 if they would exceed the maximum."""
        if self.used + size > self._maximum:
            raise RequestError(503, "busy with other requests: come back in a second")
        self.used += size

    def release(self, size: int) -> None:
        """Bytes that are no longer in memory."""
        self.used -= size


class Reservation:
    """Bytes of a `MemoryLimit` that are released when the `with` block ends."""

    def __init__(self, memory: MemoryLimit) -> None:
        self._memory, self._size = memory, 0

    def acquire(self, size: int) -> None:
        """Count more bytes; raise `RequestError` with 503 if they would exceed the maximum."""
        self._memory.acquire(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._memory.release(self._size)


class BodyLimits:
    """Middleware that stops a request whose body is too large, too slow, or exceeds the memory.

    It applies to every route but `/annotate`, which reads its body by `read_uploads`.

    Args:
        app: the application.
        sizes: maximum bytes of a body, by the start of a route's path.
        memory: shared by all requests.
        seconds: in which a body must have been sent.
        default: maximum bytes for all other routes.
    """

    def __init__(
        self,
        app: ASGIApp,
        sizes: Mapping[str, int],
        memory: MemoryLimit,
        seconds: float,
        default: int = 2**16,
    ) -> None:
        self._app, self._sizes, self._memory, self._default = app, sizes, memory, default
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and raise `HTTPException` where the application reads too much."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/annotate":
            await self._app(scope, receive, send)
            return
        limit = next((n for p, n in self._sizes.items() if path.startswith(p)), self._default)
        size, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def limited() -> Message:
            nonlocal size, complete
            try:
                async with asyncio.timeout_at(None if complete else deadline):
                    message = await receive()
            except TimeoutError as error:
                reason = f"not sent within {self._seconds:g} seconds"
                raise HTTPException(408, reason) from error
            more = len(message.get("body", b""))
            if size + more > limit:
                raise HTTPException(413, f"more than {limit:,} bytes")
            try:
                reservation.acquire(more)
            except RequestError as busy:
                raise HTTPException(503, busy.reason, {"Retry-After": "1"}) from busy
            size, complete = size + more, not message.get("more_body", False)
            return message

        with Reservation(self._memory) as reservation:
            await self._app(scope, limited, send)


class _Body:
    """A request's body in chunks, up to `limit` bytes; `size` counts those that were read."""

    def __init__(self, request: Request, limit: int, memory: MemoryLimit) -> None:
        self._request, self._limit, self._memory, self.size = request, limit, memory, 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._request.stream():
            if self.size + len(chunk) > self._limit:
                reason = f"more than {self._limit / 2**20:g} MiB: send it in parts"
                raise RequestError(413, reason)
            self._memory.acquire(len(chunk))
            self.size += len(chunk)
            yield chunk


@dataclass(frozen=True)
class Limits:
    """Limits of one request: bytes, files, and seconds in which it must have been sent."""

    size: int
    files: int
    seconds: float


async def read_uploads(
    request: Request, limits: Limits, memory: MemoryLimit
) -> tuple[list[Upload], int]:
    """The files of a request, sent as a form's file fields or as the body, and their size in bytes.

    The caller releases these bytes of `memory` when it no longer needs the files.

    Raises:
        RequestError: there is no file, or a limit is exceeded, whatever the request's headers say.
    """
    body = _Body(request, limits.size, memory)
    try:
        async with asyncio.timeout(limits.seconds):
            uploads = await _read(request, body, limits.files)
        if not any(upload.data for upload in uploads):
            raise RequestError(400, "nothing was sent: put an image into the body or a file field")
    except ClientDisconnect as error:
        memory.release(body.size)
        raise RequestError(400, "the upload was cut short") from error
    except TimeoutError as error:
        memory.release(body.size)
        reason = f"not sent within {limits.seconds:g} seconds: send it in parts"
        raise RequestError(408, reason) from error
    except BaseException:
        memory.release(body.size)
        raise
    return uploads, body.size


async def _read(request: Request, body: _Body, max_files: int) -> list[Upload]:
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request, body, max_files)
    return [Upload("", b"".join([chunk async for chunk in body.chunks()]))]


class _MemoryParser(MultiPartParser):
    """Keeps files in memory: patients' images must not be left in temporary files."""

    spool_max_size = sys.maxsize


async def _read_form(request: Request, body: _Body, max_files: int) -> list[Upload]:
    parser = _MemoryParser(request.headers, body.chunks(), max_files=max_files, max_fields=8)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if "Too many files" in error.message else 400
        reason = f"a form that is refused: {error.message}".splitlines()[0]
        raise RequestError(status, reason) from error
    except (KeyError, ValueError) as error:
        raise RequestError(400, f"a malformed form: {error}".splitlines()[0]) from error
    uploads = [
        Upload((value.filename or "")[:_NAME], await value.read())
        for name, value in form.multi_items()
        if isinstance(value, UploadFile) and name in FIELDS
    ]
    await form.close()
    if not uploads:
        raise RequestError(400, f"the form has no file in a field {FIELDS[0]!r}")
    return uploads

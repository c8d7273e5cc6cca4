"""Read the one image of a request, and never more of it than is allowed."""

import sys
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serving.images import Refused

__all__ = ["FIELD", "MAX_BODY", "read_upload"]

MAX_BODY = 20 * 2**20  # bytes
FIELD = "file"


async def read_upload(request: Request, limit: int = MAX_BODY) -> bytes:
    """The bytes of the image that was sent, as the form's `file` field or as the whole body.

    Raises:
        Refused: there is none, or the body is longer than `limit`, whatever its header says.
    """
    try:
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            data = await _read_form(request, limit)
        else:
            data = b"".join([chunk async for chunk in _limited(request, limit)])
    except ClientDisconnect as error:
        raise Refused(400, "the upload was cut short") from error
    if not data:
        raise Refused(400, "nothing was sent: put an image into the body or a file field")
    return data


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body in pieces, until it grows beyond `limit` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise Refused(413, f"more than {limit / 2**20:g} MiB: send a smaller image")
        yield chunk


class _MemoryParser(MultiPartParser):
    """Keeps the file in memory: patients' images are not to lie about in temporary files."""

    spool_max_size = sys.maxsize


async def _read_form(request: Request, limit: int) -> bytes:
    parser = _MemoryParser(request.headers, _limited(request, limit), max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refused(400, f"a malformed form: {error}".splitlines()[0]) from error
    upload = form.get(FIELD)
    data = await upload.read() if isinstance(upload, UploadFile) else None
    await form.close()
    if data is None:
        raise Refused(400, f"the form has no file in its field {FIELD!r}")
    return data

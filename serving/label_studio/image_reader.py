"""Read the images of Label Studio's tasks: from the one server that was configured, or not at all.

A task is made by whoever may write to a project, so its address of an image may be anything: of a
machine behind the firewall, of a file. Only `data:` images and the two places where Label Studio
keeps its own are read; and never at the host that a request names, but at the configured one.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable
from urllib.parse import quote, unquote

import httpx

from medlabel.errors import MedlabelError

__all__ = ["ImageReader", "Unreadable"]

_DATA = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
_UPLOAD = re.compile(r"/data/upload/\d{1,12}/([^/?#]{1,500})")
_LOCAL = re.compile(r"/data/local-files/\?d=([^&;#]{1,1000})")  # one d= and no other
_ODD = re.compile(r"[\x00-\x1f\x7f\\%]|\s(?<! )")  # in no name of a file, once it is unquoted
_ACCESS_S = 240.0  # an access token lives 300 s


class Unreadable(Exception):
    """An image that is not read, and why, without its address; `for_good`: nor will it be."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class ImageReader:
    """Gives the bytes behind an image's address.

    Args:
        origin: of the Label Studio, such as http://127.0.0.1:8080; None: only `data:` is read.
        token: its legacy token, or a personal access token.
        most: bytes an image.
        transport: for tests.

    Raises:
        MedlabelError: the origin is no http address.
    """

    def __init__(
        self,
        origin: str | None,
        token: str | None,
        most: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if origin is not None and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", origin):
            raise MedlabelError(
                f"{origin!r} is no address of a Label Studio: write http://HOST:PORT"
            )
        self._origin = origin.rstrip("/") if origin else None
        self._token, self._most, self._transport = token, most, transport
        self._access, self._access_until = "", 0.0

    async def read(self, address: object, take: Callable[[int], None]) -> bytes:
        """The bytes, each piece after `take` has let it in; `Unreadable` says why not."""
        if not isinstance(address, str):
            raise Unreadable("no address of an image", for_good=True)
        if prefix := _DATA.match(address):
            take(len(address) * 3 // 4)
            return self._decode(address[prefix.end() :])
        path = self._allowed(address)
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(20, connect=5),
            trust_env=False,
            follow_redirects=False,
            transport=self._transport,
        )
        try:
            async with client:
                return await self._fetch(client, path, take)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise Unreadable(f"Label Studio gave no image: {type(error).__name__}") from None

    def _decode(self, text: str) -> bytes:
        if len(text) > self._most * 4 // 3 + 4:
            raise Unreadable("an image of too many bytes")
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise Unreadable("a data: address that is no base64", for_good=True) from None

    def _allowed(self, address: str) -> str:
        """The path at the configured server that an address means, if it means one."""
        if self._origin is None:
            raise Unreadable("no Label Studio is configured to read images from", for_good=True)
        path = address.removeprefix(self._origin) if address.startswith("http") else address
        found = _UPLOAD.fullmatch(path) or _LOCAL.fullmatch(path)
        name = unquote(found[1]) if found else ""
        inner = found is not None and found.re is _UPLOAD and "/" in name
        if not found or inner or _ODD.search(name) or ".." in name.split("/"):
            reason = "an address that is none of the configured Label Studio's own"
            raise Unreadable(reason, for_good=True)
        return path[: found.start(1)] + quote(name)

    async def _fetch(
        self, client: httpx.AsyncClient, path: str, take: Callable[[int], None]
    ) -> bytes:
        headers = {"Authorization": await self._authorization(client)} if self._token else {}
        pieces, size = [], 0
        async with client.stream("GET", f"{self._origin}{path}", headers=headers) as answer:
            if answer.status_code != 200:
                raise Unreadable(f"Label Studio answered {answer.status_code}")
            async for piece in answer.aiter_bytes():
                size += len(piece)
                if size > self._most:
                    raise Unreadable("an image of too many bytes")
                take(len(piece))
                pieces.append(piece)
        return b"".join(pieces)

    async def _authorization(self, client: httpx.AsyncClient) -> str:
        """A legacy token as it is; a personal one is exchanged for one that lives five minutes."""
        if not self._token or self._token.count(".") != 2:
            return f"Token {self._token}"
        if time.monotonic() > self._access_until:
            answer = await client.post(
                f"{self._origin}/api/token/refresh", json={"refresh": self._token}
            )
            answer.raise_for_status()
            self._access = str(answer.json()["access"])
            self._access_until = time.monotonic() + _ACCESS_S
        return f"Bearer {self._access}"

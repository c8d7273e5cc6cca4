"""Reads the images of Label Studio's tasks: from the one server that was configured, or not at all.

Anyone who may write to a project can create a task, so its image URL can be anything: a machine
behind the firewall, a local file. So only `data:` URLs and the two paths under which Label Studio
keeps images are read, and always from the configured host, whatever host a URL names.
"""

import base64
import re
import time
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import httpx

from medlabel.errors import MedlabelError

__all__ = ["ImageReadError", "ImageReader"]

_DATA = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
_UPLOAD = re.compile(r"/data/upload/\d{1,12}/([^/?#]{1,800})")  # a name of 255 bytes, quoted
_LOCAL = re.compile(r"/data/local-files/\?d=([^&;#]{1,12300})")  # one d= and no other; 4096 bytes
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f\\]")
_ACCESS_S = 240.0  # an access token is valid for 300 s


class ImageReadError(Exception):
    """An image was not read. The reason does not contain its URL.

    Attributes:
        permanent: whether another attempt would fail, too.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class ImageReader:
    """Returns the bytes behind an image's URL.

    Args:
        origin: of the Label Studio, such as http://127.0.0.1:8080; with None only `data:` URLs
            are read.
        token: its legacy token, or a personal access token, if it needs one.
        max_bytes: per image.
        transport: for tests.

    Raises:
        MedlabelError: the origin is not an HTTP URL.
    """

    def __init__(
        self,
        origin: str | None,
        token: str | None,
        max_bytes: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if origin is not None and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", origin):
            raise MedlabelError(
                f"{origin!r} is not the URL of a Label Studio: write http://HOST:PORT"
            )
        self._origin = origin.rstrip("/") if origin else None
        self._token, self._max_bytes, self._transport = token, max_bytes, transport
        self._access, self._access_until = "", 0.0

    async def read(self, url: object, reserve: Callable[[int], None]) -> bytes:
        """The bytes of an image.

        Args:
            url: of the image; anything but the URLs that this module allows is refused.
            reserve: called with the number of bytes of each chunk; may raise to stop.

        Raises:
            ImageReadError: the URL is not allowed, or there is no image.
        """
        if not isinstance(url, str):
            raise ImageReadError("not the URL of an image", permanent=True)
        if prefix := _DATA.match(url):
            reserve(len(url) * 3 // 4)
            return self._decode(url[prefix.end() :])
        path = self._allowed_path(url)
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(20, connect=5),
            trust_env=False,
            follow_redirects=False,
            transport=self._transport,
        )
        try:
            async with client:
                return await self._fetch(client, path, reserve)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise ImageReadError(f"Label Studio gave no image: {type(error).__name__}") from None

    def _decode(self, text: str) -> bytes:
        if len(text) > self._max_bytes * 4 // 3 + 4:
            raise ImageReadError("an image of too many bytes")
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise ImageReadError("a data: URL that is not base64", permanent=True) from None

    def _allowed_path(self, url: str) -> str:
        """The path on the configured server that a URL refers to, if it is allowed."""
        if self._origin is None:
            raise ImageReadError(
                "no Label Studio is configured to read images from", permanent=True
            )
        path = url.removeprefix(self._origin) if url.startswith("http") else url
        found = _UPLOAD.fullmatch(path) or _LOCAL.fullmatch(path)
        name = _unquoted(found) if found else b""
        inner = found is not None and found.re is _UPLOAD and b"/" in name
        if not found or inner or _is_dangerous(name):
            reason = "not a URL of the configured Label Studio"
            raise ImageReadError(reason, permanent=True)
        return path[: found.start(1)] + quote(name)

    async def _fetch(
        self, client: httpx.AsyncClient, path: str, reserve: Callable[[int], None]
    ) -> bytes:
        headers = {"Authorization": await self._authorization(client)} if self._token else {}
        chunks, size = [], 0
        async with client.stream("GET", f"{self._origin}{path}", headers=headers) as response:
            if response.status_code != 200:
                raise ImageReadError(f"Label Studio answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > self._max_bytes:
                    raise ImageReadError("an image of too many bytes")
                reserve(len(chunk))
                chunks.append(chunk)
        return b"".join(chunks)

    async def _authorization(self, client: httpx.AsyncClient) -> str:
        """A legacy token is sent unchanged; a personal one is exchanged for a short-lived one."""
        if not self._token or self._token.count(".") != 2:
            return f"Token {self._token}"
        if time.monotonic() > self._access_until:
            response = await client.post(
                f"{self._origin}/api/token/refresh", json={"refresh": self._token}
            )
            response.raise_for_status()
            self._access = str(response.json()["access"])
            self._access_until = time.monotonic() + _ACCESS_S
        return f"Bearer {self._access}"


def _unquoted(found: re.Match[str]) -> bytes:
    """The name of a file in a URL, whose bytes Label Studio quotes: once, so `%2541` is `%41`."""
    text = found[1].replace("+", " ") if found.re is _LOCAL else found[1]  # as servers read queries
    return unquote_to_bytes(text.encode(errors="replace"))


def _is_dangerous(name: bytes) -> bool:
    """Whether a path could lead elsewhere, also where something unquotes it again, and again."""
    while True:
        if _FORBIDDEN.search(name) or b".." in name.split(b"/"):
            return True
        further = unquote_to_bytes(name)
        if further == name:
            return False
        name = further

"""Who may ask: checked before anything of a request's body is read.

On loopback no token is needed, but a page of another site must not ask through the user's own
browser: so there the name that was asked for has to be this machine's (which also ends DNS
rebinding), and whatever changes something must come from this page or from no page at all.
Elsewhere every request but for the page's own files and the health checks needs the token, as
`Authorization: Bearer TOKEN`, or as the password of Basic authentication (Label Studio's way).
"""

import base64
import binascii
import hmac
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medlabel.errors import MedlabelError, reason
from serving.telemetry import Telemetry

__all__ = ["TOKEN", "Authentication", "read_secret"]

TOKEN = "MEDLABEL_TOKEN"  # noqa: S105  (the variable's name)
_SHORTEST = 16
_OPEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
_ROUTES = (
    *("/", "/annotate", "/models", "/healthz", "/readyz", "/metrics", "/corrections"),
    *("/corrections.csv", "/corrections.json", "/docs", "/openapi.json"),
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")


def read_secret(file: str | None, variable: str) -> str | None:
    """A secret from a file, else from the environment; None where neither is set.

    Raises:
        MedlabelError: the file cannot be read, or the secret is too short to be one.
    """
    try:
        secret = Path(file).read_text().strip() if file else os.environ.get(variable)
    except (OSError, ValueError) as error:
        raise MedlabelError(f"cannot read the token in {file}: {reason(error)}") from error
    if not secret and not file:
        return None
    if not secret or len(secret) < _SHORTEST:
        where = file or variable
        raise MedlabelError(
            f"the token in {where} has fewer than {_SHORTEST} characters: make one with "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return secret


class Authentication:
    """Lets in who may ask, and counts what was answered."""

    def __init__(self, app: ASGIApp, token: str | None, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            await (refusal or self._app)(scope, receive, watched)
        finally:
            self._telemetry.answered(_route(scope["path"]), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._token is None:
            if _name(host) not in _LOOPBACK:
                return _refuse(403, "without a token this server is asked as localhost only")
        elif not _is_open(scope["path"]) and not self._knows(headers.get(b"authorization", b"")):
            answer = _refuse(401, "send the token: `Authorization: Bearer TOKEN`")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        origin = headers.get(b"origin")
        foreign = origin is not None and _netloc(origin.decode("latin-1")) != host
        if foreign and scope["method"] not in _SAFE:
            return _refuse(403, "a page of another site may not do this")
        return None

    def _knows(self, authorization: bytes) -> bool:
        kind, _, value = authorization.partition(b" ")
        if kind.lower() == b"basic":
            try:
                value = base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != b"bearer":
            return False
        return self._token is not None and hmac.compare_digest(value.strip(), self._token)


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith("/static/")


def _route(path: str) -> str:
    """A route's name for the counters, of which there are few whatever is asked for."""
    if path in _ROUTES:
        return path
    return next((p for p in ("/static", "/label-studio") if path.startswith(p)), "other")


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"detail": reason}, status_code=status)

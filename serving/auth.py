"""Authentication: every request is checked before any of its body is read.

Without a token the service is for this machine only. The `Host` header must name it, which prevents
DNS rebinding, and a request that changes something must not come from another site's page (its
`Origin` header must agree with `Host`). With a token, every request but those for the page's own
files and the health checks must send it: as `Authorization: Bearer TOKEN`, or as the password of
Basic authentication, which is what Label Studio can send.

Starlette's `TrustedHostMiddleware` would check `Host`, but it answers 400 in plain text without a
reason, where every other refusal of this API is JSON that says what to do.
"""

import base64
import binascii
import hmac
import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medlabel.errors import MedlabelError, reason
from serving.telemetry import Telemetry

__all__ = ["TOKEN", "Authentication", "read_secret"]

TOKEN = "MEDLABEL_TOKEN"  # noqa: S105  (the variable's name)
_MIN_TOKEN = 16  # characters
_PUBLIC = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
_ROUTES = (
    *("/", "/annotate", "/models", "/healthz", "/readyz", "/metrics", "/corrections"),
    *("/corrections.csv", "/corrections.json", "/docs", "/openapi.json"),
)
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]*)?", re.IGNORECASE)
_SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing (RFC 9110, 9.2.1)


def read_secret(file: str | None, variable: str) -> str | None:
    """A secret from a file, else from the environment; None where neither is set.

    Raises:
        MedlabelError: the file cannot be read, or the secret is too short to be one.
    """
    try:
        secret = (
            Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get(variable)
        )
    except (OSError, ValueError) as error:
        raise MedlabelError(f"cannot read the token in {file}: {reason(error)}") from error
    if not secret and not file:
        return None
    if not secret or len(secret) < _MIN_TOKEN:
        where = file or variable
        raise MedlabelError(
            f"the token in {where} has fewer than {_MIN_TOKEN} characters: make one with "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return secret


class Authentication:
    """Middleware that refuses requests without permission, and counts all of them."""

    def __init__(self, app: ASGIApp, token: str | None, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            await (refusal or self._app)(scope, receive, record_status)
        finally:
            self._telemetry.answered(_route(scope["path"]), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._token is None:
            if not _LOOPBACK.fullmatch(host):
                return _refuse(403, "without a token this server answers as localhost only")
        elif not _is_open(scope["path"]) and not self._is_valid(headers.get(b"authorization", b"")):
            refusal = _refuse(401, "send the token: `Authorization: Bearer TOKEN`")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        origin = headers.get(b"origin")
        foreign = origin is not None and _netloc(origin.decode("latin-1")) != host
        if foreign and scope["method"] not in _SAFE:
            return _refuse(403, "a page of another site may not do this")
        return None

    def _is_valid(self, authorization: bytes) -> bool:
        kind, _, value = authorization.partition(b" ")
        if kind.lower() == b"basic":
            try:
                value = base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != b"bearer":
            return False
        return self._token is not None and hmac.compare_digest(value.strip(), self._token)


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_open(path: str) -> bool:
    return path in _PUBLIC or path.startswith("/static/")


def _route(path: str) -> str:
    """A route's name in the metrics: one of a few, whatever paths clients request."""
    if path in _ROUTES:
        return path
    return next((p for p in ("/static", "/label-studio") if path.startswith(p)), "other")


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"detail": reason}, status_code=status)

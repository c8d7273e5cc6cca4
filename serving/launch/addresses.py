"""Where the server may listen: on this machine alone, unless clients have to show a token."""

import ipaddress
import os
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from medlabel.errors import MedlabelError
from serving.auth import TOKEN

__all__ = ["answers", "check_authorised", "check_port", "free_port", "state_folder"]


def check_authorised(host: str | None, token: str | None) -> None:
    """Raise a `MedlabelError` where others could ask without a token; None is every address."""
    if token is None and not _is_loopback(host):
        raise MedlabelError(
            f"will not listen on {host or 'every address'} without a token: make one with `python3 "
            "-c 'import secrets; print(secrets.token_urlsafe(32))'`, and name its file with "
            f"--token-file or put it into {TOKEN}"
        )


def check_port(host: str, port: int) -> None:
    """Raise a `MedlabelError` unless `port` is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()  # two may bind to one port like this, but only one may listen
    except OSError as error:
        raise MedlabelError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def answers(host: str, port: int, path: str) -> bool:
    """Whether a server on this machine answers a GET with 200."""
    if host in ("0.0.0.0", "::"):  # noqa: S104  (compared, not listened on)
        host = "localhost"
    connection = HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def state_folder(given: str | None) -> Path:
    """Where corrections and audit lines are kept: what is given, else the user's data folder."""
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "medlabel"

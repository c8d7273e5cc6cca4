"""Addresses to listen on: loopback only, unless clients must send a token."""

import ipaddress
import os
import socket
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from medlabel.errors import MedlabelError, reason
from medlabel.storage.home import user_folder
from serving.auth import TOKEN

__all__ = [
    "check_authorised",
    "check_port",
    "check_state",
    "free_port",
    "is_answering",
    "state_folder",
]


def check_authorised(host: str | None, token: str | None) -> None:
    """Raise a `MedlabelError` if other machines could connect without a token.

    A host of None means every address.
    """
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
            probe.listen()  # with SO_REUSEADDR several may bind, but only one may listen
    except OSError as error:
        raise MedlabelError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error


def free_port() -> int:
    """A port of the loopback interface that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_answering(host: str, port: int, path: str) -> bool:
    """Whether a server on this machine answers a GET request with 200."""
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
    """The folder for corrections and the audit log; by default in the user's data folder."""
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    named = "XDG_DATA_HOME, or name one with --state"
    return (Path(data) if data else user_folder(named, ".local", "share")) / "medlabel"


def check_state(given: str | None) -> None:
    """Raise a `MedlabelError` unless the state folder can be written, before replicas do."""
    folder = state_folder(given)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MedlabelError(
            f"cannot keep corrections in {folder}: {reason(error)}; "
            "name another folder with --state"
        ) from error

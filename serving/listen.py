"""Where the server may listen: on this machine alone, and where nobody else does."""

import ipaddress
import socket
from http.client import HTTPConnection, HTTPException

from medlabel.errors import MedlabelError

__all__ = ["answers", "check_address"]


def check_address(host: str, port: int) -> None:
    """Raise a `MedlabelError` unless `host` is loopback and `port` is free."""
    if not _is_loopback(host):
        raise MedlabelError(
            f"will not listen on {host}: the server has no authentication yet, so it listens on "
            "127.0.0.1 only; put a reverse proxy that has it in front, or use "
            f"`ssh -L {port}:127.0.0.1:{port} THIS_MACHINE`"
        )
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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def answers(host: str, port: int, path: str) -> bool:
    """Whether a server on this machine answers a GET with 200."""
    connection = HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()

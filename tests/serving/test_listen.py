"""The server listens on loopback, and only where nobody else does."""

import socket

import pytest

from medlabel.errors import MedlabelError
from serving.listen import answers, check_address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_other_machines_are_kept_out(host):
    with pytest.raises(MedlabelError, match="no authentication"):
        check_address(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_is_accepted(host):
    check_address(host, 0)


def test_busy_port_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MedlabelError, match="in use"):
            check_address("127.0.0.1", other.getsockname()[1])


def test_silence_is_no_answer():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert not answers("127.0.0.1", probe.getsockname()[1], "/")

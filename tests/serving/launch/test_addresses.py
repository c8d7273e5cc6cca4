"""The server listens on loopback, and only where nobody else does."""

import socket
from pathlib import Path

import pytest

from medlabel.errors import MedlabelError
from serving.launch.addresses import (
    check_authorised,
    check_port,
    check_state,
    is_answering,
    state_folder,
)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "", None])
def test_other_machines_need_a_token(host):
    with pytest.raises(MedlabelError, match="without a token"):
        check_authorised(host, None)
    check_authorised(host, "a-token-of-some-length")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_loopback_needs_none(host):
    check_authorised(host, None)


def test_the_state_folder_is_the_given_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert state_folder(None) == tmp_path / "medlabel"
    assert state_folder("/x") == Path("/x")


def test_a_state_folder_that_cannot_be_written_is_refused_once(tmp_path):
    check_state(str(tmp_path / "state"))
    assert list((tmp_path / "state").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(MedlabelError, match="Not a directory; name another folder with --state"):
        check_state(str(tmp_path / "file" / "state"))


def test_busy_port_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MedlabelError, match="in use"):
            check_port("127.0.0.1", other.getsockname()[1])


def test_silence_is_no_answer():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert not is_answering("127.0.0.1", probe.getsockname()[1], "/")

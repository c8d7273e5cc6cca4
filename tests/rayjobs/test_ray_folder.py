"""Where a Ray of our own keeps its files, and what is said where it cannot."""

import pytest

from medlabel.errors import MedlabelError
from rayjobs.ray_folder import _LONGEST, _SOCKET, temporary_folder


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


def test_it_is_named_as_ray_does(monkeypatch, tmp_path):
    monkeypatch.chdir("/tmp")
    assert temporary_folder() == "/tmp/ray"
    monkeypatch.setenv("TMPDIR", "/tmp/../tmp")
    assert temporary_folder() == "/tmp/ray"
    monkeypatch.setenv("RAY_TMPDIR", ".")  # workers run elsewhere
    assert temporary_folder() == "/tmp/ray"
    monkeypatch.setenv("RAY_TMPDIR", "")
    assert temporary_folder() == "/tmp/ray"


def test_a_path_that_is_too_long_for_sockets_is_refused_with_one_that_is_not(monkeypatch, tmp_path):
    longest = _SOCKET - _LONGEST - len("/ray")
    fits = "/tmp/" + "x" * (longest - 5)
    assert len(f"{fits}/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/raylet") < 107
    monkeypatch.setenv("TMPDIR", f"{fits}y")
    with pytest.raises(MedlabelError, match=r"\(TMPDIR\): a path .* RAY_TMPDIR=/tmp$"):
        temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # what is advised helps
    assert temporary_folder() == "/tmp/ray"
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "é" * (longest // 2))  # bytes count
    with pytest.raises(MedlabelError, match=r"\(RAY_TMPDIR\): a path of more than"):
        temporary_folder()


def test_a_folder_that_cannot_be_written_is_refused(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/dev/null")
    with pytest.raises(
        MedlabelError, match=r"/null/ray \(TMPDIR\): Not a directory; name a folder"
    ):
        temporary_folder()

"""What a user is told of an error that was not medlabel's own."""

from pathlib import Path

import pytest

from medlabel.cli import app as cli
from medlabel.errors import MedlabelError, reason


def test_a_path_is_said_once_and_no_number(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none").read_bytes()
    assert reason(caught.value) == "No such file or directory"
    assert reason(OSError("the disk is on fire")) == "the disk is on fire"
    assert reason(MedlabelError("no such class")) == "no such class"


def test_the_command_line_names_the_file_that_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: Path("/nowhere/a.png").write_bytes(b""))
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err == "error: /nowhere/a.png: No such file or directory\n"

"""What happens before a command: where modules come from."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError
from support import write_alien_modules

from medlabel.cli import app, working_directory_last

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("path", "here", "ours", "expected"),
    [
        (["/scans", "/usr/lib"], "/scans", "/opt", ["/usr/lib", "/scans"]),  # python -m
        (["/bin", "", "/usr/lib"], "/scans", "/opt", ["/bin", "/usr/lib", "/scans"]),
        (["/bin", "/scans/", "/usr/lib"], "/scans", "/opt", ["/bin", "/usr/lib", "/scans"]),
        (["/bin", "/usr/lib"], "/scans", "/opt", ["/bin", "/usr/lib"]),
        (["/git", "/git/src", "/usr"], "/git", "/git/src", ["/git", "/git/src", "/usr"]),
        (["/git", "/usr"], "/git", "/git/.venv/lib", ["/usr", "/git"]),
    ],
)
def test_the_working_directory_is_looked_at_last(path, here, ours, expected):
    assert working_directory_last(path, here, ours) == expected


def test_files_in_the_working_directory_are_not_taken_for_packages(tmp_path):
    write_alien_modules(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import medlabel.cli\n"
    code += "import typer, numpy, rayjobs; print('fine')"
    paths = os.pathsep.join(["", str(ROOT)])  # as of PYTHONPATH=$UNSET:/x
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_an_error_of_ray_is_one_line_with_its_reason():
    """Also where it is an `OSError`, whose text is the traceback of a worker."""
    full = OSError(errno.ENOSPC, "No space left on device", "/out/a")
    error = RayTaskError("f", "Traceback: ...\n  many\n  lines", full, "ray::f", 1, "127.0.0.1")
    expected = "/out/a: No space left on device; what is finished is kept"
    assert app._line_of(error.as_instanceof_cause()) == expected
    assert app._line_of(error) == expected
    assert app._line_of(full) == "/out/a: No space left on device"
    assert app._line_of(ValueError("a mistake of ours")) is None

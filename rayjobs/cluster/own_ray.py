"""What a Ray of our own needs of this machine: a token, a CPU, and where code comes from.

Each may be missing where Ray takes it for granted: in a container without a home directory, with a
share of a CPU, or in a working directory that holds a `numpy.py`.
"""

import logging
import os
import secrets
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray._private.utils
from ray.job_config import JobConfig

import medlabel
import rayjobs

__all__ = ["Job", "clean_python_path", "cpus", "ensure_token", "worker_paths"]

_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105  (the name of a variable)


# ---------------------------------------------------------------- token, CPUs


def ensure_token() -> None:
    """Make a token for this process and its children where Ray could neither find nor keep one.

    Ray takes the token from the environment or from `~/.ray/auth_token`, where it writes one that
    it makes. That fails without a home directory, and in one that cannot be written.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    if not (os.environ.get(_TOKEN) or os.environ.get("RAY_AUTH_TOKEN_PATH") or _has_token_file()):
        os.environ[_TOKEN] = secrets.token_hex(32)


def _has_token_file() -> bool:
    """Whether the user's token can be read, or one can be written in its place."""
    try:
        path = Path(os.environ["HOME"]) / ".ray" / "auth_token"  # Ray knows no other home
        if not os.path.isabs(path) or path.is_relative_to("/nonexistent"):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return bool(path.read_text(encoding="ascii").strip())
        with tempfile.NamedTemporaryFile(dir=path.parent) as probe:
            probe.write(b"0" * 64)
            probe.flush()
    except (KeyError, OSError, ValueError):
        return False
    return True


def cpus() -> int | None:
    """The CPUs to start Ray with; None for as many as Ray finds.

    Ray rounds down what a container may use of the CPUs. It would find none with half of one, and
    wait for ever for a second.
    """
    notes = logging.getLogger(ray._private.utils.__name__)
    before = notes.level
    notes.setLevel(logging.ERROR)  # Ray notes that it rounds
    try:
        found = ray._private.utils.get_num_cpus()
    finally:
        notes.setLevel(before)
    return None if found >= 1 else 1


# ---------------------------------------------------------------- where code comes from


class Job(JobConfig):
    """A job whose workers import from given folders first.

    Ray puts the driver's working directory first on the path of its workers. A file there that is
    called `numpy.py`, or a folder `rayjobs`, would be imported in place of the real one.

    Args:
        paths: folders to import from, in this order; None to leave everything to Ray.
    """

    def __init__(self, paths: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self._paths = paths

    def _get_proto_job_config(self) -> Any:
        """What Ray sends to the workers, each of which puts one folder after the other in front."""
        self._py_driver_sys_path = list(reversed(self._paths))
        return super()._get_proto_job_config()  # type: ignore[no-untyped-call]  # Ray


def worker_paths(own: bool) -> list[str]:
    """The folders that workers import from, before all others.

    Args:
        own: whether Ray was started here. Then workers import what this process does, in the same
            order, but for the working directory, which comes last. The nodes of a cluster that was
            joined have installed their packages elsewhere: they are sent where this checkout is,
            if medlabel is not installed like any other package.
    """
    roots = dict.fromkeys(_root(module) for module in (medlabel, rayjobs))
    if own:
        here = {os.getcwd(), ""}
        others = [path for path in sys.path if path not in here and os.path.isabs(path)]
        return list(dict.fromkeys([*_before_others(roots, others), *others, os.getcwd()]))
    installed = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return [root for root in roots if os.path.realpath(root) not in installed]


def _before_others(roots: Mapping[str, None], others: Sequence[str]) -> list[str]:
    """Our own folders where the path lacks them, because they are the working directory."""
    return [root for root in roots if root not in others]


def _root(module: Any) -> str:
    """The folder that a package was imported from."""
    return str(Path(module.__file__).absolute().parent.parent)


@contextmanager
def clean_python_path() -> Iterator[None]:
    """While Ray starts, keep the working directory off PYTHONPATH, which its processes inherit.

    An empty entry, as in `PYTHONPATH=$PYTHONPATH:/x`, stands for the working directory. Workers
    import from there in the end (see `worker_paths`).
    """
    before = os.environ.get("PYTHONPATH")
    if before is None:
        yield
        return
    given = [path for path in before.split(os.pathsep) if os.path.isabs(path)]
    kept = [path for path in given if os.path.normpath(path) != os.getcwd()]
    os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before

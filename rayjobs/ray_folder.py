"""The folder of this machine in which a Ray of our own keeps its sockets, logs and spilled objects.

Apart from `rayjobs.cluster`, because the service needs it before Ray is imported.
"""

import os
import sys
import tempfile

from medlabel.errors import MedlabelError, reason

__all__ = ["temporary_folder"]

_SOCKET = 107 if sys.platform.startswith("linux") else 103  # bytes of a path, see unix(7)
_LONGEST = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


def temporary_folder() -> str:
    """The folder of Ray's sockets, logs and spilled objects: `ray` in RAY_TMPDIR, TMPDIR or `/tmp`.

    Raises:
        MedlabelError: its path is too long for sockets, or it cannot be written.
    """
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
    name = next((name for name in names if os.environ.get(name)), "")
    parent = os.path.abspath(os.environ[name]) if name else "/tmp"  # noqa: S108  (as Ray does)
    folder = os.path.join(parent, "ray")
    where = f"Ray keeps its files in {folder}" + (f" ({name})" if name else "")
    most = _SOCKET - _LONGEST
    if len(os.fsencode(folder)) > most:
        raise MedlabelError(
            f"{where}: a path of more than {most} bytes is too long for its sockets; name a folder "
            "with a shorter path in RAY_TMPDIR, such as RAY_TMPDIR=/tmp"
        )
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)  # an empty file fits on a full disk
            probe.flush()
    except OSError as error:
        raise MedlabelError(
            f"{where}: {reason(error)}; name a folder that can be written in RAY_TMPDIR"
        ) from error
    return folder

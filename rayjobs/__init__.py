"""The jobs on Ray: one file or folder per job, each a thin use of one Ray library.

In: a job's configuration. Out: folders of runs, sweeps, searches, annotations and embeddings.
Imports `medlabel` but not `medlabel.cli` and `medlabel.jobs`.

Ray reads its settings when it is first imported, so those that must be there by then are set here.
"""

import os
from pathlib import Path

__all__ = ["joined_address"]


def joined_address() -> str | None:
    """The address of the cluster to join, from RAY_ADDRESS; None to start a Ray of our own."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def _ensure_home() -> None:
    """Name a home directory that does not exist, as Debian does, where the user has none.

    Ray's libraries look for it when they are imported, and fail without one.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


_ensure_home()

# A Ray of our own must listen on loopback alone. Ray calls the setting for this after the systems
# where it is the default; a cluster that is joined has addresses of its own.
if joined_address() is None:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

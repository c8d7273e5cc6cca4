"""Folders of the user on this machine: the cache of teachers and embeddings, and others.

A container may run as a user who has no entry in the system's list of users, and no HOME. So a
folder that a variable names is used without looking for the home directory.
"""

import os
from pathlib import Path

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store

__all__ = ["ADVICE", "cache_folder", "default_home", "home_if_any", "home_store", "user_folder"]

_NONE = Path("/nonexistent")  # the home of users without one, by Debian's convention
ADVICE = "name another folder with --home or in MEDLABEL_HOME"
"""How to name another folder of the cache, where it cannot be written; ends a message."""


def default_home() -> Path:
    """The folder named by MEDLABEL_HOME, else `medlabel` in XDG_CACHE_HOME or in `~/.cache`.

    Raises:
        MedlabelError: none of them is set, and the user has no home directory.
    """
    if named := os.environ.get("MEDLABEL_HOME"):
        return cache_folder(named)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache):  # the specification says to ignore a relative one
        return Path(cache) / "medlabel"
    return user_folder("MEDLABEL_HOME", ".cache", "medlabel")


def home_if_any() -> Path | None:
    """The same, or None for a user without a home directory."""
    try:
        return default_home()
    except MedlabelError:
        return None


def cache_folder(named: Path | str) -> Path:
    """A folder as a user names it, with `~` replaced and absolute: workers run elsewhere.

    Raises:
        MedlabelError: it begins with `~`, and the user has no home directory.
    """
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise MedlabelError(f"{named}: {error}; write the whole path instead of ~") from error


def user_folder(variable: str, *parts: str) -> Path:
    """A folder in the user's home directory.

    Args:
        variable: the environment variable that names another one, for the message of the error.
        parts: the names below the home directory.

    Raises:
        MedlabelError: the user has no home directory.
    """
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the user is in no list of users
        home = _NONE
    if home == _NONE:
        raise MedlabelError(
            f"there is no home directory for {'/'.join(('~', *parts))}: set HOME, or name a folder "
            f"in {variable}"
        )
    return home.joinpath(*parts)


def home_store(home: Path, name: str = "") -> Store:
    """The cache or a folder in it; errors of writing there say how to name another cache."""
    return Store(str(home / name), advice=ADVICE)

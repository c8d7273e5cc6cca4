"""The command line. It may import everything, and nothing imports it.

With `python -m`, and with an empty entry in PYTHONPATH, Python looks for modules in the working
directory first. A folder of images may hold a `numpy.py`, or a folder `rayjobs`. So it is looked at
last here, before anything else is imported.
"""

import os
import sys

__all__ = ["working_directory_last"]


def working_directory_last(path: list[str], here: str, ours: str) -> list[str]:
    """A path of modules with the working directory in the last place.

    Args:
        path: such as `sys.path`.
        here: the working directory.
        ours: the folder from which medlabel was imported; nothing changes if it is `here`, or the
            `src` of a checkout there.

    Examples:
        >>> working_directory_last(["", "/scans", "/usr/lib"], "/scans", "/opt")
        ['/usr/lib', '/scans']
    """
    others = [entry for entry in path if entry and os.path.normpath(entry) != here]
    if len(others) == len(path) or ours in (here, os.path.join(here, "src")):
        return path
    return [*others, here]


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


sys.path[:] = working_directory_last(
    sys.path, _working_directory(), os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
)

"""Callbacks that report the progress of long-running functions."""

from collections.abc import Callable

__all__ = ["OnProgress", "StageProgress", "ignore_progress"]

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the stage, the number of units done, and their total."""

StageProgress = Callable[[int, int], None]
"""Called with the number of units done and their total, within a single stage."""


def ignore_progress(*_: object) -> None:
    """Ignore progress: the default of functions that take such a callback."""

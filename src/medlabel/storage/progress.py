"""Callbacks by which long work reports how far it has come: to a progress bar, a log, a test."""

from collections.abc import Callable

__all__ = ["OnProgress", "StageProgress", "ignore_progress"]

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the stage, the units done, and the units in all."""

StageProgress = Callable[[int, int], None]
"""Called with the units done and the units in all, by work that is one stage of something."""


def ignore_progress(*_: object) -> None:
    """Report to nobody: the default of functions that take one of these callbacks."""

"""Looks that users define in a Python file, given with `--looks`.

The file is executed with all rights of the user, so it must be trusted. Only the command line can
name such files, not the YAML file of a task. The file defines `LOOKS`, a list of `Look`. Its text
is kept, because other processes must draw the same images and because it decides the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medlabel.errors import MedlabelError, reason
from medlabel.phantoms import _LOOKS, Look, draw_look

__all__ = ["add_look_files", "add_looks", "added_sources"]

_TEXTS: dict[str, tuple[Look, ...]] = {}  # looks added to this process, by the text of their file


def added_sources() -> tuple[str, ...]:
    """Return the sorted texts of the files whose looks were added to this process."""
    return tuple(sorted(_TEXTS))


def add_look_files(paths: Sequence[Path]) -> None:
    """Add the looks in Python files to `medlabel.phantoms.LOOKS`.

    Raises:
        MedlabelError: a file cannot be read or executed, or has no looks that can be drawn.
    """
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MedlabelError(f"cannot read looks {path}: {reason(error)}") from error
        add_looks([text], str(path))


def add_looks(texts: Sequence[str], name: str = "looks.py") -> None:
    """Add the looks defined by the texts of Python files; repeated texts are ignored.

    Raises:
        MedlabelError: as in `add_look_files`.
    """
    for text in texts:
        if text in _TEXTS:
            continue
        looks = _looks_in(text, name)
        for look in looks:
            _check(look, name)
        _TEXTS[text] = looks
        _LOOKS.update({look.flag: look for look in looks})


def _looks_in(text: str, name: str) -> tuple[Look, ...]:
    space: dict[str, Any] = {"__name__": Path(name).stem, "__file__": name}
    try:
        exec(compile(text, name, "exec"), space)  # noqa: S102  (the user asked for it)
    except Exception as error:  # whatever a user's program may raise
        raise MedlabelError(f"{name} does not run: {type(error).__name__}: {error}") from error
    looks = space.get("LOOKS")
    if not isinstance(looks, (list, tuple)) or not looks:
        raise MedlabelError(f"{name} defines no looks: end it with LOOKS = [Look(...)]")
    for look in looks:
        if not isinstance(look, Look):
            raise MedlabelError(f"{name}: LOOKS holds {type(look).__name__}, not Look")
    return tuple(looks)


def _check(look: Look, name: str) -> None:
    """Raise unless the look has an unused flag, kinds, and images of the declared shape."""
    if not look.flag.isidentifier() or look.flag in _LOOKS:
        raise MedlabelError(f"{name}: {look.flag!r} is taken or invalid: use letters and digits")
    if not look.kinds:
        raise MedlabelError(f"{name}: look {look.flag!r} has no kinds: define at least one")
    try:
        draw_look(look, 8, 0, even=True)
    except Exception as error:  # whatever a user's program may raise
        shape = "[n,size,size,3]" if look.colour else "[n,size,size]"
        raise MedlabelError(
            f"{name}: look {look.flag!r} cannot be drawn as {shape}: "
            f"{type(error).__name__}: {error}".splitlines()[0]
        ) from error

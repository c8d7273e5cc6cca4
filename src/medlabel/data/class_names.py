"""Names of classes that people cannot tell apart, and that some file systems cannot either."""

import unicodedata
from collections.abc import Iterable

from medlabel.errors import InvalidArgumentError

__all__ = ["alike", "plain_name", "refuse_alike", "refuse_reserved"]

_RESERVED = {"image_id", "label", "row", "split"}  # other columns of score tables


def plain_name(name: str) -> str:
    """Return a name in one case, with single spaces and in one form of Unicode.

    >>> plain_name(" Knee  MRI") == plain_name("knee mri")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join(seen.split())


def alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names that are equal but for case, spaces or their form of Unicode.

    >>> alike(["chest", "breast", "Chest "])
    ('chest', 'Chest ')
    """
    seen: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        if plain in seen:
            return seen[plain], name
        seen[plain] = name
    return None


def refuse_alike(names: Iterable[str]) -> None:
    """Raise a `ValueError` if two classes have one name, or names that nobody can tell apart.

    Letters in another case, spaces, invisible characters and Unicode's ways to write a character
    (NFKC) make no difference.
    """
    if (found := alike(names)) is None:
        return
    first, second = found
    if first == second:
        raise InvalidArgumentError(f"two classes are named {first!r}: name each class once")
    raise InvalidArgumentError(
        f"the classes {_both(first, second)} differ only in case, spaces or their form of "
        "Unicode: rename one"
    )


def refuse_reserved(names: Iterable[str]) -> None:
    """Raise a `ValueError` if a class has the name of another column of our tables."""
    for name in names:
        if name in _RESERVED:
            raise InvalidArgumentError(f"a class may not be named {name!r}: choose another name")


def _both(first: str, second: str) -> str:
    """Two names for a message, with escapes where they would look the same."""
    same = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    show = ascii if same else repr
    return f"{show(first)} and {show(second)}"

"""Patterns of paths: `*.png`, `ward?/*.dcm`, `**/*.png`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Pattern:
    """Which paths in a folder are wanted; without components, all of them.

    Attributes:
        components: of the pattern. `*`, `?` and `[…]` stand for characters of a name, `**` stands
            for folders at any depth, or none.
    """

    components: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> list[re.Pattern[str] | None]:
        return [
            None if component == "**" else re.compile(translate(component))
            for component in self.components
        ]

    def fits(self, path: str) -> bool:
        """Whether a file's path in the folder is wanted.

        >>> pattern = Pattern(("**", "*.png"))
        >>> pattern.fits("a.png"), pattern.fits("x/y/a.png"), pattern.fits("x/a.jpg")
        (True, True, False)
        """
        return not self.components or _fits(self._compiled, path.split("/"))

    def leads_to(self, folder: str) -> bool:
        """Whether wanted paths may lie in a folder.

        >>> pattern = Pattern(("ward*", "*.png"))
        >>> pattern.leads_to("ward1"), pattern.leads_to("x"), pattern.leads_to("ward1/x")
        (True, False, False)
        """
        if not self.components:
            return True
        for wanted, name in zip(self._compiled, folder.split("/"), strict=False):
            if wanted is None:
                return True
            if not wanted.match(name):
                return False
        return folder.count("/") + 1 < len(self.components)


def is_pattern(text: str) -> bool:
    """Whether text has wildcards."""
    return _MAGIC.search(text) is not None


def _fits(wanted: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    """Whether the names of a path fit the components of a pattern, None for `**`."""
    if not wanted:
        return not names
    if wanted[0] is None:
        rest = wanted[1:]
        return not rest or any(_fits(rest, names[skip:]) for skip in range(len(names)))
    return bool(names and wanted[0].match(names[0])) and _fits(wanted[1:], names[1:])

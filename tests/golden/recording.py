"""Compare outputs with recorded ones, and record them anew where their number was raised.

A file `NAME.npz` holds the number it was recorded under and the outputs by name. Whole numbers and
texts have to be equal; floating-point numbers may differ as they do between processors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medlabel import versions

__all__ = ["FOLDER", "Golden", "NotRaisedError", "Outputs", "differences", "problem", "record"]

FOLDER = Path(__file__).parent
Outputs = Mapping[str, NDArray]


@dataclass(frozen=True)
class Golden:
    """Outputs that a version number stands for.

    Attributes:
        make: computes them.
        relative: tolerance of floating-point numbers, relative to the number.
        absolute: the same, relative to the largest number of an output.
        outliers: share of the numbers of an output that may differ by more.
    """

    make: Callable[[], Outputs]
    relative: float = 1e-4
    absolute: float = 1e-5
    outliers: float = 0.0


class NotRaisedError(Exception):
    """Outputs changed, and their version number did not."""


def differences(recorded: Outputs, found: Outputs, golden: Golden) -> list[str]:
    """The names of recorded outputs that are no longer found, or differ."""
    return [
        name
        for name, value in recorded.items()
        if name not in found or not _equal(value, np.asarray(found[name]), golden)
    ]


def problem(name: str, golden: Golden, folder: Path = FOLDER) -> str | None:
    """What has to be done about a version number, in a sentence; None where all is well.

    Args:
        name: of a number in `medlabel.versions`.
        golden: how its outputs are computed and compared.
        folder: of the recorded files.
    """
    number, recorded, found = getattr(versions, name), read(name, folder), golden.make()
    command = f"record the new outputs with `{_COMMAND}`"
    if recorded is None:
        return f"nothing is recorded for {name}: {command}"
    then, outputs = recorded
    if number != then:
        return f"versions.{name} is {number}, but its outputs were recorded under {then}: {command}"
    changed = differences(outputs, found, golden)
    if changed:
        return (
            f"the results of {name} changed ({_few(changed)}), but versions.{name} is still "
            f"{number}. If the change is intended, raise {name} to {number + 1} in "
            f"src/medlabel/versions.py and {command}"
        )
    added = sorted(set(found) - set(outputs))
    return (
        f"outputs of {name} are not recorded yet ({', '.join(added)}): {command}" if added else None
    )


_COMMAND = "python -m tests.golden"


def record(name: str, golden: Golden, folder: Path = FOLDER) -> str:
    """Record the outputs of a version number; returns what was done.

    Outputs that are new may be added under the same number. Outputs that changed may not.

    Raises:
        NotRaisedError: recorded outputs changed, or the number is lower than it was.
    """
    number, recorded, found = getattr(versions, name), read(name, folder), golden.make()
    if recorded is not None:
        then, outputs = recorded
        changed = differences(outputs, found, golden)
        if number < then:
            raise NotRaisedError(f"refused: its number is {number} and was {then} before")
        if number == then and changed:
            raise NotRaisedError(
                f"refused: {_few(changed)} changed, but versions.{name} is still {number}; "
                "raise it in src/medlabel/versions.py first"
            )
        if number == then and set(found) == set(outputs):
            return "unchanged"
        if number == then:
            found = {**found, **outputs}  # what was recorded stays as it is
    contents = {_NUMBER: np.int64(number), **found}
    np.savez_compressed(_path(name, folder), **contents)
    return f"recorded {len(found)} outputs under {number}"


_NUMBER = "version number"


def _few(names: list[str]) -> str:
    """The first three of some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _path(name: str, folder: Path) -> Path:
    return folder / f"{name.lower()}.npz"


def read(name: str, folder: Path = FOLDER) -> tuple[int, Outputs] | None:
    """The number that outputs were recorded under, and the outputs; None where there are none."""
    path = _path(name, folder)
    if not path.exists():
        return None
    with np.load(path) as file:
        contents = dict(file)
    return int(contents.pop(_NUMBER)), contents


def _equal(recorded: NDArray, found: NDArray, golden: Golden) -> bool:
    if recorded.shape != found.shape or recorded.dtype.kind != found.dtype.kind:
        return False
    if recorded.dtype.kind != "f":
        return bool((recorded == found).all())
    scale = float(np.abs(recorded).max(initial=0))
    close = np.isclose(found, recorded, golden.relative, golden.absolute * scale, equal_nan=True)
    return bool((~close).mean() <= golden.outliers)

"""Stored values of any depth as the 256 grey levels that models see."""

from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_own_range", "own_range_sentence", "scaled_by_own_range", "to_grey_levels"]

scaled_by_own_range = ContextVar("scaled_by_own_range", default=False)  # the image decoded last
_MOST_ENTRIES = 2**16  # of a lookup table


def own_range_sentence(count: int) -> str:
    """What users should know of images that were scaled by their own range; empty for none.

    >>> own_range_sentence(3)[:57]
    '3 images have more than 8 bits per pixel and no window: t'
    """
    if not count:
        return ""
    images = "1 image has" if count == 1 else f"{count:,} images have"
    return (
        f"{images} more than 8 bits per pixel and no window: the range of values of each was "
        "scaled to 0..255, so their brightness cannot be compared (docs/pixels.md)"
    )


def from_own_range(values: NDArray[Any], *, inverted: bool = False) -> NDArray[np.uint8]:
    """Scale values from their own lowest (black) to their own highest (white), and note that.

    This is how a viewer first shows grey values that come without a window.

    >>> from_own_range(np.array([[100, 200, 300]], np.uint16)).tolist()
    [[0, 128, 255]]

    Args:
        values: integers or finite floats of any shape.
        inverted: whether the lowest value is white.
    """
    scaled_by_own_range.set(True)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or int(high) - int(low) >= _MOST_ENTRIES:
        return to_grey_levels(values, float(low), float(high), inverted=inverted)
    # A lookup table: 16 million pixels take 0.1 s instead of 0.5 s.
    entries = np.arange(int(low), int(high) + 1)
    table = to_grey_levels(entries, float(low), float(high), inverted=inverted)
    return table[values.astype(np.int64) - int(low)]


def to_grey_levels(
    values: NDArray[Any], low: float, high: float, *, inverted: bool = False
) -> NDArray[np.uint8]:
    """Grey levels, uint8, of values of any shape: linear between black and white, and clipped.

    >>> to_grey_levels(np.array([-5, 0, 50, 100]), 0, 100).tolist()
    [0, 0, 128, 255]

    Args:
        values: numbers of any dtype.
        low: the value that is black.
        high: the value that is white; where it equals `low`, everything is black.
        inverted: whether `low` is white and `high` is black.

    Raises:
        ValueError: a value is NaN and has no grey level, or `low` or `high` is not finite.
    """
    if low == high:
        return np.zeros(values.shape, np.uint8)
    shown = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    if not np.isfinite(shown).all():
        raise ValueError("not a number")
    return np.rint(255 * (1 - shown if inverted else shown)).astype(np.uint8)

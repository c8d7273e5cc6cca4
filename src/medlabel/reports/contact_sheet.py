"""A contact sheet: phantoms of one set, one row per class, and real images of a source below them.

It shows whether the drawings resemble the real images, which are shown without their labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medlabel.data.sources import open_source
from medlabel.phantoms import Look, draw_look, get_look
from medlabel.reports.figures import contact_sheet, to_png

__all__ = ["phantom_rows", "phantom_sheet"]


def phantom_rows(look: Look, n: int, size: int = 28, seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """Draw n phantoms of each class of a set, uint8 [n, size, size(, 3)], by the class's name."""
    images, kinds = draw_look(look, 4 * n * len(look.kinds), seed, size, even=True)
    return {kind.name: images[kinds == k][:n] for k, kind in enumerate(look.kinds)}


def phantom_sheet(
    flag: str, beside: str | None = None, columns: int = 12, size: int = 28,
    data_root: Path | None = None, seed: int = 0,
) -> bytes:  # fmt: skip
    """The contact sheet of a set of phantoms as PNG, with two rows of a source's images below it.

    Args:
        flag: name of the set, such as `breastmnist`.
        beside: source, as a task names it, whose training images are shown.
        columns: number of images per row.
        size: side length of the images in pixels.
        data_root: folder of MedMNIST's npz files.
        seed: of the phantoms and of the random choice of real images.

    Raises:
        MedlabelError: the set is unknown, or the source cannot be opened.
    """
    rows = {
        f"drawn: {name}": images
        for name, images in phantom_rows(get_look(flag), columns, size, seed).items()
    }
    if beside is not None:
        pool = open_source(beside, size, data_root).splits["train"].images
        chosen = np.random.default_rng(seed).permutation(len(pool))[: 2 * columns]
        rows["real"] = pool[chosen[:columns]]
        if len(chosen) > columns:
            rows["real "] = pool[chosen[columns:]]
    return to_png(contact_sheet(rows))

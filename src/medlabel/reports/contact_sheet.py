"""A contact sheet: the phantoms of a look, kind by kind, and real images of any source below them.

It shows whether a drawing looks like what it stands for. The real images come without their labels.
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
    """n phantoms of each kind of a look, uint8 [n,size,size(,3)], by the kind's name."""
    images, kinds = draw_look(look, 4 * n * len(look.kinds), seed, size, even=True)
    return {kind.name: images[kinds == k][:n] for k, kind in enumerate(look.kinds)}


def phantom_sheet(
    flag: str, beside: str | None = None, columns: int = 12, size: int = 28,
    data_root: Path | None = None, seed: int = 0,
) -> bytes:  # fmt: skip
    """The contact sheet of a look as a PNG, with two rows of a source's images below it.

    Args:
        flag: the look.
        beside: a source, as a task names it, whose pool (training) images are shown.
        columns: images in a row.
        size: side of the images in pixels.
        data_root: folder of MedMNIST's npz files.
        seed: of the phantoms and of which real images are shown.

    Raises:
        MedlabelError: an unknown look or a source that cannot be opened.
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

"""The definition of a look: an image type, and the kinds (classes) within it.

    Look("kneemnist", False, "Film of a knee: ...", (
        Kind("intact", draw_intact, "even joint space", "Greenspan, Orthopedic Imaging"),
        Kind("arthrosis", draw_arthrosis, "narrow joint space, white rims", "the same"),
    ), finish=expose)

The number of a kind is its index in `kinds`; in medlabel's twelve looks it is MedMNIST's label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medlabel.phantoms.parts import Canvas, Floats

__all__ = ["Drawing", "Kind", "Look"]

Drawing = Callable[[Canvas], Floats]


@dataclass(frozen=True)
class Kind:
    """A class within a look.

    | field | meaning |
    | --- | --- |
    | name | common name, such as `malignant` |
    | drawing | draws a `Canvas`: brightness of about 0 to 1, [n,size,size] or [n,size,size,3] |
    | seen | description of the appearance |
    | source | textbook or paper for the description |
    | weight | relative frequency when the look is drawn as a whole |
    | captions | for the teacher; those of medlabel's looks are in `medlabel.teacher.captions` |
    """

    name: str
    drawing: Drawing
    seen: str
    source: str
    weight: float = 1.0
    captions: tuple[str, ...] = ()


def _unchanged(_canvas: Canvas, image: Floats) -> Floats:
    return image


@dataclass(frozen=True)
class Look:
    """An image type, in the style of one MedMNIST set.

    | field | meaning |
    | --- | --- |
    | flag | name of the set, such as `retinamnist` |
    | colour | whether its images have three channels |
    | description | appearance according to textbooks |
    | kinds | its classes |
    | finish | simulates the acquisition of every image: exposure, blur, noise |
    | findings | multi-label sets: the number of kinds, from the first, that are findings, or None |
    | | kinds as findings, and the kinds after them mean that it has none |
    | mirrored | whether images may be mirrored; false where left and right differ |
    | captions | for the teacher, of the set as a whole |
    """

    flag: str
    colour: bool
    description: str
    kinds: tuple[Kind, ...]
    finish: Callable[[Canvas, Floats], Floats] = _unchanged
    findings: int | None = None
    mirrored: bool = True
    captions: tuple[str, ...] = ()

    def draw(self, canvas: Canvas, kinds: NDArray[np.int64]) -> Floats:
        """Draw each image of a canvas as the kind of its number, `kinds` [n], and finish it."""
        shape = (canvas.n, canvas.size, canvas.size, *((3,) if self.colour else ()))
        image = np.empty(shape, np.float32)
        for kind in np.unique(kinds):
            where = np.flatnonzero(kinds == kind)
            image[where] = self.kinds[kind].drawing(replace(canvas, n=len(where)))
        return self.finish(canvas, image)

    def sample_kinds(
        self, rng: np.random.Generator, n: int, even: bool = False
    ) -> NDArray[np.int64]:
        """Sample the numbers of n kinds by their weights, or uniformly if `even`: int64 [n]."""
        odds = np.array([1.0 if even else kind.weight for kind in self.kinds])
        return rng.choice(len(self.kinds), n, p=odds / odds.sum())

    def labels(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Convert kinds [n] to labels in MedMNIST's format: [n, 1] or [n, findings]."""
        if self.findings is None:
            return kinds[:, None]
        columns: NDArray[np.int64] = (kinds[:, None] == np.arange(self.findings)).astype(np.int64)
        return columns

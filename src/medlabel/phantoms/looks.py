"""What a look is: a kind of image as words and as a program, and the classes within it.

    Look("kneemnist", False, "Film of a knee: ...", (
        Kind("intact", draw_intact, "even joint space", "Greenspan, Orthopedic Imaging"),
        Kind("arthrosis", draw_arthrosis, "narrow joint space, white rims", "the same"),
    ), finish=expose)

A kind's number is its place in `kinds`; in the twelve looks of medlabel it is MedMNIST's label.
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

    | field | what |
    | --- | --- |
    | name | as people say it, `malignant` |
    | drawing | fills a `Canvas`: brightness about 0 to 1, [n,size,size] or [n,size,size,3] |
    | seen | what is seen in such an image |
    | source | the textbook or paper that says so |
    | weight | how often it is drawn when the look is drawn as a whole |
    | captions | what a teacher reads; medlabel's own are in `medlabel.teacher.captions` |
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
    """How the images of one set look.

    | field | what |
    | --- | --- |
    | flag | the set's name, `retinamnist` |
    | colour | whether its images have three channels |
    | description | what a textbook says such an image looks like |
    | kinds | its classes |
    | finish | what the machine does to every drawing: exposure, blur, noise |
    | findings | None: an image is of one kind; a number: it may have several of the first so many |
    | | kinds as findings, and the kinds after them mean that it has none |
    | mirrored | whether its mirror image is as good; not so where left is told from right |
    | captions | what a teacher reads of the set as a whole, as in `Kind` |
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
        """Each image as the kind of its number; `kinds` [n]."""
        shape = (canvas.n, canvas.size, canvas.size, *((3,) if self.colour else ()))
        image = np.empty(shape, np.float32)
        for kind in np.unique(kinds):
            where = np.flatnonzero(kinds == kind)
            image[where] = self.kinds[kind].drawing(replace(canvas, n=len(where)))
        return self.finish(canvas, image)

    def sample_kinds(
        self, rng: np.random.Generator, n: int, even: bool = False
    ) -> NDArray[np.int64]:
        """Numbers of n kinds at random, by their weights or all alike: int64 [n]."""
        odds = np.array([1.0 if even else kind.weight for kind in self.kinds])
        return rng.choice(len(self.kinds), n, p=odds / odds.sum())

    def labels(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Kinds [n] as MedMNIST writes labels: [n,1], or a 0/1 column a finding [n,findings]."""
        if self.findings is None:
            return kinds[:, None]
        columns: NDArray[np.int64] = (kinds[:, None] == np.arange(self.findings)).astype(np.int64)
        return columns

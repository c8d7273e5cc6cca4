"""Stained blood smears: seven kinds of nucleated cells, and platelets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medlabel.phantoms.acquisition import photograph
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import (
    Canvas,
    Coordinates,
    Floats,
    Range,
    paint,
    random_colour,
    soft_step,
)

__all__ = ["BLOOD"]

Tint = tuple[Range, Range, Range]
Nucleus = Callable[[Canvas, Coordinates, Floats], Floats]
"""The nucleus of cells of these radii [n,1,1], 0 to 1."""


# --- Around the cell -----------------------------------------------------------------------------


def _red_cells(canvas: Canvas, image: Floats) -> Floats:
    """Red cells around the middle: pale pink-brown discs with paler centres."""
    at = canvas.coordinates()
    tint = random_colour(canvas, (0.68, 0.9), (0.5, 0.72), (0.5, 0.72))
    for _ in range(9):
        turn, far = canvas.uniform(0, 2 * np.pi), canvas.uniform(0.6, 1.35)
        place = far * np.cos(turn), far * np.sin(turn)
        radius = canvas.uniform(0.2, 0.36)
        wide = (radius, radius * canvas.uniform(0.8, 1.1))
        disc = canvas.ellipse(at, place, wide, 0.09) * canvas.bernoulli(0.75)
        hollow = (radius * 0.45, radius * 0.45)
        pale = canvas.ellipse(at, place, hollow, 0.12) * canvas.uniform(0, 0.8)
        image = paint(image, tint, disc * (1 - pale) * canvas.uniform(0.5, 1))
    return image


def _neighbour(canvas: Canvas, image: Floats) -> Floats:
    """Now and then a second white cell or a piece of one, at the edge of the field."""
    at = canvas.pose(0, (0.9, 1.1), 3.14, bend=0.04)
    far, radius = canvas.uniform(0.85, 1.25), canvas.uniform(0.2, 0.5)
    seen = canvas.bernoulli(0.2)
    body = canvas.ellipse(at, (far, 0.0), (radius, radius), 0.1, ragged=0.15) * seen
    image = paint(image, random_colour(canvas, (0.5, 0.85), (0.4, 0.65), (0.6, 0.85)), body)
    inside = radius * canvas.uniform(0.5, 1)
    nucleus = canvas.ellipse(at, (far, 0.05), (inside, inside), 0.1, ragged=0.15) * seen
    return paint(image, random_colour(canvas, *_PURPLE), nucleus)


# --- Nuclei --------------------------------------------------------------------------------------


def _round(fill: Range, off: float = 0.1) -> Nucleus:
    """One round nucleus that takes this part of the cell's width, somewhat off its middle."""

    def draw(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
        wide = radius * canvas.uniform(*fill)
        place = radius * canvas.uniform(-off, off), radius * canvas.uniform(-off, off)
        return canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.85, 1)), 0.07, ragged=0.05)

    return draw


def _bent(fill: Range, bite: Range) -> Nucleus:
    """An oval nucleus with a bite out of one side: a kidney, a horseshoe, a fold."""

    def draw(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
        wide = radius * canvas.uniform(*fill)
        whole = canvas.ellipse(at, (-0.1 * radius, 0), (wide, wide * canvas.uniform(0.8, 1)), 0.07,
                              ragged=0.12)  # fmt: skip
        place = radius * canvas.uniform(0.55, 0.95), radius * canvas.uniform(-0.25, 0.25)
        reach = radius * canvas.uniform(*bite)
        return whole * (1 - canvas.ellipse(at, place, (reach, reach * 0.7), 0.09))

    return draw


def _lobed(lobes: tuple[float, ...], size: Range, spread: Range) -> Nucleus:
    """Round lobes on an arc, joined by threads; each is present with its probability."""

    def draw(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
        nucleus = np.zeros_like(at[0])
        gap, far = canvas.uniform(1.0, 1.5) * 4 / (len(lobes) + 1), radius * canvas.uniform(*spread)
        for lobe, often in enumerate(lobes):
            angle = gap * lobe + canvas.uniform(-0.2, 0.2)
            place = far * np.cos(angle), far * np.sin(angle)
            wide = radius * canvas.uniform(*size)
            piece = canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.8, 1.2)), 0.07)
            nucleus = np.maximum(nucleus, piece * canvas.bernoulli(often))
        return nucleus

    return draw


def _band(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
    """A young neutrophil's: one sausage bent to a horseshoe."""
    far = np.hypot(at[0], at[1])
    ring = radius * canvas.uniform(0.4, 0.5)
    sausage = np.clip((radius * canvas.uniform(0.16, 0.28) - np.abs(far - ring)) / 0.09 + 0.5, 0, 1)
    opening = canvas.ellipse(at, (ring, 0), (radius * 0.35, radius * canvas.uniform(0.3, 0.7)), 0.1)
    return sausage * (1 - opening)


def _segmented(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
    """A neutrophil's: two to five lobes, or a band."""
    lobed = _lobed((1, 1, 0.8, 0.5, 0.2), (0.26, 0.4), (0.35, 0.5))(canvas, at, radius)
    return np.where(canvas.bernoulli(0.35) > 0, _band(canvas, at, radius), lobed)


def _none(canvas: Canvas, at: Coordinates, radius: Floats) -> Floats:
    """No nucleus; a purple heart of granules."""
    inner = radius * canvas.uniform(0.4, 0.8)
    return canvas.ellipse(at, (0, 0), (inner, inner), 0.2) * canvas.uniform(0, 0.9)


# --- Cells ---------------------------------------------------------------------------------------

_PURPLE = (0.25, 0.45), (0.1, 0.28), (0.4, 0.6)
_DEEP = (0.18, 0.38), (0.08, 0.22), (0.32, 0.52)
_PINK = (0.78, 0.92), (0.58, 0.74), (0.68, 0.82)
_ORANGE = (0.66, 0.92), (0.36, 0.58), (0.42, 0.62)
_BLUE = (0.5, 0.7), (0.45, 0.65), (0.68, 0.84)
_GREY = (0.6, 0.78), (0.52, 0.68), (0.68, 0.82)
_LILAC = (0.58, 0.8), (0.4, 0.62), (0.6, 0.78)


@dataclass(frozen=True)
class _Cell:
    """A kind of cell; lengths are parts of half the picture, 12 micrometres or so.

    `fluid` are the tints its cytoplasm may have, `grain` how strong its purple granules are,
    `coarse` whether bigger ones hide the nucleus, `ragged` how far the outline strays,
    `holes` how often the cytoplasm has vacuoles.
    """

    nucleus: Nucleus
    size: Range
    fluid: tuple[Tint, ...]
    chromatin: Tint = _PURPLE
    grain: float = 0.1
    coarse: bool = False
    ragged: Range = (0.0, 0.1)
    holes: float = 0.0

    def __call__(self, canvas: Canvas) -> Floats:
        """Draw such cells."""
        glass = random_colour(canvas, (0.86, 1.0), (0.78, 0.97), (0.68, 0.95))
        blank = np.zeros((canvas.n, canvas.size, canvas.size, 1), np.float32)
        image = _neighbour(canvas, _red_cells(canvas, glass + blank))
        at = canvas.pose(0.1, (0.92, 1.12), 3.14, bend=0.04)
        radius = canvas.uniform(*self.size)
        wide = (radius, radius * canvas.uniform(0.88, 1.08))
        body = canvas.ellipse(at, (0, 0), wide, 0.07, ragged=canvas.uniform(*self.ragged))
        image = paint(image, self._tint(canvas), body * canvas.uniform(0.85, 1))
        holes = np.clip(canvas.spots(4, (0.03, 0.07), within=0.6), 0, 1) * body
        image = paint(image, glass, holes * canvas.bernoulli(self.holes))
        purple = random_colour(canvas, *self.chromatin)
        inside = self.nucleus(canvas, at, radius) * body
        image = paint(
            image, purple * (1 + (canvas.uniform(0.03, 0.25) * canvas.noise(11))[..., None]), inside
        )
        grit = (
            soft_step(canvas.noise(12) + canvas.uniform(-0.3, 0.9), 1.6)
            * body
            * canvas.uniform(0.6, 1)
        )
        image = paint(image, 0.8 * purple, grit * self.grain * (1 - inside))
        if not self.coarse:
            return image
        # at this size big granules are a mottling: dark where they lie, pale between
        granules = np.clip(canvas.spots(90, (0.03, 0.055), within=0.7), 0, 1.4) * body
        pale = np.clip(canvas.spots(25, (0.03, 0.05), within=0.7), 0, 1) * body
        image = paint(image, 1.25 * purple + 0.08, pale * canvas.uniform(0.2, 0.8))
        return paint(image, 0.6 * purple, np.clip(granules * canvas.uniform(0.5, 0.9), 0, 0.95))

    def _tint(self, canvas: Canvas) -> Floats:
        """Return the colour of the cytoplasm, one of the tints per image."""
        tints = np.stack([random_colour(canvas, *tint) for tint in self.fluid])
        chosen = canvas.rng.integers(len(tints), size=canvas.n)
        return np.asarray(tints[chosen, np.arange(canvas.n)])


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return photograph(canvas, image, (0.85, 1.1), (0.7, 1.5), (0.0, 0.45), 0.05, 0.015)


_BAIN = "Bain, Blood Cells: A Practical Guide; Acevedo et al., Data in Brief 2020"

BLOOD = Look(
    "bloodmnist", True,
    "One Wright-Giemsa stained white cell or platelet in the middle: purple nucleus, round, "
    "bent or lobed, pink, blue or orange cytoplasm; pale red cells on a cream ground.",
    (
        Kind("basophil",
             _Cell(_round((0.7, 0.98)), (0.46, 0.68), (_LILAC,), grain=0.95, coarse=True,
                   ragged=(0.02, 0.12)),
             "blue-black granules that hide the nucleus", _BAIN),
        Kind("eosinophil",
             _Cell(_lobed((1, 1, 0.25), (0.34, 0.5), (0.36, 0.52)), (0.56, 0.74), (_ORANGE,)),
             "two lobes, orange-red granules", _BAIN),
        Kind("erythroblast",
             _Cell(_round((0.5, 0.82), 0.2), (0.3, 0.52), (_GREY, _BLUE), _DEEP),
             "small; a round, very dark nucleus in a grey-blue rim", _BAIN),
        Kind("immature granulocyte",
             _Cell(_bent((0.68, 0.92), (0.0, 0.5)), (0.6, 0.84), (_LILAC, _GREY),
                   grain=0.35, ragged=(0.02, 0.14)),
             "large; round or dented nucleus to one side, lilac with fine granules", _BAIN),
        Kind("lymphocyte",
             _Cell(_round((0.82, 1.05), 0.08), (0.36, 0.56), (_BLUE, _GREY), _DEEP,
                   ragged=(0.02, 0.14)),
             "small; a round dark nucleus that fills it, thin blue rim", _BAIN),
        Kind("monocyte",
             _Cell(_bent((0.65, 0.95), (0.2, 0.6)), (0.6, 0.9), (_GREY, _GREY, _BLUE),
                   ragged=(0.05, 0.25), holes=0.5),
             "the largest; folded nucleus, grey-blue cytoplasm with holes", _BAIN),
        Kind("neutrophil",
             _Cell(_segmented, (0.5, 0.7), (_PINK,), grain=0.12),
             "two to five lobes or a band, pale pink cytoplasm", _BAIN),
        Kind("platelet",
             _Cell(_none, (0.14, 0.28), (_LILAC,), grain=0.6, ragged=(0.0, 0.25)),
             "a purple speck without a nucleus, smaller than a red cell", _BAIN),
    ),
    _finish,
)  # fmt: skip

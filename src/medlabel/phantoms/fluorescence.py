"""Kidney cortex in fluorescence: one nucleus, of eight kinds of cells, among its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medlabel.phantoms.acquisition import blur, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Floats, Range

__all__ = ["TISSUE"]


@dataclass(frozen=True)
class _Nucleus:
    """The shape of a nucleus and of what lies around it.

    | field | what |
    | --- | --- |
    | size | its half length, of half the picture |
    | flat | its width over its length |
    | bright | how strongly it glows |
    | crowd | how strongly its neighbours glow |
    | mottle | how uneven it is |
    """

    size: Range
    flat: Range
    bright: Range = (0.2, 1.0)
    crowd: Range = (0.0, 0.45)
    mottle: Range = (0.0, 0.35)


def _cell(kind: _Nucleus) -> Callable[[Canvas], Floats]:
    """Return a drawing of a glowing blob, brightest over seven slices, among dim neighbours."""

    def draw(canvas: Canvas) -> Floats:
        at = canvas.pose(0.12, (0.85, 1.15), 3.14, bend=0.05)
        neighbours = canvas.spots(7, (0.12, 0.35), (0.2, 1.0), 1.3) * canvas.uniform(*kind.crowd)
        neighbours = neighbours * np.clip(1 + 0.3 * canvas.noise(8), 0, 2)
        length = canvas.uniform(*kind.size)
        radii = length, length * canvas.uniform(*kind.flat)
        cell = canvas.ellipse(at, (0, 0), radii, canvas.uniform(0.15, 0.5), ragged=0.12)
        mottle = np.clip(1 + canvas.uniform(*kind.mottle) * canvas.noise(6), 0.2, 2)
        glow = cell * mottle * canvas.uniform(*kind.bright) + neighbours
        image = canvas.uniform(0, 0.12) + glow * np.exp(canvas.uniform(np.log(0.12), np.log(1.0)))
        image = blur(canvas, image, (0.1, 1.2))
        return image * (1 + canvas.pixel_noise(canvas.uniform(0, 0.3)))

    return draw


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.7, 1.3), (-0.02, 0.05), (0.7, 1.4), (0.1, 0.5), 0.06)


_KIDNEY = "Woloshuk et al., Cytometry A 2021; Young et al., Wheater's Functional Histology"

TISSUE = Look(
    "tissuemnist", False,
    "One cell of the kidney cortex in fluorescence, brightest over the slices of a stack: a "
    "soft glowing blob among dimmer neighbours in the dark.",
    (
        Kind("collecting duct", _cell(_Nucleus((0.3, 0.5), (0.8, 1.0), crowd=(0.1, 0.4))),
             "round, evenly spaced in a row", _KIDNEY),
        Kind("distal convoluted tubule",
             _cell(_Nucleus((0.3, 0.5), (0.75, 1.0), (0.3, 1.0), (0.2, 0.5))),
             "round, many close neighbours", _KIDNEY),
        Kind("glomerular endothelial cell",
             _cell(_Nucleus((0.3, 0.55), (0.4, 0.75), crowd=(0.25, 0.6))),
             "oval, in the crowd of a glomerulus", _KIDNEY),
        Kind("interstitial endothelial cell",
             _cell(_Nucleus((0.4, 0.75), (0.2, 0.45), crowd=(0.0, 0.4))),
             "a thin spindle between tubules", _KIDNEY),
        Kind("leukocyte", _cell(_Nucleus((0.2, 0.38), (0.7, 1.0), (0.6, 1.0), mottle=(0.1, 0.4))),
             "small, round and bright", _KIDNEY),
        Kind("podocyte", _cell(_Nucleus((0.4, 0.6), (0.6, 0.9), (0.3, 0.8), (0.2, 0.55))),
             "large oval or bean, at the glomerulus's rim", _KIDNEY),
        Kind("proximal tubule segment", _cell(_Nucleus((0.4, 0.65), (0.85, 1.0), crowd=(0, 0.25))),
             "large, round, far from its neighbours", _KIDNEY),
        Kind("thick ascending limb", _cell(_Nucleus((0.3, 0.5), (0.65, 0.95), (0.2, 0.7))),
             "oval, of middle size", _KIDNEY),
    ),
    _finish,
)  # fmt: skip

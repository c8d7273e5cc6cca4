"""Optical coherence tomography of the macula: four kinds of retina, cut across."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Floats, Range, Sheet, lay, step

__all__ = ["OCT"]


def _band(
    depth: Floats, centre: Floats | float, half: Floats | float, soft: float = 0.08
) -> Floats:
    """A layer of this half-thickness around a depth, 0 to 1."""
    return step(half - np.abs(depth - centre), soft)


@dataclass(frozen=True)
class _Retina:
    """What is wrong with a retina, each as a range an image.

    | field | what |
    | --- | --- |
    | pit | how far the fovea dips, a part of the thickness; below 0 it bulges |
    | drusen | height of small bumps of the pigment epithelium |
    | mound | height of a wide, uneven lift of the pigment epithelium |
    | cysts | dark round fluid within the retina |
    | under | dark fluid between the retina and the pigment epithelium |
    """

    pit: Range = (0.35, 0.7)
    drusen: Range = (0.0, 0.0)
    mound: Range = (0.0, 0.0)
    cysts: Range = (0.0, 0.0)
    under: Range = (0.0, 0.0)


def _scan(wrong: _Retina) -> Callable[[Sheet], Floats]:
    """A drawer of B-scans: bright layers across the dark, brightest at the pigment epithelium."""

    def draw(sheet: Sheet) -> Floats:
        x, y = sheet.pose(0.2, (0.85, 1.25), 0.2, bend=0.015)
        thick = sheet.between(0.25, 0.55)
        bottom = sheet.between(-0.15, 0.4) + sheet.between(-0.1, 0.2) * x * x
        middle = sheet.between(-0.4, 0.4)
        pit: Floats = np.exp(-(((x - middle) / sheet.between(0.15, 0.4)) ** 2))
        wide: Floats = np.exp(-(((x - middle) / sheet.between(0.25, 0.6)) ** 2))
        floor = bottom - np.clip(sheet.field(8, 1), 0, 2) * sheet.between(*wrong.drusen)
        lift = wide * np.clip(1 + 0.4 * sheet.field(5, 1), 0, 2) * sheet.between(*wrong.mound)
        floor = floor - lift
        gap = wide * sheet.between(*wrong.under)
        top = floor - gap - thick * (1 - pit * sheet.between(*wrong.pit))
        return _layers(sheet, wrong, (y, top, floor, gap, bottom))

    return draw


def _layers(sheet: Sheet, wrong: _Retina, place: tuple[Floats, ...]) -> Floats:
    """Brightness from depth y, the retina's top, its pigment epithelium, and what is between."""
    y, top, floor, gap, bottom = place
    inside = step(y - top, 0.07) * step(floor - gap - y, 0.07)
    share = np.clip((y - top) / np.maximum(floor - gap - top, 0.05), -1, 2)
    layers = 0.65 - sheet.between(0.1, 0.4) * _band(share, sheet.between(0.55, 0.75), 0.12, 0.2)
    layers = layers + sheet.between(0, 0.35) * _band(share, 0.05, 0.1, 0.2)
    image: Floats = sheet.between(0, 0.45) ** 2 + inside * layers * sheet.between(0.5, 1)
    choroid: Floats = step(y - bottom - 0.06, 0.08) * np.exp(
        -np.maximum(y - bottom, 0) / sheet.between(0.08, 0.4)
    )
    image = image + choroid * sheet.between(0.1, 0.7) * np.clip(1 + 0.3 * sheet.field(9), 0, 2)
    beneath = step(y - floor, 0.07) * step(bottom - y, 0.07)
    image = lay(image, sheet.between(0.3, 0.7), beneath)
    line = _band(y, floor + 0.02, sheet.between(0.02, 0.07), 0.08)
    image = lay(image, sheet.between(0.7, 1.0), line * sheet.between(0.6, 1))
    cysts = step(sheet.field(7, 6) - sheet.between(0.3, 1.0), 0.4) * inside
    return lay(image, 0.06, cysts * sheet.between(*wrong.cysts))


def _finish(sheet: Sheet, image: Floats) -> Floats:
    """Speckle, exposure, and the white wedge that a tilted scan leaves at a corner."""
    image = image * np.clip(1 + sheet.grain(sheet.between(0, 0.25)), 0, 3)
    image = expose(sheet, image, (0.5, 1.15), (-0.06, 0.1), (0.65, 1.7), (0.1, 1.0), 0.06)
    u, v = sheet.plane()
    turn = sheet.between(0, 2 * np.pi)
    corner = step(u * np.cos(turn) + v * np.sin(turn) - sheet.between(0.8, 1.3), 0.06)
    return lay(image, 1.0, corner * sheet.chance(0.12))


_KERMANY = "Kermany et al., Cell 2018; Duker et al., Handbook of Retinal OCT"

OCT = Look(
    "octmnist", False,
    "Optical coherence tomography of the macula: bright retinal layers across a dark field, "
    "brightest at the pigment epithelium, a dip at the fovea; drusen, fluid, membranes.",
    (
        Kind("choroidal neovascularization",
             _scan(_Retina((-0.2, 0.4), (0, 0.06), (0.12, 0.4), (0, 0.7), (0, 0.2))),
             "a bright uneven mound lifts the pigment epithelium; dark fluid over it", _KERMANY),
        Kind("diabetic macular edema",
             _scan(_Retina((-0.9, 0.1), cysts=(0.6, 1.0), under=(0, 0.12))),
             "a thick bulging retina with dark round cysts", _KERMANY),
        Kind("drusen", _scan(_Retina((0.2, 0.65), (0.06, 0.16))),
             "small bumps along the pigment epithelium, no fluid", _KERMANY),
        Kind("normal", _scan(_Retina()), "smooth even layers, a clean dip at the fovea", _KERMANY),
    ),
    _finish,
)  # fmt: skip

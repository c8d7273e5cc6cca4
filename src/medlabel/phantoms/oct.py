"""Optical coherence tomography of the macula: four kinds of retina, cut across."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Floats, Range, paint, soft_step

__all__ = ["OCT"]


def _band(
    depth: Floats, centre: Floats | float, half: Floats | float, soft: float = 0.08
) -> Floats:
    """A layer of this half-thickness around a depth, 0 to 1."""
    return soft_step(half - np.abs(depth - centre), soft)


@dataclass(frozen=True)
class _Retina:
    """The abnormalities of a retina, each as a range from which it is sampled per image.

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


def _scan(wrong: _Retina) -> Callable[[Canvas], Floats]:
    """Return a drawing of B-scans: bright layers, brightest at the pigment epithelium."""

    def draw(canvas: Canvas) -> Floats:
        x, y = canvas.pose(0.2, (0.85, 1.25), 0.2, bend=0.015)
        thick = canvas.uniform(0.25, 0.55)
        bottom = canvas.uniform(-0.15, 0.4) + canvas.uniform(-0.1, 0.2) * x * x
        middle = canvas.uniform(-0.4, 0.4)
        pit: Floats = np.exp(-(((x - middle) / canvas.uniform(0.15, 0.4)) ** 2))
        wide: Floats = np.exp(-(((x - middle) / canvas.uniform(0.25, 0.6)) ** 2))
        floor = bottom - np.clip(canvas.noise(8, 1), 0, 2) * canvas.uniform(*wrong.drusen)
        lift = wide * np.clip(1 + 0.4 * canvas.noise(5, 1), 0, 2) * canvas.uniform(*wrong.mound)
        floor = floor - lift
        gap = wide * canvas.uniform(*wrong.under)
        top = floor - gap - thick * (1 - pit * canvas.uniform(*wrong.pit))
        return _layers(canvas, wrong, (y, top, floor, gap, bottom))

    return draw


def _layers(canvas: Canvas, wrong: _Retina, place: tuple[Floats, ...]) -> Floats:
    """Brightness from depth y, the retina's top, its pigment epithelium, and what is between."""
    y, top, floor, gap, bottom = place
    inside = soft_step(y - top, 0.07) * soft_step(floor - gap - y, 0.07)
    share = np.clip((y - top) / np.maximum(floor - gap - top, 0.05), -1, 2)
    layers = 0.65 - canvas.uniform(0.1, 0.4) * _band(share, canvas.uniform(0.55, 0.75), 0.12, 0.2)
    layers = layers + canvas.uniform(0, 0.35) * _band(share, 0.05, 0.1, 0.2)
    image: Floats = canvas.uniform(0, 0.45) ** 2 + inside * layers * canvas.uniform(0.5, 1)
    choroid: Floats = soft_step(y - bottom - 0.06, 0.08) * np.exp(
        -np.maximum(y - bottom, 0) / canvas.uniform(0.08, 0.4)
    )
    image = image + choroid * canvas.uniform(0.1, 0.7) * np.clip(1 + 0.3 * canvas.noise(9), 0, 2)
    beneath = soft_step(y - floor, 0.07) * soft_step(bottom - y, 0.07)
    image = paint(image, canvas.uniform(0.3, 0.7), beneath)
    line = _band(y, floor + 0.02, canvas.uniform(0.02, 0.07), 0.08)
    image = paint(image, canvas.uniform(0.7, 1.0), line * canvas.uniform(0.6, 1))
    cysts = soft_step(canvas.noise(7, 6) - canvas.uniform(0.3, 1.0), 0.4) * inside
    return paint(image, 0.06, cysts * canvas.uniform(*wrong.cysts))


def _finish(canvas: Canvas, image: Floats) -> Floats:
    """Speckle, exposure, and the white wedge that a tilted scan leaves at a corner."""
    image = image * np.clip(1 + canvas.pixel_noise(canvas.uniform(0, 0.25)), 0, 3)
    image = expose(canvas, image, (0.5, 1.15), (-0.06, 0.1), (0.65, 1.7), (0.1, 1.0), 0.06)
    u, v = canvas.coordinates()
    turn = canvas.uniform(0, 2 * np.pi)
    corner = soft_step(u * np.cos(turn) + v * np.sin(turn) - canvas.uniform(0.8, 1.3), 0.06)
    return paint(image, 1.0, corner * canvas.bernoulli(0.12))


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

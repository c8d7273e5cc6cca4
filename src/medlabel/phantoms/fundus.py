"""Fundus photography: the back of the eye, and five grades of diabetic retinopathy."""

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

__all__ = ["RETINA"]


def _vessels(canvas: Canvas, at: Coordinates, disc: Coordinates) -> Floats:
    """Arteries and veins that arch away from the optic disc, above and below, 0 to 1."""
    tree = np.zeros_like(at[0])
    for side in (-1, 1):
        towards = (side * at[0], at[1])
        root = (side * disc[0], disc[1])
        for bow in (-1.0, -0.5, 0.5, 1.0):
            lean = np.float32(bow) * canvas.uniform(0.5, 1.2)
            tree = np.maximum(tree, canvas.curve(towards, root, lean, canvas.uniform(-0.01, 0.03)))
    return tree


@dataclass(frozen=True)
class _Grade:
    """The strength of each sign, as a range from which it is sampled per image.

    Dots are microaneurysms, bleeds are blots of blood, exudates are yellow fat, wool is pale
    infarcted nerve fibre, pools are blood before the retina, scars are a laser's burns.
    """

    dots: Range = (0.0, 0.0)
    bleeds: Range = (0.0, 0.0)
    exudates: Range = (0.0, 0.0)
    wool: Range = (0.0, 0.0)
    pools: Range = (0.0, 0.0)
    scars: Range = (0.0, 0.0)


def _signs(canvas: Canvas, grade: _Grade, image: Floats, glow: Floats) -> Floats:
    """What the grade shows, over a healthy fundus."""
    dots = soft_step(canvas.spots(10, (0.015, 0.035), within=0.7) - 0.4, 0.5)
    image = paint(image, image * (0.55, 0.3, 0.35), dots * canvas.uniform(*grade.dots))
    bleeds = soft_step(canvas.spots(14, (0.03, 0.1), within=0.75) - 0.5, 0.5)
    image = paint(image, image * (0.5, 0.3, 0.35), bleeds * canvas.uniform(*grade.bleeds))
    fat = soft_step(canvas.spots(12, (0.02, 0.06), within=0.6) - 0.4, 0.5)
    image = paint(image, glow * 0.95, fat * canvas.uniform(*grade.exudates))
    wool = np.clip(canvas.spots(5, (0.05, 0.12), within=0.65), 0, 1)
    image = paint(image, glow * 0.85, wool * canvas.uniform(*grade.wool))
    pool = soft_step(canvas.spots(2, (0.15, 0.35), within=0.7) - 0.5, 0.4)
    image = paint(image, image * (0.35, 0.25, 0.3), pool * canvas.uniform(*grade.pools))
    burns = soft_step(canvas.spots(40, (0.03, 0.06), within=0.95) - 0.5, 0.5)
    rim = soft_step(np.hypot(*canvas.coordinates()) - 0.45, 0.2)
    return paint(image, (0.75, 0.65, 0.5), burns * rim * canvas.uniform(*grade.scars))


def _eye(grade: _Grade) -> Callable[[Canvas], Floats]:
    """Return a drawing of an orange disc with optic nerve head, vessels, macula and signs."""

    def draw(canvas: Canvas) -> Floats:
        at = canvas.pose(0.05, (0.95, 1.2), 0.2, bend=0.02)
        x, y = at
        far = np.hypot(x, y)
        fundus = random_colour(canvas, (0.35, 0.95), (0.35, 0.72), (0.15, 0.75))
        fundus[..., 1] *= fundus[..., 0]
        fundus[..., 2] *= fundus[..., 1]
        tilt = 0.2 * canvas.normal() * x + 0.2 * canvas.normal() * y
        light = (1 + tilt - canvas.uniform(0, 0.5) * far**2) * (1 + 0.06 * canvas.noise(5))
        image = fundus * light[..., None]
        side = np.sign(canvas.normal())
        disc = side * canvas.uniform(0.2, 0.7), canvas.uniform(-0.2, 0.2)
        macula = canvas.ellipse(at, (disc[0] - side * 0.6, disc[1] + 0.05), (0.25, 0.25), 0.4)
        image = paint(image, image * 0.55, macula * canvas.uniform(0.2, 1))
        image = paint(image, image * (0.65, 0.5, 0.55), _vessels(canvas, at, disc)
                    * canvas.uniform(0.2, 0.9))  # fmt: skip
        glow = random_colour(canvas, (0.9, 1.1), (0.7, 1.0), (0.35, 0.8))
        head = canvas.ellipse(
            at, disc, (canvas.uniform(0.11, 0.2), canvas.uniform(0.13, 0.22)), 0.1
        )
        image = paint(image, glow, head * canvas.uniform(0.3, 1) * canvas.bernoulli(0.93))
        image = _signs(canvas, grade, image, glow)
        dark = random_colour(canvas, (0, 0.08), (0, 0.06), (0, 0.06))
        edge = soft_step(canvas.uniform(0.85, 1.25) - far, 0.06)
        edge = edge * soft_step(canvas.uniform(0.8, 1.4) - np.abs(y), 0.06)
        return paint(dark + 0 * image, image, edge)

    return draw


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return photograph(canvas, image, (0.7, 1.2), (0.6, 1.6), (0.1, 0.9), noise=0.03)


_ICDR = "Wilkinson et al., international scale of diabetic retinopathy, Ophthalmology 2003"

RETINA = Look(
    "retinamnist", True,
    "Fundus photograph: an orange-red disc in a black surround, a yellow optic nerve head, "
    "vessels arching from it, a darker macula; bleeds and yellow exudates in diabetes.",
    (
        Kind("no diabetic retinopathy", _eye(_Grade()), "nothing but vessels", _ICDR, weight=2.0),
        Kind("mild diabetic retinopathy", _eye(_Grade((0.3, 0.9))), "a few red dots", _ICDR),
        Kind("moderate diabetic retinopathy",
             _eye(_Grade((0.4, 1), (0.0, 0.6), (0.2, 0.9), (0, 0.4))),
             "dots, some blots, yellow exudates", _ICDR),
        Kind("severe diabetic retinopathy",
             _eye(_Grade((0.6, 1), (0.6, 1.0), (0.2, 1.0), (0.2, 0.9))),
             "blots of blood in every part, pale wool", _ICDR),
        Kind("proliferative diabetic retinopathy",
             _eye(_Grade((0.4, 1), (0.3, 1.0), (0, 0.9), (0, 0.7), (0.2, 1.0), (0, 1.0))),
             "new vessels, pools of blood, a laser's scars", _ICDR),
    ),
    _finish,
)  # fmt: skip

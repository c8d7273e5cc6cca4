"""Breast ultrasound: malignant masses against benign ones and no mass at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, mixture, paint, soft_step

__all__ = ["BREAST"]

Tissue = Callable[[Canvas, Coordinates, Floats], Floats]
"""Puts a mass into the echoes of tissue [n,size,size]."""


def _echoes(canvas: Canvas) -> Floats:
    """Tissue that scatters: layers that lie across, streaks and speckle, mean 0."""
    layers = canvas.noise(2, 10) * canvas.uniform(0.02, 0.12)
    streaks = canvas.noise(8, 20) * canvas.uniform(0.04, 0.13)
    patches = canvas.noise(5, 7) * canvas.uniform(0.02, 0.1)
    return layers + streaks + patches


def _below(at: Coordinates, place: Coordinates, wide: Floats, tall: Floats) -> Floats:
    """The strip under a mass, 0 to 1: there the beam is weakened or less weakened."""
    x, y = at[0] - place[0], at[1] - place[1]
    return soft_step(wide * 0.9 - np.abs(x), 0.2) * soft_step(y - 0.5 * tall, 0.2)


def _malignant(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """Irregular, spiky or angular, taller than wide or large, uneven, bright halo, a shadow."""
    place = canvas.uniform(-0.45, 0.45), canvas.uniform(-0.45, 0.25)
    wide = canvas.uniform(0.15, 0.55)
    tall = wide * canvas.uniform(0.7, 1.4)
    turn = canvas.uniform(-0.5, 0.5)
    mass = canvas.ellipse(at, place, (wide, tall), canvas.uniform(0.1, 0.3), turn,
                         canvas.uniform(0.2, 0.5), 6)  # fmt: skip
    halo = canvas.ellipse(at, place, (wide * 1.3, tall * 1.3), 0.3, turn, 0.3, 6)
    image = image * (1 + halo * (1 - mass) * canvas.uniform(0, 0.6))
    inside = np.clip(canvas.uniform(0.1, 0.55) + 0.15 * canvas.noise(7), 0, 1)
    shadow = _below(at, place, wide, tall) * (1 - mass) * canvas.uniform(0.3, 0.95)
    shadow = shadow * canvas.bernoulli(0.75)
    return paint(image, image * inside, mass) * (1 - shadow)


def _benign(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """Oval, wider than tall, smooth and even, a thin bright capsule; brighter below a cyst."""
    for often in (1.0, 0.3):
        place = canvas.uniform(-0.6, 0.6), canvas.uniform(-0.7, 0.2)
        wide = canvas.uniform(0.1, 0.5)
        tall = wide * canvas.uniform(0.4, 0.85)
        turn, seen = canvas.uniform(-0.25, 0.25), canvas.bernoulli(often)
        mass = canvas.ellipse(at, place, (wide, tall), 0.1, turn, 0.06) * seen
        rim = canvas.ellipse(at, place, (wide * 1.2, tall * 1.25), 0.12, turn) * seen
        image = image * (1 + rim * (1 - mass) * canvas.uniform(0, 0.5))
        cyst = canvas.bernoulli(0.4)
        inside = np.where(cyst > 0, canvas.uniform(0, 0.15), canvas.uniform(0.35, 0.8))
        gain = _below(at, place, wide, tall) * (1 - mass) * seen * canvas.uniform(0, 0.9)
        image = paint(image, image * inside, mass) * (1 + gain * np.maximum(cyst, 0.4))
    return image


def _no_mass(canvas: Canvas, _at: Coordinates, image: Floats) -> Floats:
    """Nothing but layers of fat, gland and muscle; faint dark lobules of fat."""
    lobules = soft_step(canvas.noise(4, 6) - canvas.uniform(0.6, 1.4), 0.8)
    return image * (1 - lobules * canvas.uniform(0, 0.35))


def _scan(tissue: Tissue) -> Callable[[Canvas], Floats]:
    """Return a drawing of a scan: bright skin, layers of fat and gland, a mass, dark depth."""

    def draw(canvas: Canvas) -> Floats:
        at = canvas.pose(0.05, (0.95, 1.05), 0.12, bend=0.05)
        y = at[1]
        image = canvas.uniform(0.25, 0.6) * np.exp(0.2 * canvas.noise(2, 3)) + _echoes(canvas)
        fat = soft_step(canvas.uniform(0.1, 0.4) - np.abs(y + canvas.uniform(0.3, 0.9)), 0.2)
        image = image - canvas.uniform(0, 0.2) * fat * canvas.bernoulli(0.6)
        skin = soft_step(canvas.uniform(0, 0.22) - (y + 1), 0.15) * canvas.uniform(0, 0.45)
        image = tissue(canvas, at, np.clip(image, 0, None))
        deep = soft_step(y - canvas.uniform(-0.2, 1.1), canvas.uniform(0.3, 1.2))
        image = image * (1 - deep * canvas.uniform(0, 0.95)) + skin
        columns = 1 - soft_step(canvas.noise(9, 1) - 1, 0.7) * soft_step(
            y + 0.2, 0.6
        ) * canvas.uniform(0, 0.7)
        image = np.clip(image * columns, 0, None)
        return image * (1 + canvas.pixel_noise(0.15 * canvas.uniform(0, 1) ** 2))

    return draw


def _finish(canvas: Canvas, image: Floats) -> Floats:
    image = collimate(canvas, image, 0.06, 0.15)
    return expose(canvas, image, (0.6, 1.3), (-0.06, 0.1), (0.65, 1.6), (0.1, 0.6), 0.02)


def _harmless(canvas: Canvas) -> Floats:
    return mixture(canvas, (_scan(_benign), _scan(_no_mass)), (3, 1))


_BIRADS = "ACR BI-RADS Atlas, ultrasound lexicon, 2013; Stavros et al., Radiology 1995"

BREAST = Look(
    "breastmnist", False,
    "B-mode ultrasound of the breast: bright skin above, streaked layers of fat and gland in "
    "speckle, dark masses with shadow or enhancement below them, darkness in depth.",
    (
        Kind("malignant", _scan(_malignant),
             "irregular or spiky, taller than wide, uneven, bright halo, shadow below", _BIRADS),
        Kind("normal or benign", _harmless,
             "no mass; or a smooth even oval, wider than tall, bright below if a cyst", _BIRADS,
             weight=2.0),
    ),
    _finish,
)  # fmt: skip

"""Breast ultrasound: malignant masses against benign ones and no mass at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Coordinates, Floats, Sheet, lay, mixture, step

__all__ = ["BREAST"]

Tissue = Callable[[Sheet, Coordinates, Floats], Floats]
"""Puts a mass into the echoes of tissue [n,size,size]."""


def _echoes(sheet: Sheet) -> Floats:
    """Tissue that scatters: layers that lie across, streaks and speckle, mean 0."""
    layers = sheet.field(2, 10) * sheet.between(0.02, 0.12)
    streaks = sheet.field(8, 20) * sheet.between(0.04, 0.13)
    patches = sheet.field(5, 7) * sheet.between(0.02, 0.1)
    return layers + streaks + patches


def _below(at: Coordinates, place: Coordinates, wide: Floats, tall: Floats) -> Floats:
    """The strip under a mass, 0 to 1: there the beam is weakened or less weakened."""
    x, y = at[0] - place[0], at[1] - place[1]
    return step(wide * 0.9 - np.abs(x), 0.2) * step(y - 0.5 * tall, 0.2)


def _malignant(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Irregular, spiky or angular, taller than wide or large, uneven, bright halo, a shadow."""
    place = sheet.between(-0.45, 0.45), sheet.between(-0.45, 0.25)
    wide = sheet.between(0.15, 0.55)
    tall = wide * sheet.between(0.7, 1.4)
    turn = sheet.between(-0.5, 0.5)
    mass = sheet.ellipse(at, place, (wide, tall), sheet.between(0.1, 0.3), turn,
                         sheet.between(0.2, 0.5), 6)  # fmt: skip
    halo = sheet.ellipse(at, place, (wide * 1.3, tall * 1.3), 0.3, turn, 0.3, 6)
    image = image * (1 + halo * (1 - mass) * sheet.between(0, 0.6))
    inside = np.clip(sheet.between(0.1, 0.55) + 0.15 * sheet.field(7), 0, 1)
    shadow = _below(at, place, wide, tall) * (1 - mass) * sheet.between(0.3, 0.95)
    shadow = shadow * sheet.chance(0.75)
    return lay(image, image * inside, mass) * (1 - shadow)


def _benign(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Oval, wider than tall, smooth and even, a thin bright capsule; brighter below a cyst."""
    for often in (1.0, 0.3):
        place = sheet.between(-0.6, 0.6), sheet.between(-0.7, 0.2)
        wide = sheet.between(0.1, 0.5)
        tall = wide * sheet.between(0.4, 0.85)
        turn, seen = sheet.between(-0.25, 0.25), sheet.chance(often)
        mass = sheet.ellipse(at, place, (wide, tall), 0.1, turn, 0.06) * seen
        rim = sheet.ellipse(at, place, (wide * 1.2, tall * 1.25), 0.12, turn) * seen
        image = image * (1 + rim * (1 - mass) * sheet.between(0, 0.5))
        cyst = sheet.chance(0.4)
        inside = np.where(cyst > 0, sheet.between(0, 0.15), sheet.between(0.35, 0.8))
        gain = _below(at, place, wide, tall) * (1 - mass) * seen * sheet.between(0, 0.9)
        image = lay(image, image * inside, mass) * (1 + gain * np.maximum(cyst, 0.4))
    return image


def _no_mass(sheet: Sheet, _at: Coordinates, image: Floats) -> Floats:
    """Nothing but layers of fat, gland and muscle; faint dark lobules of fat."""
    lobules = step(sheet.field(4, 6) - sheet.between(0.6, 1.4), 0.8)
    return image * (1 - lobules * sheet.between(0, 0.35))


def _scan(tissue: Tissue) -> Callable[[Sheet], Floats]:
    """A drawer: bright skin on top, layers of fat and gland with a mass in it, dark depth."""

    def draw(sheet: Sheet) -> Floats:
        at = sheet.pose(0.05, (0.95, 1.05), 0.12, bend=0.05)
        y = at[1]
        image = sheet.between(0.25, 0.6) * np.exp(0.2 * sheet.field(2, 3)) + _echoes(sheet)
        fat = step(sheet.between(0.1, 0.4) - np.abs(y + sheet.between(0.3, 0.9)), 0.2)
        image = image - sheet.between(0, 0.2) * fat * sheet.chance(0.6)
        skin = step(sheet.between(0, 0.22) - (y + 1), 0.15) * sheet.between(0, 0.45)
        image = tissue(sheet, at, np.clip(image, 0, None))
        deep = step(y - sheet.between(-0.2, 1.1), sheet.between(0.3, 1.2))
        image = image * (1 - deep * sheet.between(0, 0.95)) + skin
        columns = 1 - step(sheet.field(9, 1) - 1, 0.7) * step(y + 0.2, 0.6) * sheet.between(0, 0.7)
        image = np.clip(image * columns, 0, None)
        return image * (1 + sheet.grain(0.15 * sheet.between(0, 1) ** 2))

    return draw


def _finish(sheet: Sheet, image: Floats) -> Floats:
    image = collimate(sheet, image, 0.06, 0.15)
    return expose(sheet, image, (0.6, 1.3), (-0.06, 0.1), (0.65, 1.6), (0.1, 0.6), 0.02)


def _harmless(sheet: Sheet) -> Floats:
    return mixture(sheet, (_scan(_benign), _scan(_no_mass)), (3, 1))


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

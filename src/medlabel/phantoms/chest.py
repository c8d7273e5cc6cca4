"""Chest films of adults and of children, and what is found on them.

A film is drawn from the air that X-rays pass: dark where there is air, bright where there is none.
A finding is a change of that air: fluid and pus take it away, a pneumothorax adds to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Coordinates, Floats, Range, Sheet, lay, step

__all__ = ["ADULT", "CHILD"]

Finding = Callable[[Sheet, Coordinates, Floats], Floats]
"""From the air of a healthy chest [n,size,size], 0 to 1, to the air with something wrong."""


# --- The healthy chest ---------------------------------------------------------------------------


def _torso(sheet: Sheet, at: Coordinates, width: Range, neck: Range) -> Floats:
    """The outline of neck and trunk: shoulders slope from the neck, then straight sides.

    `neck` is how high the shoulders begin: above 1 they are out of the picture.
    """
    x, y = np.abs(at[0]), at[1]
    slope, start = sheet.between(0.0, 0.6), sheet.between(0.15, 0.4)
    out = np.maximum(x - start, 0)
    shoulder = y + sheet.between(*neck) - slope * out - sheet.between(0, 0.6) * out**2
    soft = sheet.between(0.1, 0.7)
    trunk = step(shoulder, soft) * step(sheet.between(*width) + 0.12 * y - x, soft)
    throat = step(sheet.between(0.15, 0.35) + 0.5 * np.maximum(y + 0.85, 0) - x, 0.15)
    return np.maximum(trunk, throat * step(-y, 0.3) * sheet.chance(0.7))


def _lungs(
    sheet: Sheet, at: Coordinates, top: Range, floor: Range, wide: Range, dome: Range = (0.1, 0.7)
) -> Floats:
    """Both lungs, 0 to 1: narrow domes at the top, wide at the base, cut by the diaphragm."""
    both = np.zeros_like(at[0])
    soft = sheet.between(0.08, 0.2)
    apex, base, reach = sheet.between(*top), sheet.between(*floor), sheet.between(*wide)
    belly, taper = sheet.between(1.2, 4.0), sheet.between(0.45, 0.85)
    for side in (-1, 1):
        x, y = side * at[0], at[1]
        low = base + sheet.between(-0.1, 0.1)
        share = np.clip((y - apex) / (low - apex), 0, 1)
        outer = reach * sheet.between(0.9, 1.1) * (1 - (1 - share) ** belly) ** taper
        inner = sheet.between(0.08, 0.22) + sheet.between(0, 0.12) * share
        below = low + sheet.between(*dome) * (x - 0.6 * reach) + 0.02 * sheet.field(3)
        lung = step(outer - x, soft) * step(x - inner, soft) * step(below - y, 0.12)
        both = np.maximum(both, lung * step(y - apex, soft))
    return both


def _heart(sheet: Sheet, at: Coordinates, size: Range) -> Floats:
    """The heart's shadow: from the midline to the image's right, above the diaphragm."""
    radius = sheet.between(*size)
    return sheet.ellipse(
        at, (sheet.between(0.02, 0.2), sheet.between(0.2, 0.42)),
        (radius, radius * sheet.between(0.8, 1.3)), soft=0.16, turn=sheet.between(0, 0.6),
    )  # fmt: skip


def _ribs(sheet: Sheet, at: Coordinates, count: Range) -> Floats:
    """Ribs as bright arcs that fall away from the spine, -1 to 1."""
    x, y = at
    droop = sheet.between(-0.2, 0.6)
    return np.sin(np.pi * sheet.between(*count) * (y - droop * x * x) + sheet.between(0, 6))


def _spine(sheet: Sheet, at: Coordinates) -> Floats:
    """The midline: spine, great vessels and windpipe seen as one bright column, 0 to 1."""
    width = sheet.between(0.1, 0.24) + 0.1 * np.clip(at[1], 0, 1)
    return step(width - np.abs(at[0]), sheet.between(0.15, 0.35))


def _devices(sheet: Sheet, at: Coordinates, often: float = 0.15) -> Floats:
    """Tubes, leads and side markers: thin or small bright things, 0 to 1."""
    x, y = at
    tube = step(0.03 - np.abs(x - sheet.between(-0.6, 0.6) - 0.3 * np.sin(2 * y + 3)), 0.06)
    tube = tube * step(y + sheet.between(-0.3, 1), 0.1) * sheet.chance(often)
    marker = sheet.ellipse(
        at, (sheet.between(-0.9, 0.9), sheet.between(-0.95, -0.5)), (0.08, 0.06), soft=0.06
    )
    return np.maximum(tube * 0.5, marker * sheet.chance(0.25))


def _gaps(sheet: Sheet, at: Coordinates) -> Floats:
    """Dark gaps between the trunk and the arms, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    gap = sheet.between(0.85, 1.15) + sheet.between(-0.2, 0.2) * y
    width = sheet.between(0.0, 0.12) + 0.1 * np.clip(y, 0, 1)
    return step(width - np.abs(x - gap), 0.1) * step(y - sheet.between(-0.3, 0.5), 0.3)


def _shoulders(sheet: Sheet, at: Coordinates) -> Floats:
    """Shoulder blades and heads of the upper arms, bright in the upper corners, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    lean = sheet.between(-0.8, 1.2)
    bone = step(0.12 - np.abs(x - sheet.between(0.7, 1.0) - lean * (y + 0.6)), 0.12)
    return bone * step(sheet.between(-0.6, 0.0) - y, 0.2) * sheet.between(0, 1.5)


def _collarbones(sheet: Sheet, at: Coordinates) -> Floats:
    """Both collarbones: thin bright bars across the tops of the lungs, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    height = sheet.between(-0.8, -0.5) - sheet.between(-0.1, 0.4) * x
    bar = step(0.03 - np.abs(y - height), 0.1) * step(x - 0.1, 0.1)
    return bar * sheet.between(0, 1)


def _film(
    sheet: Sheet, at: Coordinates, air: Floats, depth: Range, ribs: Range, count: Range
) -> Floats:
    """The trunk as X-rays see it, without its outline: bright tissue, dark air, faint ribs."""
    tissue = sheet.between(0.5, 0.85) + 0.04 * sheet.field(3)
    tissue = tissue + sheet.between(0, 0.2) * _spine(sheet, at)
    tissue = tissue + sheet.between(-0.1, 0.2) * step(at[1] - 0.4, 0.5)
    tissue = tissue - sheet.between(0, 0.3) * at[0] ** 2
    markings = 1 + 0.1 * sheet.field(6) + sheet.between(-0.3, 0.3) * at[1]
    image = tissue - air * sheet.between(*depth) * markings
    return image + (0.4 + air) * _ribs(sheet, at, count) * sheet.between(*ribs)


def _air(sheet: Sheet, at: Coordinates, lungs: Floats, heart: Range) -> Floats:
    """The air in the lungs, 0 to 1: where heart and spine lie over them there is less."""
    middle = np.maximum(_heart(sheet, at, heart), _spine(sheet, at))
    return lungs * (1 - sheet.between(0.7, 1) * middle)


# --- What is found -------------------------------------------------------------------------------


def _side(sheet: Sheet) -> Floats:
    """-1 or 1 an image: which lung."""
    return np.where(sheet.chance(0.5) > 0, np.float32(1), np.float32(-1))


def _clear(_sheet: Sheet, _at: Coordinates, air: Floats) -> Floats:
    return air


def _lobe(sheet: Sheet, at: Coordinates, air: Floats, dense: Range = (0.6, 1.0)) -> Floats:
    """Consolidation: one even white part of one lung, to a sharp edge where a fissure is."""
    x, y = at[0] * _side(sheet), at[1]
    place = sheet.between(0.25, 0.65), sheet.between(-0.5, 0.5)
    reach = sheet.between(0.25, 0.55), sheet.between(0.22, 0.5)
    cloud = sheet.ellipse((x, y), place, reach, sheet.between(0.15, 0.5), 0.0, 0.25)
    fissure = step(y - place[1] + 0.15 * x, 0.1) * sheet.chance(0.3)
    return air * (1 - cloud * np.maximum(1 - fissure, 0.3) * sheet.between(*dense))


def _patches(sheet: Sheet, at: Coordinates, air: Floats, dense: Range = (0.3, 0.8)) -> Floats:
    """Bronchopneumonia, infiltration: ill-defined clouds in several places."""
    cloud = step(sheet.field(4) + 0.4 * sheet.field(8) - sheet.between(-0.3, 0.6), 1.4)
    low = step(at[1] + sheet.between(0, 1), 0.8)
    return air * (1 - cloud * low * sheet.between(*dense))


def _hilar(sheet: Sheet, at: Coordinates, air: Floats, dense: Range = (0.4, 0.95)) -> Floats:
    """Haze and streaks that spread from the roots of both lungs, as bats' wings do."""
    x, y = np.abs(at[0]), at[1] - sheet.between(-0.15, 0.25)
    near = np.exp(-((x / sheet.between(0.3, 0.65)) ** 2) - (y / sheet.between(0.35, 0.7)) ** 2)
    streaks = np.clip(1 + 0.3 * sheet.field(9), 0, 1.5)
    found: Floats = air * np.clip(1 - near * streaks * sheet.between(*dense), 0, 1)
    return found


def _veil(sheet: Sheet, _at: Coordinates, air: Floats, dense: Range = (0.2, 0.65)) -> Floats:
    """An even haze over both lungs: ground glass."""
    found: Floats = air * (1 - sheet.between(*dense) * np.clip(1 + 0.15 * sheet.field(3), 0, 1.3))
    return found


def _effusion(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Fluid: white from below, its upper edge hollow and higher at the ribs; one side or both."""
    for often in (1.0, 0.35):
        x, y = at[0] * _side(sheet), at[1]
        level = sheet.between(-0.1, 0.5) - sheet.between(0.2, 0.8) * np.clip(x - 0.3, 0, 1) ** 1.5
        pool = step(y - level, 0.15) * step(x, 0.1) * sheet.chance(often)
        air = air * (1 - pool * sheet.between(0.7, 1.0))
    return air


def _atelectasis(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Collapse: white bands across the base of a lung that has grown smaller and denser."""
    x, y = at[0] * _side(sheet), at[1]
    height = sheet.between(0.0, 0.45) + sheet.between(-0.4, 0.2) * (x - 0.4)
    band = step(sheet.between(0.03, 0.09) - np.abs(y - height), 0.1) * step(x - 0.1, 0.1)
    raised = step(y - sheet.between(0.1, 0.5), 0.15) * step(x, 0.1)
    found: Floats = air * (
        1 - np.maximum(band * sheet.between(0.3, 0.8), raised * sheet.between(0.3, 0.9))
    )
    return found


def _round(radius: Range, sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """A round white shadow in a lung: a nodule up to 3 cm, a mass above."""
    wide = sheet.between(*radius)
    place = _side(sheet) * sheet.between(0.25, 0.6), sheet.between(-0.5, 0.4)
    spot = sheet.ellipse(at, place, (wide, wide * sheet.between(0.8, 1.2)), 0.08, 0.0, 0.08)
    return air * (1 - spot * sheet.between(0.5, 1.0))


def _pneumothorax(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Air outside a lung: a black rim at apex and side, the lung shrunken and whiter inside it."""
    x, y = at[0] * _side(sheet), at[1]
    edge = sheet.between(0.25, 0.55) + sheet.between(-0.1, 0.3) * y
    rim = np.maximum(step(x - edge, 0.08), step(sheet.between(-0.6, -0.2) - y, 0.1))
    this = step(x - 0.05, 0.1)
    fallen = this * (1 - rim) * sheet.between(0.1, 0.5)
    found: Floats = air * (1 - fallen) + 0.35 * air * this * rim
    return found


def _emphysema(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Too much air: lungs blacker than they should be, few vessels in them."""
    found: Floats = air * np.clip(1.25 + 0.15 * sheet.field(2) - 0.1 * at[1], 0.9, 1.5)
    return found


def _fibrosis(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Scars: a net of coarse white lines, most at the base and the rim of small lungs."""
    net = step(0.5 - np.abs(sheet.field(10)), 0.6) + 0.5 * step(sheet.field(14) - 0.5, 0.8)
    where = np.clip(0.5 + 0.5 * at[1] + 0.5 * np.abs(at[0]), 0.1, 1)
    return air * np.clip(1 - net * where * sheet.between(0.3, 0.8), 0, 1)


def _pleura(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """A thickened pleura: a white rind along the ribs or over the apex, a blunted corner below."""
    x, y = at[0] * _side(sheet), at[1]
    rind = step(x - sheet.between(0.5, 0.68) - 0.2 * y, 0.1)
    cap = step(sheet.between(-0.6, -0.4) - y, 0.1)
    this = step(x, 0.1) * np.where(sheet.chance(0.7) > 0, rind, cap)
    return air * (1 - this * sheet.between(0.5, 0.95))


def _hernia(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Stomach in the chest: a round shadow behind the heart, often with gas in it."""
    place = sheet.between(-0.15, 0.35), sheet.between(0.15, 0.45)
    wide = sheet.between(0.18, 0.35)
    sac = sheet.ellipse(at, place, (wide, wide * sheet.between(0.7, 1)), 0.1)
    gas = sheet.ellipse(at, (place[0], place[1] - 0.05), (wide * 0.7, wide * 0.45), 0.12)
    return air * (1 - sac * 0.9) + gas * sheet.between(0, 0.7)


def _edema(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """Fluid in both lungs: bats' wings, haze, and some fluid below."""
    air = _veil(sheet, at, _hilar(sheet, at, air), (0.1, 0.45))
    level = step(at[1] - sheet.between(0.25, 0.6), 0.25) * sheet.chance(0.5)
    return air * (1 - level * sheet.between(0.3, 0.8))


def _child_pneumonia(sheet: Sheet, at: Coordinates, air: Floats) -> Floats:
    """What the WHO counts as pneumonia in a child: lobar, patchy or perihilar, alone or mixed."""
    parts = (_lobe, _patches, _hilar, _veil)
    first = sheet.dice.integers(len(parts), size=(sheet.n, 1, 1))
    found = air
    for number, part in enumerate(parts):
        seen = np.maximum(first == number, sheet.chance(0.45))
        found = np.where(seen > 0, part(sheet, at, found), found)
    return found


# --- Whole films ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Build:
    """What else goes with a finding: the heart's size, the lungs' floor and dome, tubes."""

    heart: Range = (0.2, 0.36)
    floor: Range = (0.15, 0.6)
    dome: Range = (0.1, 0.7)
    tubes: float = 0.15


def _adult(finding: Finding, build: _Build, sheet: Sheet) -> Floats:
    """An adult's frontal chest film: dark air above the shoulders, two lungs, arms at the sides."""
    at = sheet.pose(0.12, (0.82, 1.2), 0.08, bend=0.03)
    body = _torso(sheet, at, (0.85, 1.8), (0.8, 1.05))
    lungs = _lungs(sheet, at, (-0.95, -0.55), build.floor, (0.5, 0.85), build.dome)
    air = finding(sheet, at, _air(sheet, at, lungs, build.heart))
    image = _film(sheet, at, air, (0.2, 0.65), (0, 0.04), (5, 10))
    vessels = sheet.between(0, 0.05) * sheet.field(12) * (0.2 + air)
    image = image + vessels + 0.15 * _collarbones(sheet, at)
    outside = sheet.between(0, 0.12) + sheet.between(0, 0.2) * sheet.chance(0.15)
    image = lay(image, outside, _gaps(sheet, at) * sheet.chance(0.4) * sheet.between(0.3, 1))
    image = lay(outside + 0 * image, image, body)
    image = lay(image, 0.95, _devices(sheet, at, build.tubes))
    return collimate(sheet, image, 0.12)


def _adult_finish(sheet: Sheet, image: Floats) -> Floats:
    return expose(sheet, image, (0.8, 1.2), (-0.06, 0.12), (0.6, 1.5), (0.05, 0.5), 0.01)


def _child(finding: Finding, heart: Range, scale: Range, turn: float, sheet: Sheet) -> Floats:
    """A child's chest film, cropped close: many fine ribs, a big heart, raised arms."""
    at = sheet.pose(0.15, scale, turn, bend=0.03)
    lungs = _lungs(sheet, at, (-1.05, -0.65), (0.35, 0.75), (0.65, 1.0), (0.1, 0.5))
    air = finding(sheet, at, _air(sheet, at, lungs, heart))
    image = _film(sheet, at, air, (0.15, 0.5), (0.005, 0.06), (7, 13))
    fine = sheet.between(0.01, 0.06) * sheet.field(14) * (0.5 + air)  # vessels, bones, on edge
    image = image + fine + 0.12 * (_shoulders(sheet, at) + _collarbones(sheet, at))
    gas = np.clip(sheet.field(4), 0, 2) * step(at[1] - 0.6, 0.3) * sheet.between(0, 0.15)
    outside = sheet.between(0, 0.3) + 0 * image
    image = lay(outside, image - gas, _torso(sheet, at, (0.95, 1.8), (0.85, 1.4)))
    chin = sheet.ellipse(at, (sheet.between(-0.15, 0.15), -1.05), (0.3, sheet.between(0.1, 0.3)))
    image = lay(image, sheet.between(0.6, 0.95), chin * sheet.chance(0.3))
    image = lay(image, 0.95, _devices(sheet, at))
    return collimate(sheet, image, 0.06, 0.12)


def _child_finish(sheet: Sheet, image: Floats) -> Floats:
    return expose(sheet, image, (0.85, 1.05), (-0.03, 0.06), (0.85, 1.2), (0.05, 0.4), 0.01)


_FLEISCHNER = "Hansell et al., Fleischner Society glossary of terms for thoracic imaging, 2008"
_FELSON = "Goodman, Felson's Principles of Chest Roentgenology"
_WHO = "Cherian et al., WHO standardised interpretation of paediatric chest radiographs, 2005"
_SICK = _Build(heart=(0.26, 0.44), floor=(0.05, 0.5), tubes=0.4)


def _found(
    name: str, finding: Finding, seen: str, source: str = _FLEISCHNER, build: _Build = _Build()
) -> Kind:
    return Kind(name, partial(_adult, finding, build), seen, source, weight=0.5)


ADULT = Look(
    "chestmnist", False,
    "Frontal chest film of an adult: two tall dark lungs, bright spine, heart to the image's "
    "right, domed diaphragm over a bright abdomen, dark air above sloping shoulders; "
    "sometimes opacities, tubes, markers, collimation.",
    (
        _found("atelectasis", _atelectasis, "white bands or a white base; less volume",
               build=_Build(floor=(0.0, 0.45))),
        _found("cardiomegaly", _clear, "a heart wider than half of the chest", _FELSON,
               _Build(heart=(0.46, 0.66), floor=(0.1, 0.5))),
        _found("effusion", _effusion, "white from below, hollow upper edge, corner lost",
               build=_Build(heart=(0.22, 0.4))),
        _found("infiltration", _patches, "hazy clouds without an edge", build=_SICK),
        _found("mass", partial(_round, (0.13, 0.3)), "a round white shadow over 3 cm"),
        _found("nodule", partial(_round, (0.05, 0.12)), "a round white spot up to 3 cm"),
        _found("pneumonia", partial(_lobe, dense=(0.35, 0.9)), "a cloud in a part of a lung",
               _FELSON, _SICK),
        _found("pneumothorax", _pneumothorax, "a black rim without vessels, a smaller lung in it",
               build=_Build(tubes=0.5)),
        _found("consolidation", _lobe, "a dense even white part of a lung", build=_SICK),
        _found("edema", _edema, "haze from the roots of both lungs, big heart", _FELSON,
               _Build(heart=(0.32, 0.5), floor=(0.05, 0.45), tubes=0.5)),
        _found("emphysema", _emphysema, "long black lungs, flat diaphragm, slim heart",
               build=_Build(heart=(0.16, 0.26), floor=(0.45, 0.8), dome=(-0.1, 0.15))),
        _found("fibrosis", _fibrosis, "a net of coarse lines in small lungs",
               build=_Build(floor=(0.0, 0.4))),
        _found("pleural thickening", _pleura, "a white rind along ribs or apex"),
        _found("hernia", _hernia, "a round shadow with gas behind the heart", _FELSON),
        Kind("no finding", partial(_adult, _clear, _Build()), "clear lungs, slim heart", _FELSON,
             weight=3.0),
    ),
    _adult_finish, findings=14,
)  # fmt: skip
"""NIH ChestX-ray14's fourteen findings; the fifteenth kind has none of them."""

CHILD = Look(
    "pneumoniamnist", False,
    "Frontal chest film of a small child: a broad short chest that fills the field, crowded "
    "flat ribs, a large heart, bright hazy opacities where there is pneumonia.",
    (
        Kind("normal", partial(_child, _clear, (0.28, 0.48), (0.82, 1.25), 0.15),
             "black lungs with fine vessels, sharp heart and diaphragm", _WHO, weight=1.0),
        Kind("pneumonia", partial(_child, _child_pneumonia, (0.3, 0.55), (0.85, 1.4), 0.18),
             "white clouds, even in a lobe, patchy, or about the roots; borders lost", _WHO,
             weight=2.0),
    ),
    _child_finish,
)  # fmt: skip

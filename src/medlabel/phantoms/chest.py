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
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, Range, paint, soft_step

__all__ = ["ADULT", "CHILD"]

Finding = Callable[[Canvas, Coordinates, Floats], Floats]
"""From the air of a healthy chest [n,size,size], 0 to 1, to the air with something wrong."""


# --- The healthy chest ---------------------------------------------------------------------------


def _torso(canvas: Canvas, at: Coordinates, width: Range, neck: Range) -> Floats:
    """The outline of neck and trunk: shoulders slope from the neck, then straight sides.

    `neck` is how high the shoulders begin: above 1 they are out of the picture.
    """
    x, y = np.abs(at[0]), at[1]
    slope, start = canvas.uniform(0.0, 0.6), canvas.uniform(0.15, 0.4)
    out = np.maximum(x - start, 0)
    shoulder = y + canvas.uniform(*neck) - slope * out - canvas.uniform(0, 0.6) * out**2
    soft = canvas.uniform(0.1, 0.7)
    trunk = soft_step(shoulder, soft) * soft_step(canvas.uniform(*width) + 0.12 * y - x, soft)
    throat = soft_step(canvas.uniform(0.15, 0.35) + 0.5 * np.maximum(y + 0.85, 0) - x, 0.15)
    return np.maximum(trunk, throat * soft_step(-y, 0.3) * canvas.bernoulli(0.7))


def _lungs(
    canvas: Canvas, at: Coordinates, top: Range, floor: Range, wide: Range, dome: Range = (0.1, 0.7)
) -> Floats:
    """Both lungs, 0 to 1: narrow domes at the top, wide at the base, cut by the diaphragm."""
    both = np.zeros_like(at[0])
    soft = canvas.uniform(0.08, 0.2)
    apex, base, reach = canvas.uniform(*top), canvas.uniform(*floor), canvas.uniform(*wide)
    belly, taper = canvas.uniform(1.2, 4.0), canvas.uniform(0.45, 0.85)
    for side in (-1, 1):
        x, y = side * at[0], at[1]
        low = base + canvas.uniform(-0.1, 0.1)
        share = np.clip((y - apex) / (low - apex), 0, 1)
        outer = reach * canvas.uniform(0.9, 1.1) * (1 - (1 - share) ** belly) ** taper
        inner = canvas.uniform(0.08, 0.22) + canvas.uniform(0, 0.12) * share
        below = low + canvas.uniform(*dome) * (x - 0.6 * reach) + 0.02 * canvas.noise(3)
        lung = soft_step(outer - x, soft) * soft_step(x - inner, soft) * soft_step(below - y, 0.12)
        both = np.maximum(both, lung * soft_step(y - apex, soft))
    return both


def _heart(canvas: Canvas, at: Coordinates, size: Range) -> Floats:
    """The heart's shadow: from the midline to the image's right, above the diaphragm."""
    radius = canvas.uniform(*size)
    return canvas.ellipse(
        at, (canvas.uniform(0.02, 0.2), canvas.uniform(0.2, 0.42)),
        (radius, radius * canvas.uniform(0.8, 1.3)), soft=0.16, turn=canvas.uniform(0, 0.6),
    )  # fmt: skip


def _ribs(canvas: Canvas, at: Coordinates, count: Range) -> Floats:
    """Ribs as bright arcs that fall away from the spine, -1 to 1."""
    x, y = at
    droop = canvas.uniform(-0.2, 0.6)
    return np.sin(np.pi * canvas.uniform(*count) * (y - droop * x * x) + canvas.uniform(0, 6))


def _spine(canvas: Canvas, at: Coordinates) -> Floats:
    """The midline: spine, great vessels and windpipe seen as one bright column, 0 to 1."""
    width = canvas.uniform(0.1, 0.24) + 0.1 * np.clip(at[1], 0, 1)
    return soft_step(width - np.abs(at[0]), canvas.uniform(0.15, 0.35))


def _devices(canvas: Canvas, at: Coordinates, often: float = 0.15) -> Floats:
    """Tubes, leads and side markers: thin or small bright things, 0 to 1."""
    x, y = at
    tube = soft_step(0.03 - np.abs(x - canvas.uniform(-0.6, 0.6) - 0.3 * np.sin(2 * y + 3)), 0.06)
    tube = tube * soft_step(y + canvas.uniform(-0.3, 1), 0.1) * canvas.bernoulli(often)
    marker = canvas.ellipse(
        at, (canvas.uniform(-0.9, 0.9), canvas.uniform(-0.95, -0.5)), (0.08, 0.06), soft=0.06
    )
    return np.maximum(tube * 0.5, marker * canvas.bernoulli(0.25))


def _gaps(canvas: Canvas, at: Coordinates) -> Floats:
    """Dark gaps between the trunk and the arms, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    gap = canvas.uniform(0.85, 1.15) + canvas.uniform(-0.2, 0.2) * y
    width = canvas.uniform(0.0, 0.12) + 0.1 * np.clip(y, 0, 1)
    return soft_step(width - np.abs(x - gap), 0.1) * soft_step(y - canvas.uniform(-0.3, 0.5), 0.3)


def _shoulders(canvas: Canvas, at: Coordinates) -> Floats:
    """Shoulder blades and heads of the upper arms, bright in the upper corners, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    lean = canvas.uniform(-0.8, 1.2)
    bone = soft_step(0.12 - np.abs(x - canvas.uniform(0.7, 1.0) - lean * (y + 0.6)), 0.12)
    return bone * soft_step(canvas.uniform(-0.6, 0.0) - y, 0.2) * canvas.uniform(0, 1.5)


def _collarbones(canvas: Canvas, at: Coordinates) -> Floats:
    """Both collarbones: thin bright bars across the tops of the lungs, 0 to 1."""
    x, y = np.abs(at[0]), at[1]
    height = canvas.uniform(-0.8, -0.5) - canvas.uniform(-0.1, 0.4) * x
    bar = soft_step(0.03 - np.abs(y - height), 0.1) * soft_step(x - 0.1, 0.1)
    return bar * canvas.uniform(0, 1)


def _film(
    canvas: Canvas, at: Coordinates, air: Floats, depth: Range, ribs: Range, count: Range
) -> Floats:
    """The trunk as X-rays see it, without its outline: bright tissue, dark air, faint ribs."""
    tissue = canvas.uniform(0.5, 0.85) + 0.04 * canvas.noise(3)
    tissue = tissue + canvas.uniform(0, 0.2) * _spine(canvas, at)
    tissue = tissue + canvas.uniform(-0.1, 0.2) * soft_step(at[1] - 0.4, 0.5)
    tissue = tissue - canvas.uniform(0, 0.3) * at[0] ** 2
    markings = 1 + 0.1 * canvas.noise(6) + canvas.uniform(-0.3, 0.3) * at[1]
    image = tissue - air * canvas.uniform(*depth) * markings
    return image + (0.4 + air) * _ribs(canvas, at, count) * canvas.uniform(*ribs)


def _air(canvas: Canvas, at: Coordinates, lungs: Floats, heart: Range) -> Floats:
    """The air in the lungs, 0 to 1: where heart and spine lie over them there is less."""
    middle = np.maximum(_heart(canvas, at, heart), _spine(canvas, at))
    return lungs * (1 - canvas.uniform(0.7, 1) * middle)


# --- What is found -------------------------------------------------------------------------------


def _side(canvas: Canvas) -> Floats:
    """Sample -1 or 1 per image: which lung."""
    return np.where(canvas.bernoulli(0.5) > 0, np.float32(1), np.float32(-1))


def _clear(_canvas: Canvas, _at: Coordinates, air: Floats) -> Floats:
    return air


def _lobe(canvas: Canvas, at: Coordinates, air: Floats, dense: Range = (0.6, 1.0)) -> Floats:
    """Consolidation: one even white part of one lung, to a sharp edge where a fissure is."""
    x, y = at[0] * _side(canvas), at[1]
    place = canvas.uniform(0.25, 0.65), canvas.uniform(-0.5, 0.5)
    reach = canvas.uniform(0.25, 0.55), canvas.uniform(0.22, 0.5)
    cloud = canvas.ellipse((x, y), place, reach, canvas.uniform(0.15, 0.5), 0.0, 0.25)
    fissure = soft_step(y - place[1] + 0.15 * x, 0.1) * canvas.bernoulli(0.3)
    return air * (1 - cloud * np.maximum(1 - fissure, 0.3) * canvas.uniform(*dense))


def _patches(canvas: Canvas, at: Coordinates, air: Floats, dense: Range = (0.3, 0.8)) -> Floats:
    """Bronchopneumonia, infiltration: ill-defined clouds in several places."""
    cloud = soft_step(canvas.noise(4) + 0.4 * canvas.noise(8) - canvas.uniform(-0.3, 0.6), 1.4)
    low = soft_step(at[1] + canvas.uniform(0, 1), 0.8)
    return air * (1 - cloud * low * canvas.uniform(*dense))


def _hilar(canvas: Canvas, at: Coordinates, air: Floats, dense: Range = (0.4, 0.95)) -> Floats:
    """Haze and streaks that spread from the roots of both lungs, as bats' wings do."""
    x, y = np.abs(at[0]), at[1] - canvas.uniform(-0.15, 0.25)
    near = np.exp(-((x / canvas.uniform(0.3, 0.65)) ** 2) - (y / canvas.uniform(0.35, 0.7)) ** 2)
    streaks = np.clip(1 + 0.3 * canvas.noise(9), 0, 1.5)
    found: Floats = air * np.clip(1 - near * streaks * canvas.uniform(*dense), 0, 1)
    return found


def _veil(canvas: Canvas, _at: Coordinates, air: Floats, dense: Range = (0.2, 0.65)) -> Floats:
    """An even haze over both lungs: ground glass."""
    found: Floats = air * (1 - canvas.uniform(*dense) * np.clip(1 + 0.15 * canvas.noise(3), 0, 1.3))
    return found


def _effusion(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Fluid: white from below, its upper edge hollow and higher at the ribs; one side or both."""
    for often in (1.0, 0.35):
        x, y = at[0] * _side(canvas), at[1]
        level = canvas.uniform(-0.1, 0.5) - canvas.uniform(0.2, 0.8) * np.clip(x - 0.3, 0, 1) ** 1.5
        pool = soft_step(y - level, 0.15) * soft_step(x, 0.1) * canvas.bernoulli(often)
        air = air * (1 - pool * canvas.uniform(0.7, 1.0))
    return air


def _atelectasis(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Collapse: white bands across the base of a lung that has grown smaller and denser."""
    x, y = at[0] * _side(canvas), at[1]
    height = canvas.uniform(0.0, 0.45) + canvas.uniform(-0.4, 0.2) * (x - 0.4)
    band = soft_step(canvas.uniform(0.03, 0.09) - np.abs(y - height), 0.1) * soft_step(x - 0.1, 0.1)
    raised = soft_step(y - canvas.uniform(0.1, 0.5), 0.15) * soft_step(x, 0.1)
    found: Floats = air * (
        1 - np.maximum(band * canvas.uniform(0.3, 0.8), raised * canvas.uniform(0.3, 0.9))
    )
    return found


def _round(radius: Range, canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """A round white shadow in a lung: a nodule up to 3 cm, a mass above."""
    wide = canvas.uniform(*radius)
    place = _side(canvas) * canvas.uniform(0.25, 0.6), canvas.uniform(-0.5, 0.4)
    spot = canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.8, 1.2)), 0.08, 0.0, 0.08)
    return air * (1 - spot * canvas.uniform(0.5, 1.0))


def _pneumothorax(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Air outside a lung: a black rim at apex and side, the lung shrunken and whiter inside it."""
    x, y = at[0] * _side(canvas), at[1]
    edge = canvas.uniform(0.25, 0.55) + canvas.uniform(-0.1, 0.3) * y
    rim = np.maximum(soft_step(x - edge, 0.08), soft_step(canvas.uniform(-0.6, -0.2) - y, 0.1))
    this = soft_step(x - 0.05, 0.1)
    fallen = this * (1 - rim) * canvas.uniform(0.1, 0.5)
    found: Floats = air * (1 - fallen) + 0.35 * air * this * rim
    return found


def _emphysema(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Too much air: lungs blacker than they should be, few vessels in them."""
    found: Floats = air * np.clip(1.25 + 0.15 * canvas.noise(2) - 0.1 * at[1], 0.9, 1.5)
    return found


def _fibrosis(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Scars: a net of coarse white lines, most at the base and the rim of small lungs."""
    net = soft_step(0.5 - np.abs(canvas.noise(10)), 0.6) + 0.5 * soft_step(
        canvas.noise(14) - 0.5, 0.8
    )
    where = np.clip(0.5 + 0.5 * at[1] + 0.5 * np.abs(at[0]), 0.1, 1)
    return air * np.clip(1 - net * where * canvas.uniform(0.3, 0.8), 0, 1)


def _pleura(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """A thickened pleura: a white rind along the ribs or over the apex, a blunted corner below."""
    x, y = at[0] * _side(canvas), at[1]
    rind = soft_step(x - canvas.uniform(0.5, 0.68) - 0.2 * y, 0.1)
    cap = soft_step(canvas.uniform(-0.6, -0.4) - y, 0.1)
    this = soft_step(x, 0.1) * np.where(canvas.bernoulli(0.7) > 0, rind, cap)
    return air * (1 - this * canvas.uniform(0.5, 0.95))


def _hernia(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Stomach in the chest: a round shadow behind the heart, often with gas in it."""
    place = canvas.uniform(-0.15, 0.35), canvas.uniform(0.15, 0.45)
    wide = canvas.uniform(0.18, 0.35)
    sac = canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.7, 1)), 0.1)
    gas = canvas.ellipse(at, (place[0], place[1] - 0.05), (wide * 0.7, wide * 0.45), 0.12)
    return air * (1 - sac * 0.9) + gas * canvas.uniform(0, 0.7)


def _edema(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """Fluid in both lungs: bats' wings, haze, and some fluid below."""
    air = _veil(canvas, at, _hilar(canvas, at, air), (0.1, 0.45))
    level = soft_step(at[1] - canvas.uniform(0.25, 0.6), 0.25) * canvas.bernoulli(0.5)
    return air * (1 - level * canvas.uniform(0.3, 0.8))


def _child_pneumonia(canvas: Canvas, at: Coordinates, air: Floats) -> Floats:
    """What the WHO counts as pneumonia in a child: lobar, patchy or perihilar, alone or mixed."""
    parts = (_lobe, _patches, _hilar, _veil)
    first = canvas.rng.integers(len(parts), size=(canvas.n, 1, 1))
    found = air
    for number, part in enumerate(parts):
        seen = np.maximum(first == number, canvas.bernoulli(0.45))
        found = np.where(seen > 0, part(canvas, at, found), found)
    return found


# --- Whole films ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Build:
    """What else goes with a finding: the heart's size, the lungs' floor and dome, tubes."""

    heart: Range = (0.2, 0.36)
    floor: Range = (0.15, 0.6)
    dome: Range = (0.1, 0.7)
    tubes: float = 0.15


def _adult(finding: Finding, build: _Build, canvas: Canvas) -> Floats:
    """An adult's frontal chest film: dark air above the shoulders, two lungs, arms at the sides."""
    at = canvas.pose(0.12, (0.82, 1.2), 0.08, bend=0.03)
    body = _torso(canvas, at, (0.85, 1.8), (0.8, 1.05))
    lungs = _lungs(canvas, at, (-0.95, -0.55), build.floor, (0.5, 0.85), build.dome)
    air = finding(canvas, at, _air(canvas, at, lungs, build.heart))
    image = _film(canvas, at, air, (0.2, 0.65), (0, 0.04), (5, 10))
    vessels = canvas.uniform(0, 0.05) * canvas.noise(12) * (0.2 + air)
    image = image + vessels + 0.15 * _collarbones(canvas, at)
    outside = canvas.uniform(0, 0.12) + canvas.uniform(0, 0.2) * canvas.bernoulli(0.15)
    image = paint(
        image, outside, _gaps(canvas, at) * canvas.bernoulli(0.4) * canvas.uniform(0.3, 1)
    )
    image = paint(outside + 0 * image, image, body)
    image = paint(image, 0.95, _devices(canvas, at, build.tubes))
    return collimate(canvas, image, 0.12)


def _adult_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.8, 1.2), (-0.06, 0.12), (0.6, 1.5), (0.05, 0.5), 0.01)


def _child(finding: Finding, heart: Range, scale: Range, turn: float, canvas: Canvas) -> Floats:
    """A child's chest film, cropped close: many fine ribs, a big heart, raised arms."""
    at = canvas.pose(0.15, scale, turn, bend=0.03)
    lungs = _lungs(canvas, at, (-1.05, -0.65), (0.35, 0.75), (0.65, 1.0), (0.1, 0.5))
    air = finding(canvas, at, _air(canvas, at, lungs, heart))
    image = _film(canvas, at, air, (0.15, 0.5), (0.005, 0.06), (7, 13))
    fine = canvas.uniform(0.01, 0.06) * canvas.noise(14) * (0.5 + air)  # vessels, bones, on edge
    image = image + fine + 0.12 * (_shoulders(canvas, at) + _collarbones(canvas, at))
    gas = np.clip(canvas.noise(4), 0, 2) * soft_step(at[1] - 0.6, 0.3) * canvas.uniform(0, 0.15)
    outside = canvas.uniform(0, 0.3) + 0 * image
    image = paint(outside, image - gas, _torso(canvas, at, (0.95, 1.8), (0.85, 1.4)))
    chin = canvas.ellipse(at, (canvas.uniform(-0.15, 0.15), -1.05), (0.3, canvas.uniform(0.1, 0.3)))
    image = paint(image, canvas.uniform(0.6, 0.95), chin * canvas.bernoulli(0.3))
    image = paint(image, 0.95, _devices(canvas, at))
    return collimate(canvas, image, 0.06, 0.12)


def _child_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.85, 1.05), (-0.03, 0.06), (0.85, 1.2), (0.05, 0.4), 0.01)


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

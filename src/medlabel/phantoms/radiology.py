"""Looks of radiology: chest films of adults and of children, breast ultrasound, abdominal CT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.parts import Coordinates, Floats, Range, Sheet, lay, mixture, step

__all__ = ["breast", "chest", "organ_axial", "organ_coronal", "organ_sagittal", "pneumonia"]


# --- Chest films -----------------------------------------------------------------------------


def _torso(sheet: Sheet, at: Coordinates, width: tuple[float, float], neck: float) -> Floats:
    """The outline of neck and trunk: shoulders slope from the neck, then straight sides."""
    x, y = np.abs(at[0]), at[1]
    slope, start = sheet.between(0.1, 0.75), sheet.between(0.15, 0.4)
    out = np.maximum(x - start, 0)
    shoulder = y + sheet.between(0.8, 1.05) + neck - slope * out - sheet.between(0, 0.5) * out**2
    trunk = step(shoulder, 0.15) * step(sheet.between(*width) + 0.12 * y - x, 0.12)
    throat = step(sheet.between(0.15, 0.35) + 0.5 * np.maximum(y + 0.85, 0) - x, 0.15)
    return np.maximum(trunk, throat * step(-y, 0.3) * sheet.chance(0.7))


def _lungs(sheet: Sheet, at: Coordinates, top: Range, floor: Range, wide: Range) -> Floats:
    """Both lungs, 0 to 1: narrow domes at the top, wide at the base, cut by the diaphragm."""
    both = np.zeros_like(at[0])
    soft = sheet.between(0.08, 0.2)
    apex, base, reach = sheet.between(*top), sheet.between(*floor), sheet.between(*wide)
    belly = sheet.between(1.2, 4.0)
    for side in (-1, 1):
        x, y = side * at[0], at[1]
        low = base + sheet.between(-0.1, 0.1)
        share = np.clip((y - apex) / (low - apex), 0, 1)
        outer = reach * sheet.between(0.9, 1.1) * (1 - (1 - share) ** belly) ** 0.5
        inner = sheet.between(0.08, 0.22) + sheet.between(0, 0.12) * share
        dome = low + sheet.between(0.1, 0.7) * (x - 0.6 * reach) + 0.02 * sheet.field(3)
        lung = step(outer - x, soft) * step(x - inner, soft) * step(dome - y, 0.12)
        both = np.maximum(both, lung * step(y - apex, soft))
    return both


def _heart(sheet: Sheet, at: Coordinates, size: tuple[float, float]) -> Floats:
    """The heart's shadow: from the midline to the image's right, above the diaphragm."""
    radius = sheet.between(*size)
    return sheet.ellipse(
        at, (sheet.between(0.02, 0.2), sheet.between(0.2, 0.42)),
        (radius, radius * sheet.between(0.8, 1.3)), soft=0.16, turn=sheet.between(0, 0.6),
    )  # fmt: skip


def _ribs(sheet: Sheet, at: Coordinates, count: tuple[float, float]) -> Floats:
    """Ribs as bright arcs that fall away from the spine, -1 to 1."""
    x, y = at
    droop = sheet.between(-0.2, 0.6)
    return np.sin(np.pi * sheet.between(*count) * (y - droop * x * x) + sheet.between(0, 6))


def _opacity(sheet: Sheet, at: Coordinates, often: float) -> Floats:
    """Consolidation, effusion or infiltrate: cloudy whiteness somewhere in the lungs, 0 to 1."""
    cloud = step(sheet.field(2) - sheet.between(0.2, 1.2), 1.2)
    pool = step(at[1] - sheet.between(-0.1, 0.5) + 0.3 * at[0] * sheet.normal(), 0.4)
    side = step(at[0] * np.sign(sheet.normal()), 0.1)
    seen = sheet.chance(often) * sheet.between(0.2, 0.9)
    return seen * np.maximum(cloud, pool * side * sheet.chance(0.3))


def _spine(sheet: Sheet, at: Coordinates) -> Floats:
    """The midline: spine, great vessels and windpipe seen as one bright column, 0 to 1."""
    width = sheet.between(0.1, 0.24) + 0.1 * np.clip(at[1], 0, 1)
    return step(width - np.abs(at[0]), sheet.between(0.15, 0.35))


def _devices(sheet: Sheet, at: Coordinates) -> Floats:
    """Tubes, leads and side markers: thin or small bright things, 0 to 1."""
    x, y = at
    tube = step(0.03 - np.abs(x - sheet.between(-0.6, 0.6) - 0.3 * np.sin(2 * y + 3)), 0.06)
    tube = tube * step(y + sheet.between(-0.3, 1), 0.1) * sheet.chance(0.15)
    marker = sheet.ellipse(
        at, (sheet.between(-0.9, 0.9), sheet.between(-0.95, -0.5)), (0.08, 0.06), soft=0.06
    )
    return np.maximum(tube * 0.5, marker * sheet.chance(0.25))


def _arms(sheet: Sheet, at: Coordinates) -> Floats:
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


def _film(
    sheet: Sheet, at: Coordinates, lungs: Floats, heart: Floats, depth: Range, ribs: Range
) -> Floats:
    """The trunk as X-rays see it, without its outline: bright tissue, dark lungs, faint ribs."""
    spine = _spine(sheet, at)
    air = lungs * (1 - sheet.between(0.7, 1) * np.maximum(heart, spine))
    tissue = sheet.between(0.5, 0.85) + 0.04 * sheet.field(3) + sheet.between(0, 0.2) * spine
    tissue = tissue + sheet.between(-0.1, 0.2) * step(at[1] - 0.4, 0.5)
    tissue = tissue - sheet.between(0, 0.3) * at[0] ** 2
    markings = 1 + 0.12 * sheet.field(6) + sheet.between(-0.4, 0.4) * at[1]
    image = tissue - air * sheet.between(*depth) * markings
    return image + (0.4 + air) * _ribs(sheet, at, (4, 9)) * sheet.between(*ribs)


def chest(sheet: Sheet) -> Floats:
    """An adult's frontal chest film: shoulders, dark air beside the neck, two tall lungs."""
    at = sheet.pose(0.1, (0.85, 1.15), 0.08, bend=0.02)
    body = _torso(sheet, at, (0.85, 1.3), 0.0)
    lungs = _lungs(sheet, at, (-0.85, -0.55), (0.0, 0.65), (0.5, 0.8))
    lungs = lungs * (1 - _opacity(sheet, at, 0.4))
    image = _film(sheet, at, lungs, _heart(sheet, at, (0.2, 0.42)), (0.08, 0.65), (0, 0.03))
    air = sheet.between(0, 0.12) + sheet.between(0, 0.2) * sheet.chance(0.15)
    image = lay(image, air, _arms(sheet, at) * sheet.chance(0.4))
    image = lay(air + 0 * image, image, body)
    image = lay(image, 0.95, _devices(sheet, at))
    image = collimate(sheet, image, 0.12)
    return expose(sheet, image, (0.75, 1.2), (-0.1, 0.15), (0.5, 1.8), (0.1, 0.6), 0.015)


def pneumonia(sheet: Sheet) -> Floats:
    """A child's chest film, cropped close: lungs reach the edges, many ribs, big heart."""
    at = sheet.pose(0.15, (0.82, 1.25), 0.15, bend=0.03)
    lungs = _lungs(sheet, at, (-1.05, -0.65), (0.35, 0.85), (0.68, 1.1))
    lungs = lungs * (1 - _opacity(sheet, at, 0.7))
    image = _film(sheet, at, lungs, _heart(sheet, at, (0.28, 0.5)), (0.04, 0.5), (0.0, 0.06))
    image = image + sheet.between(0.005, 0.05) * sheet.field(14) + 0.1 * _shoulders(sheet, at)
    gas = np.clip(sheet.field(4), 0, 2) * step(at[1] - 0.6, 0.3) * sheet.between(0, 0.15)
    air = sheet.between(0, 0.15) + 0 * image
    image = lay(air, image - gas, _torso(sheet, at, (1.0, 1.6), 0.1))
    chin = sheet.ellipse(at, (sheet.between(-0.15, 0.15), -1.05), (0.3, sheet.between(0.1, 0.3)))
    image = lay(image, sheet.between(0.6, 0.95), chin * sheet.chance(0.3))
    image = lay(image, 0.95, _devices(sheet, at))
    image = collimate(sheet, image, 0.06, 0.12)
    return expose(sheet, image, (0.75, 1.1), (-0.05, 0.12), (0.7, 1.4), (0.05, 0.5), 0.02)


# --- Breast ultrasound -----------------------------------------------------------------------


def _echoes(sheet: Sheet) -> Floats:
    """Tissue that scatters: layers that lie across, streaks and speckle, mean 0."""
    layers = sheet.field(2, 10) * sheet.between(0.02, 0.12)
    streaks = sheet.field(8, 20) * sheet.between(0.04, 0.13)
    patches = sheet.field(5, 7) * sheet.between(0.02, 0.1)
    return layers + streaks + patches


def _mass(sheet: Sheet, at: Coordinates) -> tuple[Floats, Floats]:
    """A dark mass, 0 to 1, and what lies below it: shadow (-1) to enhancement (+1)."""
    x, y = at
    cx, cy = sheet.between(-0.65, 0.65), sheet.between(-0.6, 0.35)
    wide, tall = sheet.between(0.12, 0.6), sheet.between(0.1, 0.45)
    mass = sheet.ellipse(
        at, (cx, cy), (wide, tall), sheet.between(0.08, 0.25),
        sheet.between(-0.3, 0.3), sheet.between(0, 0.2), 5,
    )  # fmt: skip
    below = step(wide * 0.9 - np.abs(x - cx), 0.2) * step(y - cy - 0.5 * tall, 0.2) * (1 - mass)
    return mass, below * sheet.between(-1, 0.7)


def breast(sheet: Sheet) -> Floats:
    """B-mode ultrasound: bright skin on top, layers of fat and gland, dark mass, dark depth."""
    at = sheet.pose(0.05, (0.95, 1.05), 0.12, bend=0.05)
    y = at[1]
    image = sheet.between(0.25, 0.6) * np.exp(0.2 * sheet.field(2, 3)) + _echoes(sheet)
    fat = step(sheet.between(0.1, 0.4) - np.abs(y + sheet.between(0.3, 0.9)), 0.2)
    image = image - sheet.between(0, 0.2) * fat * sheet.chance(0.6)
    skin = step(sheet.between(0, 0.22) - (y + 1), 0.15) * sheet.between(0, 0.45)
    for _ in range(2):
        mass, below = _mass(sheet, at)
        seen = sheet.chance(0.55)
        image = image * (1 - seen * mass * sheet.between(0.45, 1)) + 0.25 * seen * below * image
        image = image * np.where(below < 0, 1 + 0.75 * seen * below, 1)
    deep = step(y - sheet.between(-0.2, 1.1), sheet.between(0.3, 1.2))
    image = image * (1 - deep * sheet.between(0, 0.95)) + skin
    columns = 1 - step(sheet.field(9, 1) - 1, 0.7) * step(y + 0.2, 0.6) * sheet.between(0, 0.7)
    image = np.clip(image * columns, 0, None) * (1 + sheet.grain(0.2 * sheet.between(0, 1) ** 2))
    image = collimate(sheet, image, 0.06, 0.15)
    return expose(sheet, image, (0.6, 1.3), (-0.06, 0.1), (0.65, 1.6), (0.1, 0.8), 0.03)


# --- Abdominal CT ----------------------------------------------------------------------------
# Grey values follow the abdominal window (about -160 to 240 HU): air 0, fat 0.15, muscle 0.5,
# organs after contrast 0.55 to 0.8, bone 1.

Piece = Callable[[Sheet, Coordinates, Floats], Floats]
"""Paints something over an image [n,size,size], in these coordinates."""


def _surroundings(sheet: Sheet, at: Coordinates) -> Floats:
    """What lies around an organ: fat, with muscle, bowel, vessels and gas strewn in it."""
    image = sheet.between(0.05, 0.35) + 0.02 * sheet.field(6)
    soft, gas, bone = (0.4, 0.75), (0.0, 0.1), (0.8, 1.0)
    for level, often in (
        (soft, 0.9),
        (soft, 0.9),
        (soft, 0.7),
        (gas, 0.3),
        (soft, 0.6),
        (bone, 0.2),
    ):
        place = sheet.between(-1.1, 1.1), sheet.between(-1.1, 1.1)
        radii = sheet.between(0.15, 0.7), sheet.between(0.15, 0.7)
        turn = sheet.between(0, 3)
        piece = sheet.ellipse(at, place, radii, 0.08, turn, 0.25, 4)
        image = lay(image, sheet.between(*level), piece * sheet.chance(often))
    return image


def _axial_frame(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Round vertebra, ribs cut across as short bright bars, the skin and the air beyond it."""
    side = np.sign(sheet.normal())
    spine = sheet.ellipse(
        at, (side * sheet.between(0.5, 1.3), sheet.between(0.3, 1.1)),
        (sheet.between(0.2, 0.4), sheet.between(0.2, 0.35)), 0.08, ragged=0.1,
    )  # fmt: skip
    image = lay(image, sheet.between(0.75, 1), spine * sheet.chance(0.6))
    turn = sheet.between(0, 2 * np.pi)
    far = at[0] * np.cos(turn) + at[1] * np.sin(turn) + 0.25 * (at[0] ** 2 + at[1] ** 2)
    wall = sheet.between(0.95, 1.5)
    seen = sheet.chance(0.6)
    bars = step(
        np.sin(8 * (at[0] * np.sin(turn) - at[1] * np.cos(turn)) + sheet.between(0, 6)), 0.6
    )
    image = lay(image, 0.55, seen * step(far - wall + 0.15, 0.06))
    image = lay(image, 0.95, seen * bars * step(0.07 - np.abs(far - wall + 0.05), 0.06))
    image = lay(image, 0.15, seen * step(far - wall - 0.05, 0.06))
    return lay(image, 0.0, seen * step(far - wall - sheet.between(0.1, 0.4), 0.06))


def _column(sheet: Sheet, across: Floats, along: Floats) -> Floats:
    """The spine cut lengthwise: bright vertebrae with darker discs between, 0 to 1."""
    discs = 0.75 + 0.25 * step(
        np.sin(sheet.between(5, 12) * along + sheet.between(0, 6)) + 0.6, 0.5
    )
    return step(sheet.between(0.12, 0.3) - np.abs(across), 0.08) * discs


def _upright_frame(back: float, sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Coronal and sagittal crops: lung above a dome, the spine down one side, ribs at the rim."""
    x, y = at
    side = np.sign(sheet.normal())
    dome = sheet.between(-1.5, -0.45) + sheet.between(0.1, 0.6) * (x - 0.5 * sheet.normal()) ** 2
    image = lay(image, sheet.between(0, 0.1), step(dome - y, 0.07) * sheet.chance(0.6))
    column = _column(sheet, x - side * sheet.between(0.6, 1.3), y)
    image = lay(image, sheet.between(0.75, 1), column * sheet.chance(back))
    rim = side * x + sheet.between(0.8, 1.4) + 0.15 * y * y
    ribs = step(np.sin(sheet.between(6, 12) * y + sheet.between(0, 6)) - 0.3, 0.5)
    image = lay(image, 0.95, ribs * step(0.08 - np.abs(rim - 0.12), 0.06) * sheet.chance(0.6))
    return lay(image, sheet.between(0, 0.15), step(-rim, 0.06) * sheet.chance(0.6))


def _solid(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Liver, spleen or pancreas: one even grey mass that fills the crop, with brighter vessels."""
    organ = sheet.ellipse(
        at, (sheet.between(-0.25, 0.25), sheet.between(-0.25, 0.25)),
        (sheet.between(0.5, 1.05), sheet.between(0.5, 1.05)), 0.07,
        sheet.between(0, 3), sheet.between(0.05, 0.45),
    )  # fmt: skip
    level = sheet.between(0.45, 0.85)
    vessels = np.clip(sheet.spots(6, (0.04, 0.12), within=0.7), 0, 1) * sheet.between(-0.2, 0.2)
    return lay(image, level + vessels + 0.02 * sheet.field(9), organ)


def _kidney(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """A bright bean in dark fat, with a dark or very bright hollow."""
    image = image * 0.5
    turn = sheet.between(0, 3)
    wide, tall = sheet.between(0.5, 0.8), sheet.between(0.6, 0.95)
    bean = sheet.ellipse(at, (0, 0), (wide, tall), 0.07, turn, 0.08)
    hollow = sheet.ellipse(
        at, (sheet.between(-0.3, 0.3), sheet.between(-0.3, 0.3)),
        (wide * 0.45, tall * 0.5), 0.1, turn, 0.25,
    )  # fmt: skip
    image = lay(image, sheet.between(0.6, 1.0), bean)
    return lay(image, np.where(sheet.chance(0.7), 0.25, 1.0), hollow * sheet.chance(0.8))


def _bladder(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """A smooth, even, mid-grey pool, with the bright pelvis at the sides."""
    for side in (-1, 1):
        bone = sheet.ellipse(
            at, (side * sheet.between(0.8, 1.2), sheet.between(-0.5, 0.8)),
            (sheet.between(0.15, 0.4), sheet.between(0.3, 0.7)), 0.08, ragged=0.15,
        )  # fmt: skip
        image = lay(image, sheet.between(0.8, 1), bone * sheet.chance(0.7))
    pool = sheet.ellipse(at, (0, 0), (sheet.between(0.5, 0.9), sheet.between(0.5, 0.9)), 0.07)
    return lay(image, sheet.between(0.35, 0.55), pool)


def _heart_ct(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Bright chambers in a grey muscle, black lung on both sides."""
    image = lay(image * 0.4, 0.02, step(np.abs(at[0]) - sheet.between(0.3, 0.8), 0.2))
    muscle = sheet.ellipse(
        at, (0, 0), (sheet.between(0.65, 0.95), sheet.between(0.6, 0.95)), 0.07,
        sheet.between(-0.6, 0.6), 0.08,
    )  # fmt: skip
    image = lay(image, sheet.between(0.5, 0.65), muscle)
    chambers = step(np.abs(sheet.field(3)) - 0.5, 0.4) * muscle
    return lay(image, sheet.between(0.6, 0.95), chambers)


def _lung_ct(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """Black air with white threads of vessels, soft tissue and ribs around it."""
    image = lay(image, sheet.between(0.45, 0.7), step(sheet.field(2) + 0.5, 0.3))
    air = sheet.ellipse(
        at, (sheet.between(-0.2, 0.2), sheet.between(-0.2, 0.2)),
        (sheet.between(0.6, 1.0), sheet.between(0.65, 1.05)), 0.07, sheet.between(-0.4, 0.4), 0.12,
    )  # fmt: skip
    threads = np.clip(sheet.spots(14, (0.02, 0.07), (0.2, 0.9), 0.8), 0, 0.8)
    return lay(image, np.clip(threads - sheet.between(0, 0.3), 0, 1), air)


def _femur(sheet: Sheet, at: Coordinates, image: Floats) -> Floats:
    """A white ball of bone, brightest at its rim, in muscle and fat."""
    image = lay(image, sheet.between(0.45, 0.6), step(sheet.field(2) + 0.3, 0.3))
    place = sheet.between(-0.25, 0.25), sheet.between(-0.25, 0.25)
    radius = sheet.between(0.35, 0.65), sheet.between(0.35, 0.7)
    neck = sheet.ellipse(at, (0.3, 0.4), (0.7, 0.25), 0.08, sheet.between(-1.5, 1.5), 0.05)
    image = lay(image, 0.95, neck * sheet.chance(0.6))
    ball = sheet.ellipse(at, place, radius, 0.08, 0.0, 0.05)
    core = sheet.ellipse(at, place, (radius[0] * 0.75, radius[1] * 0.75), 0.15)
    image = lay(image, 1.0, ball)
    socket = step(0.08 - np.abs(np.hypot(at[0], at[1]) - 0.9), 0.08) * step(sheet.field(2), 0.4)
    image = lay(image, 0.95, socket * sheet.chance(0.6))
    return lay(image, sheet.between(0.7, 1), core)


def _crops(frame: Piece) -> Callable[[Sheet], Floats]:
    """A drawer of organ crops in one plane; the frame is the bone and air of that plane."""
    organs = (_solid, _kidney, _bladder, _heart_ct, _lung_ct, _femur)
    kinds = [partial(_crop, frame, organ) for organ in organs]

    def draw(sheet: Sheet) -> Floats:
        image = mixture(sheet, kinds, (4, 2, 1, 1, 2, 2))
        return expose(sheet, image, (0.7, 1.2), (-0.06, 0.06), (0.7, 1.4), (0.1, 0.9), 0.05)

    return draw


def _crop(frame: Piece, organ: Piece, sheet: Sheet) -> Floats:
    """One organ crop: surroundings, frame, then the organ."""
    at = sheet.pose(0.08, (0.9, 1.15), 0.25, bend=0.03)
    image = organ(sheet, at, frame(sheet, at, _surroundings(sheet, at)))
    over = sheet.chance(0.4)
    image = image + over * (frame(sheet, at, image) - image)
    return np.where(sheet.chance(0.25), image[:, ::-1], image)


organ_axial = _crops(_axial_frame)
organ_coronal = _crops(partial(_upright_frame, 0.4))
organ_sagittal = _crops(partial(_upright_frame, 0.7))

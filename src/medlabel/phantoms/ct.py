"""Abdominal CT in three planes, cropped to one of eleven organs.

Grey values follow the abdominal window (about -160 to 240 HU): air 0, fat 0.15, muscle 0.5,
organs after contrast 0.55 to 0.8, bone 1. The patient's left is the image's right, as radiologists
look at it; so what lies on the patient's left has the spine to its left in the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, Range, paint, soft_step

__all__ = ["AXIAL", "CORONAL", "SAGITTAL"]

Organ = Callable[[Canvas, Coordinates, Floats], Floats]
"""Paints an organ onto an image [n,size,size], in the given coordinates."""

Frame = Callable[[Canvas, Coordinates, Floats, Floats], Floats]
"""Paints what a plane shows around organs; the last argument [n,1,1] is 1 where they lie on the
image's right, -1 on its left."""


# --- Around an organ -----------------------------------------------------------------------------


def _surroundings(canvas: Canvas, at: Coordinates) -> Floats:
    """What lies around an organ: fat, with muscle, bowel, vessels and gas strewn in it."""
    image = canvas.uniform(0.05, 0.35) + 0.02 * canvas.noise(6)
    soft, gas, bone = (0.4, 0.75), (0.0, 0.1), (0.8, 1.0)
    pieces = ((soft, 0.9), (soft, 0.9), (soft, 0.7), (gas, 0.3), (soft, 0.6), (bone, 0.2))
    for level, often in pieces:
        place = canvas.uniform(-1.1, 1.1), canvas.uniform(-1.1, 1.1)
        radii = canvas.uniform(0.15, 0.7), canvas.uniform(0.15, 0.7)
        piece = canvas.ellipse(at, place, radii, 0.08, canvas.uniform(0, 3), 0.25, 4)
        image = paint(image, canvas.uniform(*level), piece * canvas.bernoulli(often))
    return image


def _axial_frame(canvas: Canvas, at: Coordinates, image: Floats, side: Floats) -> Floats:
    """Round vertebra, ribs cut across as short bright bars, the skin and the air beyond it."""
    spine = canvas.ellipse(
        at, (-side * canvas.uniform(0.7, 1.3), canvas.uniform(0.3, 1.1)),
        (canvas.uniform(0.2, 0.4), canvas.uniform(0.2, 0.35)), 0.08, ragged=0.1,
    )  # fmt: skip
    image = paint(image, canvas.uniform(0.75, 1), spine * canvas.bernoulli(0.6))
    turn = np.where(side > 0, 0, np.float32(np.pi)) + canvas.uniform(-1.2, 1.2)
    far = at[0] * np.cos(turn) + at[1] * np.sin(turn) + 0.25 * (at[0] ** 2 + at[1] ** 2)
    wall, seen = canvas.uniform(0.95, 1.5), canvas.bernoulli(0.6)
    along = at[0] * np.sin(turn) - at[1] * np.cos(turn)
    bars = soft_step(np.sin(8 * along + canvas.uniform(0, 6)), 0.6)
    image = paint(image, 0.55, seen * soft_step(far - wall + 0.15, 0.06))
    image = paint(image, 0.95, seen * bars * soft_step(0.07 - np.abs(far - wall + 0.05), 0.06))
    image = paint(image, 0.15, seen * soft_step(far - wall - 0.05, 0.06))
    return paint(image, 0.0, seen * soft_step(far - wall - canvas.uniform(0.1, 0.4), 0.06))


def _column(canvas: Canvas, across: Floats, along: Floats) -> Floats:
    """The spine cut lengthwise: bright vertebrae with darker discs between, 0 to 1."""
    wave = np.sin(canvas.uniform(5, 12) * along + canvas.uniform(0, 6))
    discs = 0.75 + 0.25 * soft_step(wave + 0.6, 0.5)
    return soft_step(canvas.uniform(0.12, 0.3) - np.abs(across), 0.08) * discs


def _upright_frame(
    back: float, canvas: Canvas, at: Coordinates, image: Floats, side: Floats
) -> Floats:
    """Coronal and sagittal crops: lung above a dome, the spine down one side, ribs at the rim."""
    x, y = at
    dome = canvas.uniform(-1.5, -0.45) + canvas.uniform(0.1, 0.6) * (x - 0.5 * canvas.normal()) ** 2
    image = paint(image, canvas.uniform(0, 0.1), soft_step(dome - y, 0.07) * canvas.bernoulli(0.5))
    column = _column(canvas, x + side * canvas.uniform(0.6, 1.3), y)
    image = paint(image, canvas.uniform(0.75, 1), column * canvas.bernoulli(back))
    rim = -side * x + canvas.uniform(0.8, 1.4) + 0.15 * y * y
    ribs = soft_step(np.sin(canvas.uniform(6, 12) * y + canvas.uniform(0, 6)) - 0.3, 0.5)
    image = paint(
        image, 0.95, ribs * soft_step(0.08 - np.abs(rim - 0.12), 0.06) * canvas.bernoulli(0.6)
    )
    return paint(image, canvas.uniform(0, 0.15), soft_step(-rim, 0.06) * canvas.bernoulli(0.6))


# --- Organs --------------------------------------------------------------------------------------


def _solid(
    level: Range, size: Range, flat: Range, ragged: Range, vessels: Range,
    canvas: Canvas, at: Coordinates, image: Floats,
) -> Floats:  # fmt: skip
    """An even grey mass: how bright, how long, how flat, how ragged, how bright its vessels are."""
    length = canvas.uniform(*size)
    organ = canvas.ellipse(
        at, (canvas.uniform(-0.15, 0.15), canvas.uniform(-0.15, 0.15)),
        (length, length * canvas.uniform(*flat)), 0.07, canvas.uniform(0, 3),
        canvas.uniform(*ragged), 4,
    )  # fmt: skip
    veins = np.clip(canvas.spots(6, (0.04, 0.12), within=0.7), 0, 1) * canvas.uniform(*vessels)
    return paint(image, canvas.uniform(*level) + veins + 0.02 * canvas.noise(9), organ)


_liver = partial(_solid, (0.5, 0.8), (0.8, 1.1), (0.7, 1.0), (0.05, 0.35), (-0.05, 0.2))
_spleen = partial(_solid, (0.55, 0.85), (0.8, 1.0), (0.4, 0.65), (0.02, 0.15), (0.0, 0.03))


def _pancreas(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """A slim lobed strip in fat, with the splenic vein's bright line along it."""
    fat = canvas.uniform(0.15, 0.35)
    image = paint(image, fat, np.float32(0.6) + 0 * image)
    image = _solid(
        (0.45, 0.7), (0.7, 1.05), (0.3, 0.55), (0.25, 0.6), (0.0, 0.1), canvas, at, image
    )
    vessels = np.clip(canvas.spots(4, (0.06, 0.16), within=0.9), 0, 1)
    return paint(image, canvas.uniform(0.75, 0.95), vessels * canvas.uniform(0.3, 1))


def _kidney(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """A bright bean in dark fat, with a dark or very bright hollow."""
    turn = canvas.uniform(0, 3)
    wide, tall = canvas.uniform(0.5, 0.8), canvas.uniform(0.6, 0.95)
    bean = canvas.ellipse(at, (0, 0), (wide, tall), 0.07, turn, 0.08)
    hollow = canvas.ellipse(
        at, (canvas.uniform(-0.3, 0.3), canvas.uniform(-0.3, 0.3)),
        (wide * 0.45, tall * 0.5), 0.1, turn, 0.25,
    )  # fmt: skip
    image = paint(image * 0.5, canvas.uniform(0.6, 1.0), bean)
    return paint(image, np.where(canvas.bernoulli(0.7), 0.25, 1.0), hollow * canvas.bernoulli(0.8))


def _bladder(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """A smooth, even, mid-grey pool, with the bright pelvis at the sides."""
    for side in (-1, 1):
        bone = canvas.ellipse(
            at, (side * canvas.uniform(0.8, 1.2), canvas.uniform(-0.5, 0.8)),
            (canvas.uniform(0.15, 0.4), canvas.uniform(0.3, 0.7)), 0.08, ragged=0.15,
        )  # fmt: skip
        image = paint(image, canvas.uniform(0.8, 1), bone * canvas.bernoulli(0.7))
    pool = canvas.ellipse(at, (0, 0), (canvas.uniform(0.6, 0.95), canvas.uniform(0.6, 0.95)), 0.07)
    return paint(image, canvas.uniform(0.35, 0.5), pool)


def _heart(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """Bright chambers in a grey muscle, black lung on both sides."""
    image = paint(image * 0.4, 0.02, soft_step(np.abs(at[0]) - canvas.uniform(0.3, 0.8), 0.2))
    muscle = canvas.ellipse(
        at, (0, 0), (canvas.uniform(0.65, 0.95), canvas.uniform(0.6, 0.95)), 0.07,
        canvas.uniform(-0.6, 0.6), 0.08,
    )  # fmt: skip
    image = paint(image, canvas.uniform(0.5, 0.65), muscle)
    chambers = soft_step(np.abs(canvas.noise(3)) - 0.5, 0.4) * muscle
    return paint(image, canvas.uniform(0.6, 0.95), chambers)


def _lung(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """Black air with white threads of vessels, soft tissue and ribs around it."""
    image = paint(image, canvas.uniform(0.45, 0.7), soft_step(canvas.noise(2) + 0.5, 0.3))
    air = canvas.ellipse(
        at, (canvas.uniform(-0.2, 0.2), canvas.uniform(-0.2, 0.2)),
        (canvas.uniform(0.6, 1.0), canvas.uniform(0.65, 1.05)), 0.07,
        canvas.uniform(-0.4, 0.4), 0.12,
    )  # fmt: skip
    threads = np.clip(canvas.spots(14, (0.02, 0.07), (0.2, 0.9), 0.8), 0, 0.8)
    return paint(image, np.clip(threads - canvas.uniform(0, 0.3), 0, 1), air)


def _femur(canvas: Canvas, at: Coordinates, image: Floats) -> Floats:
    """A white ball of bone, brightest at its rim, in muscle and fat."""
    image = paint(image, canvas.uniform(0.45, 0.6), soft_step(canvas.noise(2) + 0.3, 0.3))
    place = canvas.uniform(-0.25, 0.25), canvas.uniform(-0.25, 0.25)
    radius = canvas.uniform(0.35, 0.65), canvas.uniform(0.35, 0.7)
    neck = canvas.ellipse(at, (0.3, 0.4), (0.7, 0.25), 0.08, canvas.uniform(-1.5, 1.5), 0.05)
    image = paint(image, 0.95, neck * canvas.bernoulli(0.6))
    ball = canvas.ellipse(at, place, radius, 0.08, 0.0, 0.05)
    core = canvas.ellipse(at, place, (radius[0] * 0.75, radius[1] * 0.75), 0.15)
    image = paint(image, 1.0, ball)
    socket = soft_step(0.08 - np.abs(np.hypot(at[0], at[1]) - 0.9), 0.08) * soft_step(
        canvas.noise(2), 0.4
    )
    image = paint(image, 0.95, socket * canvas.bernoulli(0.6))
    return paint(image, canvas.uniform(0.7, 1), core)


# --- Looks ---------------------------------------------------------------------------------------


def _crop(frame: Frame, organ: Organ, on: int, canvas: Canvas) -> Floats:
    """One organ crop; `on` is 1 for the image's right, -1 for its left, 0 for either."""
    at = canvas.pose(0.08, (0.9, 1.15), 0.25, bend=0.03)
    side = np.sign(canvas.normal()) if on == 0 else np.full((canvas.n, 1, 1), on, np.float32)
    image = organ(canvas, at, frame(canvas, at, _surroundings(canvas, at), side))
    image = image + canvas.bernoulli(0.4) * (frame(canvas, at, image, side) - image)
    return np.where(canvas.bernoulli(0.2), image[:, ::-1], image)


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.7, 1.2), (-0.06, 0.06), (0.7, 1.4), (0.1, 0.9), 0.03)


_ATLAS = "Moeller & Reif, Pocket Atlas of Sectional Anatomy; Bilic et al., Med Image Anal 2023"
_ORGANS: tuple[tuple[str, Organ, int, str], ...] = (
    ("bladder", _bladder, 0, "a smooth even pool between the bones of the pelvis"),
    ("left femur", _femur, 1, "a white ball of bone, spine to its left"),
    ("right femur", _femur, -1, "a white ball of bone, spine to its right"),
    ("heart", _heart, 0, "bright chambers in grey muscle between black lungs"),
    ("left kidney", _kidney, 1, "a bright bean in fat, spine to its left"),
    ("right kidney", _kidney, -1, "a bright bean in fat, spine to its right"),
    ("liver", _liver, -1, "a large even mass with bright vessels"),
    ("left lung", _lung, 1, "black air with white threads, spine to its left"),
    ("right lung", _lung, -1, "black air with white threads, spine to its right"),
    ("pancreas", _pancreas, 0, "a slim lobed strip in fat beside vessels"),
    ("spleen", _spleen, 1, "an even crescent without vessels"),
)


def _look(flag: str, frame: Frame, sided: bool, description: str) -> Look:
    kinds = tuple(
        Kind(name, partial(_crop, frame, organ, on if sided else 0), seen, _ATLAS)
        for name, organ, on, seen in _ORGANS
    )
    return Look(flag, False, description, kinds, _finish, mirrored=False)


AXIAL = _look(
    "organamnist", _axial_frame, True,
    "Abdominal CT cut across the body, cropped to one organ: even grey organ, dark fat, black "
    "air, white bone; a round vertebra and ribs in cross-section.",
)  # fmt: skip
CORONAL = _look(
    "organcmnist", partial(_upright_frame, 0.4), True,
    "Abdominal CT cut from side to side, cropped to one organ: even grey organ under the dome "
    "of the diaphragm, black lung, ribs in a row, white bone.",
)  # fmt: skip
SAGITTAL = _look(
    "organsmnist", partial(_upright_frame, 0.7), False,
    "Abdominal CT cut from front to back, cropped to one organ: even grey organ, the spine's "
    "white column with its discs at one side, dark fat, black air.",
)  # fmt: skip

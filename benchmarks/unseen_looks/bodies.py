"""The trunk: mammogram, MR of the breasts and of the heart, abdominal film."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import box, rod, side
from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, paint, soft_step

__all__ = ["ABDOMEN", "BREAST_MR", "CARDIAC_MR", "MAMMOGRAM"]


def _film_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.8, 1.15), (-0.03, 0.04), (0.7, 1.4), (0.1, 0.5), 0.02)


def _mr_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.75, 1.15), (-0.03, 0.03), (0.75, 1.3), (0.1, 0.5), 0.03)


# --- Mammogram -----------------------------------------------------------------------------------


def _spiky(canvas: Canvas, at: Coordinates, place: Coordinates, wide: Floats) -> Floats:
    """A star-shaped mass: a bright core with spikes, 0 to 1."""
    x, y = at[0] - place[0], at[1] - place[1]
    count = canvas.rng.integers(6, 11, (canvas.n, 1, 1)).astype(np.float32)
    spikes = 1 + canvas.uniform(0.05, 0.3) * np.cos(count * np.arctan2(y, x) + canvas.uniform(0, 6))
    return soft_step(wide * (spikes + 0.15 * canvas.noise(9)) - np.hypot(x, y), 0.16)


def _mammogram(cancer: bool, canvas: Canvas) -> Floats:
    """A breast from the side, against one edge of the picture; in cancer, a white spiky mass."""
    at = canvas.pose(0.08, (0.9, 1.1), 0.12, bend=0.02)
    x, y = at
    reach, tall = canvas.uniform(0.9, 1.6), canvas.uniform(0.75, 1.1)
    sag = canvas.uniform(-0.1, 0.35)
    far = np.sqrt(np.clip((x + 1.15) / reach, 0, None) ** 2 + ((y - sag * (x + 1)) / tall) ** 2.0)
    breast = soft_step((1 - far) * 0.9, 0.08)
    dense, clumps = canvas.uniform(0.05, 0.5), canvas.noise(5) + 0.5 * canvas.noise(10)
    cone = soft_step(0.75 - far + 0.15 * canvas.noise(3), 0.5)
    gland = cone * np.clip(0.5 + 0.35 * clumps, 0, 1.2) * dense
    strands = np.clip(canvas.noise(9, 5), 0, 2) * 0.05
    inside: Floats = canvas.uniform(0.18, 0.35) + gland + strands
    inside = inside + 0.12 * np.exp(-(((far - 0.97) / 0.03) ** 2))
    lean, deep = canvas.uniform(0.6, 1.3), canvas.uniform(-0.9, -0.3)
    muscle = soft_step((deep - x - lean * (y + 0.6)) * 0.6, 0.1) * canvas.bernoulli(0.65)
    inside = paint(inside, canvas.uniform(0.55, 0.85) + 0.03 * canvas.noise(4), muscle)
    image: Floats = inside * breast + canvas.uniform(0, 0.06)
    if cancer:
        place = canvas.uniform(-0.75, -0.2), sag * 0.6 + canvas.uniform(-0.45, 0.45)
        mass = _spiky(canvas, at, place, canvas.uniform(0.12, 0.24)) * breast
        image = paint(image, canvas.uniform(0.85, 1.0), mass * canvas.uniform(0.7, 1))
    node = canvas.ellipse(at, (-0.6, -0.75), (0.1, 0.07), 0.08) * canvas.bernoulli(0.2) * breast
    marker = box(canvas.coordinates(), (0.8, canvas.uniform(-0.85, -0.6)), (0.1, 0.06))
    image = paint(image + 0.2 * node, 0.85, marker * canvas.bernoulli(0.35))
    return np.where(side(canvas) > 0, image, image[:, :, ::-1])


# --- MR of the breasts ---------------------------------------------------------------------------


def _breast_mr(tumour: bool, canvas: Canvas) -> Floats:
    """Both breasts across, above the chest wall: dark fat, grey gland; a bright tumour."""
    at = canvas.pose(0.08, (0.95, 1.15), 0.06, bend=0.015)
    x, y = at
    wall, apart = canvas.uniform(0.1, 0.35), canvas.uniform(0.4, 0.5)
    wide, tall = canvas.uniform(0.33, 0.42), canvas.uniform(0.6, 0.95)
    fat, flesh = canvas.uniform(0.1, 0.45), canvas.uniform(0.2, 0.4)
    ill, image = side(canvas), np.zeros_like(x)
    chest = canvas.ellipse(at, (0, wall + 0.85), (1.05, 0.85), 0.08)
    image = paint(image, flesh + 0.03 * canvas.noise(5), chest)
    lungs = np.maximum(*(canvas.ellipse(at, (hand * 0.48, wall + 0.7), (0.36, 0.42), 0.1)
                         for hand in (-1, 1)))  # fmt: skip
    image = paint(image, 0.03, lungs)
    heart = canvas.ellipse(at, (0.15, wall + 0.5), (0.3, 0.26), 0.1, 0.5, 0.08)
    image = paint(image, canvas.uniform(0.45, 0.85), heart)
    for hand in (-1, 1):
        tip = wall - tall * canvas.uniform(0.95, 1.05)
        middle = hand * apart
        height = np.clip((wall + 0.1 - y) / (wall + 0.1 - tip), 0, 2)
        far = np.hypot((x - middle) / wide, height)
        breast = soft_step((1 - far) * wide, 0.08) * soft_step(wall + 0.08 - y, 0.08)
        image = paint(image, fat + 0.02 * canvas.noise(6), breast)
        gland = canvas.ellipse(at, (middle, wall - 0.42 * tall), (wide * 0.6, tall * 0.38), 0.15,
                               0, 0.3, 5)  # fmt: skip
        texture = np.clip(0.6 + 0.3 * canvas.noise(9), 0, 1) * canvas.uniform(0.2, 0.9)
        image = paint(image, flesh + 0.1, gland * texture * breast)
        if tumour:
            place = middle + canvas.uniform(-0.16, 0.16), wall - tall * canvas.uniform(0.25, 0.6)
            lump = canvas.ellipse(at, place, (canvas.uniform(0.08, 0.17),) * 2, 0.08, 0, 0.2, 5)
            image = paint(image, canvas.uniform(0.85, 1.0), lump * breast * (ill == hand))
    return image


# --- MR of the heart -----------------------------------------------------------------------------


def _cardiac_mr(thick: bool, canvas: Canvas) -> Floats:
    """The short axis: a dark ring about a bright pool, a bright crescent at the image's left."""
    at = canvas.pose(0.15, (0.85, 1.25), 0.5, bend=0.02)
    flesh = canvas.uniform(0.25, 0.45)
    image = np.clip(flesh + 0.1 * canvas.noise(3) + 0.03 * canvas.noise(8), 0, 1)
    lung = soft_step(canvas.noise(2) + 1.2 * at[0] - canvas.uniform(0.3, 0.9), 0.4)
    image = paint(image, 0.06, lung)
    wall = canvas.ellipse(at, (-0.1, -1.05), (1.2, 0.35), 0.15)
    image = paint(image, canvas.uniform(0.6, 0.9), wall * canvas.bernoulli(0.7))
    liver = canvas.ellipse(at, (-0.6, 1.0), (0.8, 0.4), 0.12)
    image = paint(image, canvas.uniform(0.3, 0.5), liver * canvas.bernoulli(0.6))
    outer = canvas.uniform(0.38, 0.5)
    inner = outer * (canvas.uniform(0.25, 0.5) if thick else canvas.uniform(0.66, 0.78))
    centre = canvas.uniform(0.05, 0.2), canvas.uniform(-0.05, 0.1)
    blood, muscle = canvas.uniform(0.75, 1.0), canvas.uniform(0.12, 0.28)
    fat = canvas.ellipse(at, (-0.1, 0.0), (0.85, 0.68), 0.12)
    image = paint(image, canvas.uniform(0.5, 0.75), fat * canvas.bernoulli(0.5) * 0.7)
    beside = centre[0] - outer * 0.85, centre[1]
    image = paint(image, muscle + 0.08, canvas.ellipse(at, beside, (0.56, 0.58), 0.08))
    right = canvas.uniform(0.35, 0.5), canvas.uniform(0.42, 0.55)
    image = paint(image, blood * 0.95, canvas.ellipse(at, beside, right, 0.08))
    round_off = outer * canvas.uniform(0.92, 1.08)
    image = paint(image, muscle, canvas.ellipse(at, centre, (outer, round_off), 0.07, 0, 0.03))
    image = paint(image, blood, canvas.ellipse(at, centre, (inner, inner), 0.08, 0, 0.08, 5))
    for angle in (canvas.uniform(0.2, 1.0), canvas.uniform(2.2, 3.2)):
        place = (centre[0] + 0.6 * inner * np.cos(angle), centre[1] + 0.6 * inner * np.sin(angle))
        papillary = canvas.ellipse(at, place, (0.05, 0.05), 0.08) * (0.0 if thick else 1.0)
        image = paint(image, muscle, papillary * canvas.bernoulli(0.7))
    return image


# --- Abdominal film ------------------------------------------------------------------------------


def _loops(canvas: Canvas, at: Coordinates) -> Floats:
    """Stretched bowel full of gas: wide dark bands above each other with folds across, 0 to 1."""
    gas = np.zeros_like(at[0])
    x, y = at[0] + 0.03 * canvas.noise(4), at[1] + 0.03 * canvas.noise(4)
    for number in range(3):
        level = -0.5 + 0.4 * number + canvas.uniform(-0.08, 0.08)
        middle, half = canvas.uniform(-0.25, 0.25), canvas.uniform(0.2, 0.55)
        bow, turn = canvas.uniform(-0.6, 0.6), canvas.uniform(-0.3, 0.3)
        line = level + bow * (x - middle) ** 2 + turn * (x - middle)
        beyond = np.clip(np.abs(x - middle) - half, 0, None)
        loop = soft_step(canvas.uniform(0.1, 0.17) - np.hypot(beyond, y - line), 0.1)
        folds = 0.88 + 0.12 * np.cos(canvas.uniform(18, 28) * x)
        gas = np.maximum(gas, loop * folds * canvas.uniform(0.5, 1))
    return gas


def _abdomen(blocked: bool, canvas: Canvas) -> Floats:
    """A film from the front: spine, pelvis and lowest ribs in grey flesh, dark gas in the bowel."""
    at = canvas.pose(0.1, (0.95, 1.15), 0.06, bend=0.02)
    x, y = at
    image = canvas.uniform(0.4, 0.55) + 0.03 * canvas.noise(3) - canvas.uniform(0, 0.15) * x**2
    organs = canvas.ellipse(at, (-0.5, -0.7), (0.5, 0.4), 0.2)
    organs = organs + canvas.ellipse(at, (0.0, 0.95), (0.3, 0.22), 0.2)
    image = image + 0.06 * organs
    steps = 0.8 + 0.2 * np.cos(canvas.uniform(13, 17) * y + canvas.uniform(0, 6))
    column = soft_step(canvas.uniform(0.12, 0.16) + 0.02 * y - np.abs(x), 0.08)
    bones = column * steps * soft_step(0.6 - y, 0.2)
    hips = np.zeros_like(x)
    for hand in (-1, 1):
        blade = canvas.ellipse(at, (hand * 0.5, 0.62), (0.26, 0.36), 0.1, hand * 0.6)
        hips = np.maximum(hips, blade * 0.7)
        rim = rod(at, (hand * 0.2, 0.6), (hand * 0.45, 1.1), 0.05, 0, 0.12)
        ribs = rod(at, (hand * 0.2, -1.0), (hand * 0.75, -0.7), 0.03, 0, 0.12)
        hips = np.maximum(hips, np.maximum(rim, 0.5 * ribs))
    bones = np.maximum(bones, np.maximum(hips, canvas.ellipse(at, (0, 0.7), (0.2, 0.22), 0.15)))
    bubbles = np.clip(canvas.noise(6) - 0.7, 0, 1) * soft_step(np.abs(x) - 0.35, 0.3)
    gas = _loops(canvas, at) * canvas.uniform(0.2, 0.4) if blocked else bubbles * 0.25
    stomach = canvas.ellipse(at, (0.45, -0.75), (0.22, 0.12), 0.1, -0.4) * canvas.bernoulli(0.6)
    image = image + bones * canvas.uniform(0.15, 0.35) - gas - 0.2 * stomach
    flank = soft_step(canvas.uniform(0.85, 1.3) + 0.06 * np.cos(2 * y) - np.abs(x), 0.15)
    film = paint(canvas.uniform(0.0, 0.1) + 0 * x, np.clip(image, 0.02, 1), flank)
    return collimate(canvas, film, 0.1, 0.12)


_BIRADS = "ACR BI-RADS Atlas, 2013"
_SIMON = "Bogaert et al., Clinical Cardiac MRI"

MAMMOGRAM = Look(
    "mammogram", False,
    "Mammogram: a half disc of breast against one edge on black, cloudy white gland, often a "
    "white triangle of muscle above.",
    (
        Kind("cancer", partial(_mammogram, True), "a white mass with spikes", _BIRADS),
        Kind("normal", partial(_mammogram, False), "gland without a mass", _BIRADS),
    ),
    _film_finish,
)  # fmt: skip
BREAST_MR = Look(
    "breast_mr", False,
    "MR slice across both breasts after contrast: two dark domes side by side, heart and black "
    "lungs below them.",
    (
        Kind("tumour", partial(_breast_mr, True), "a bright lump in one breast", _BIRADS),
        Kind("no tumour", partial(_breast_mr, False), "no bright lump", _BIRADS),
    ),
    _mr_finish,
)  # fmt: skip
CARDIAC_MR = Look(
    "cardiac_mr", False,
    "MR of the heart across its long axis: a dark ring of muscle about bright blood, a bright "
    "crescent beside it.",
    (
        Kind("thick wall", partial(_cardiac_mr, True), "a broad ring, a small pool", _SIMON),
        Kind("normal", partial(_cardiac_mr, False), "a slim ring, a wide pool", _SIMON),
    ),
    _mr_finish,
)  # fmt: skip
ABDOMEN = Look(
    "abdomen", False,
    "X-ray of the abdomen from the front: spine and pelvis in grey flesh, dark gas in the bowel.",
    (
        Kind("obstruction", partial(_abdomen, True), "wide dark loops above each other",
             "Mettler, Essentials of Radiology"),
        Kind("normal", partial(_abdomen, False), "a few small bubbles at the sides",
             "Mettler, Essentials of Radiology"),
    ),
    _film_finish,
)  # fmt: skip

"""Endoscopy of the bowel and ultrasound of a child before birth."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import ring, side
from medlabel.phantoms.acquisition import expose, photograph
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, paint, random_colour, soft_step

__all__ = ["ENDOSCOPY", "FETUS"]


# --- Endoscopy -----------------------------------------------------------------------------------


def _folds(canvas: Canvas, at: Coordinates, hole: Coordinates) -> tuple[Floats, Floats]:
    """How deep the bowel is at every pixel, 0 to 1, and its ring-shaped folds, -1 to 1."""
    x, y = at[0] - hole[0], at[1] - hole[1]
    around = np.arctan2(y, x)
    corners = canvas.uniform(0, 0.15) * np.cos(3 * around + canvas.uniform(0, 6))
    far = np.hypot(x, y) * (1 + corners) + 0.06 * canvas.noise(4)
    wide = canvas.uniform(0.12, 0.45)
    deep = np.exp(-((far / wide) ** 2))
    return deep, np.cos(canvas.uniform(6, 11) * np.sqrt(np.clip(far, 0, None)) * 1.6)


def _polyp(canvas: Canvas, at: Coordinates, image: Floats, tone: Floats) -> Floats:
    """A round bump: bright where the lamp meets it, a dark edge below, a white glint."""
    place = side(canvas) * canvas.uniform(0.1, 0.5), side(canvas) * canvas.uniform(0.1, 0.5)
    wide = canvas.uniform(0.2, 0.42)
    tall, turn = wide * canvas.uniform(0.7, 1.0), canvas.uniform(0, 3)
    under = canvas.ellipse(at, (place[0] + 0.06, place[1] + 0.09), (wide * 1.1, tall * 1.1), 0.15,
                           turn)  # fmt: skip
    image = image * (1 - 0.55 * under[..., None])
    bump = canvas.ellipse(at, place, (wide, tall), 0.08, turn, 0.06)
    height = np.clip(1 - np.hypot(at[0] - place[0] + 0.2 * wide, at[1] - place[1] + 0.25 * wide)
                     / (wide * 1.5), 0, 1)  # fmt: skip
    skin = tone * random_colour(canvas, (0.95, 1.1), (0.7, 1.0), (0.7, 1.05))
    mottled = 1 + 0.06 * canvas.noise(12)[..., None]
    image = paint(image, np.clip(skin * mottled * (0.5 + 0.75 * height)[..., None], 0, 1), bump)
    glint = canvas.ellipse(at, (place[0] - 0.3 * wide, place[1] - 0.35 * wide), (0.06, 0.04), 0.08)
    return paint(image, (1.0, 0.97, 0.95), glint * canvas.uniform(0.4, 1))


def _endoscopy(polyp: bool, canvas: Canvas) -> Floats:
    """A pink tube lit from the eye: ring-shaped folds, a dark hole, white glints, black corners."""
    at = canvas.pose(0.1, (0.9, 1.2), 3.1, bend=0.04)
    hole = canvas.uniform(-0.6, 0.6), canvas.uniform(-0.6, 0.6)
    deep, folds = _folds(canvas, at, hole)
    tone = random_colour(canvas, (0.72, 0.98), (0.38, 0.6), (0.26, 0.48))
    light = canvas.uniform(0.75, 1.05) + 0.16 * folds + 0.06 * canvas.noise(3)
    image = tone * np.clip(light, 0.1, 1.3)[..., None]
    vessels = soft_step(0.1 - np.abs(canvas.noise(5)), 0.2) * canvas.uniform(0, 0.25)
    image = paint(image, np.array([0.6, 0.15, 0.12], np.float32), vessels)
    image = image * (1 - 0.92 * deep)[..., None]
    if polyp:
        image = _polyp(canvas, at, image, tone)
    glints = np.clip(canvas.spots(6, (0.02, 0.06), (0.2, 1.0), 0.8), 0, 1) * (folds > 0.2)
    image = paint(image, (1.0, 0.98, 0.95), glints * canvas.bernoulli(0.8))
    x, y = canvas.coordinates()
    corner = np.maximum(np.maximum(np.abs(x), np.abs(y)), (np.abs(x) + np.abs(y)) * 0.72)
    frame = soft_step(corner - canvas.uniform(0.88, 1.02), 0.05) * canvas.bernoulli(0.75)
    return paint(image, (0.02, 0.02, 0.03), frame)


def _scope_finish(canvas: Canvas, image: Floats) -> Floats:
    return photograph(canvas, image, (0.85, 1.15), (0.75, 1.3), (0.1, 0.6), 0.06, 0.03)


# --- Ultrasound before birth ---------------------------------------------------------------------


def _sector(canvas: Canvas) -> Floats:
    """The fan that the beam sweeps, 0 to 1: narrow above, round below; black beside it."""
    x, y = canvas.coordinates()
    top = canvas.uniform(1.1, 1.9)
    far, tilt = np.hypot(x, y + top), np.abs(np.arctan2(x, y + top))
    within = np.minimum(canvas.uniform(0.5, 0.85) - tilt, canvas.uniform(1.95, 2.1) + top - 1 - far)
    return soft_step(np.minimum(within, far - (top - 0.95)), 0.06)


def _grain(canvas: Canvas, image: Floats) -> Floats:
    """Speckle that grows with brightness."""
    grains = canvas.uniform(0.15, 0.4) * canvas.noise(14) + 0.15 * canvas.noise(7)
    grainy: Floats = np.clip(image * (1 + grains), 0, 1.2)
    return grainy


def _womb(canvas: Canvas) -> Floats:
    """Grey layers above and below, black water between."""
    y = canvas.coordinates()[1]
    tissue = canvas.uniform(0.25, 0.45) + 0.12 * canvas.noise(3, 6)
    water = soft_step(canvas.uniform(0.4, 0.75) - np.abs(y + 0.1 * canvas.noise(2)), 0.25)
    return paint(np.clip(tissue, 0, 1), 0.04, water * canvas.uniform(0.5, 1))


def _head(canvas: Canvas) -> Floats:
    """The skull as a bright oval ring with a line along its middle."""
    at = canvas.pose(0.12, (0.9, 1.2), 0.0)
    turn = canvas.uniform(-0.5, 0.5)
    x, y = at
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    at, wide, tall = (x, y), canvas.uniform(0.55, 0.72), canvas.uniform(0.42, 0.52)
    outer = canvas.ellipse(at, (0, 0), (wide, tall), 0.08)
    inner = canvas.ellipse(at, (0, 0), (wide - 0.08, tall - 0.08), 0.08)
    image = paint(_womb(canvas), canvas.uniform(0.1, 0.22) + 0.05 * canvas.noise(6), outer)
    skull = ring(outer, inner) * np.clip(0.55 + 0.6 * (np.abs(y) / tall) ** 2, 0, 1)
    line = soft_step(0.02 - np.abs(y), 0.07) * soft_step(wide * 0.75 - np.abs(x), 0.1)
    box = canvas.ellipse(at, (-0.25 * wide, 0), (0.08, 0.05), 0.07) * canvas.bernoulli(0.6)
    image = paint(image, canvas.uniform(0.85, 1.0), np.clip(1.4 * skull, 0, 1))
    image = paint(image, canvas.uniform(0.55, 0.85), line * (1 - box))
    return _grain(canvas, image) * _sector(canvas)


def _belly(canvas: Canvas) -> Floats:
    """The trunk across: a round grey disc with the spine's white dots and a black stomach."""
    at = canvas.pose(0.12, (0.9, 1.2), 3.1)
    wide = canvas.uniform(0.5, 0.65)
    disc = canvas.ellipse(at, (0, 0), (wide, wide * canvas.uniform(0.85, 1)), 0.1, 0, 0.04)
    image = paint(_womb(canvas), canvas.uniform(0.35, 0.5) + 0.06 * canvas.noise(7), disc)
    for right, down in ((-0.09, 0.55), (0.09, 0.55), (0.0, 0.7)):
        dot = canvas.ellipse(at, (right, down * wide / 0.7), (0.06, 0.05), 0.08)
        image = paint(image, canvas.uniform(0.8, 1.0), dot)
    stomach = canvas.ellipse(at, (-0.25, -0.05), (canvas.uniform(0.08, 0.16),) * 2, 0.08)
    vein = canvas.ellipse(at, (0.05, -0.15), (0.05, 0.16), 0.08, 0.5)
    image = paint(image, 0.03, np.maximum(stomach, vein * 0.8))
    return _grain(canvas, image) * _sector(canvas)


def _fetal_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.8, 1.2), (-0.04, 0.04), (0.7, 1.4), (0.2, 0.6), 0.02)


ENDOSCOPY = Look(
    "endoscopy", True,
    "Endoscopy of the bowel: a pink wet tube with ring-shaped folds, a dark hole, white glints.",
    (
        Kind("polyp", partial(_endoscopy, True), "a round bump with a shadow beside it",
             "Classen et al., Gastroenterological Endoscopy"),
        Kind("normal", partial(_endoscopy, False), "folds alone",
             "Classen et al., Gastroenterological Endoscopy"),
    ),
    _scope_finish,
)  # fmt: skip
FETUS = Look(
    "fetus", False,
    "Ultrasound of a child before birth in a fan-shaped field: a skull or a trunk in black water.",
    (
        Kind("head", _head, "a bright oval ring with a line along its middle",
             "ISUOG Practice Guidelines, 2022"),
        Kind("abdomen", _belly, "a grey disc with white dots of the spine and a black stomach",
             "ISUOG Practice Guidelines, 2022"),
    ),
    _fetal_finish,
)  # fmt: skip

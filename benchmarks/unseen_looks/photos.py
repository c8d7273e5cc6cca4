"""Colour photographs of an eye from outside and of an eardrum."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import rod, side
from medlabel.phantoms.acquisition import photograph
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Floats, paint, random_colour, soft_step

__all__ = ["EARDRUM", "EYE"]


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return photograph(canvas, image, (0.85, 1.15), (0.75, 1.3), (0.1, 0.6), 0.06, 0.02)


def _pale(canvas: Canvas, low: float, high: float) -> Floats:
    """A grey with a breath of warmth, [n,1,1,3]."""
    level = canvas.uniform(low, high)[..., None]
    return level * random_colour(canvas, (1.0, 1.05), (0.93, 1.0), (0.86, 1.0))


# --- Eye -----------------------------------------------------------------------------------------


def _skin(canvas: Canvas) -> Floats:
    """Skin from pale to dark, [n,size,size,3]."""
    depth = canvas.uniform(0.0, 1.0)[..., None]
    pale = random_colour(canvas, (0.78, 0.95), (0.58, 0.75), (0.48, 0.66))
    dark = random_colour(canvas, (0.3, 0.45), (0.18, 0.3), (0.12, 0.22))
    shades = 1 + 0.08 * canvas.noise(3) + 0.03 * canvas.noise(10)
    skin: Floats = (pale + (dark - pale) * depth) * shades[..., None]
    return skin


def _iris(canvas: Canvas) -> Floats:
    """Brown, green or blue: [n,1,1,3]."""
    brown = random_colour(canvas, (0.25, 0.45), (0.14, 0.28), (0.06, 0.16))
    blue = random_colour(canvas, (0.25, 0.45), (0.38, 0.55), (0.4, 0.65))
    return np.where(canvas.bernoulli(0.55)[..., None] > 0, brown, blue)


def _eye(cloudy: bool, canvas: Canvas) -> Floats:
    """An open eye: white with a coloured disc between two lids; a cataract turns the pupil grey."""
    x, y = canvas.pose(0.12, (0.95, 1.35), 0.2, bend=0.02)
    open_above, open_below = canvas.uniform(0.32, 0.5), canvas.uniform(0.28, 0.4)
    arch = np.clip(1 - (x / canvas.uniform(0.8, 0.95)) ** 2, 0, 1)
    gap = np.minimum(y + open_above * arch, open_below * arch - y)
    white = _pale(canvas, 0.72, 0.95)
    veins = soft_step(0.06 - np.abs(canvas.noise(7)), 0.15) * canvas.uniform(0, 0.4)
    ball = paint(white + np.zeros((*x.shape, 3), np.float32), (0.75, 0.3, 0.28), veins)
    middle, radius = (
        (canvas.uniform(-0.2, 0.2), canvas.uniform(-0.08, 0.05)),
        canvas.uniform(0.3, 0.4),
    )
    far = np.hypot(x - middle[0], y - middle[1]) / radius
    spokes = 1 + 0.15 * canvas.noise(12)
    ball = paint(ball, np.clip(_iris(canvas) * spokes[..., None], 0, 1), soft_step(1 - far, 0.2))
    ball = paint(ball, (0.08, 0.06, 0.06), soft_step(0.1 - np.abs(far - 1), 0.15) * 0.6)
    wide = canvas.uniform(0.45, 0.7) if cloudy else canvas.uniform(0.3, 0.65)
    grey = _pale(canvas, 0.5, 0.8)
    black = random_colour(canvas, (0.0, 0.06), (0.0, 0.05), (0.0, 0.05))
    ball = paint(ball, grey if cloudy else black, soft_step(wide - far, 0.25))
    glint = canvas.ellipse((x, y), (middle[0] + 0.1 * side(canvas), middle[1] - 0.1), (0.06, 0.06),
                           0.07)  # fmt: skip
    ball = paint(ball, (1.0, 1.0, 1.0), glint * canvas.bernoulli(0.85))
    ball = ball * (1 - 0.35 * soft_step(0.1 - (y + open_above * arch), 0.2))[..., None]
    image = paint(_skin(canvas), (0.15, 0.09, 0.07), soft_step(0.05 - np.abs(gap), 0.1) * 0.7)
    crease = soft_step(0.03 - np.abs(y + open_above * arch + 0.14), 0.1) * arch
    image = paint(image, (0.25, 0.14, 0.1), crease * canvas.uniform(0.1, 0.6))
    return paint(image, ball, soft_step(gap, 0.06))


# --- Eardrum -------------------------------------------------------------------------------------


def _eardrum(ill: bool, canvas: Canvas) -> Floats:
    """A round drum in a dark tunnel: pearly with a hammer and a cone of light; ill, it is red."""
    at = canvas.pose(0.12, (0.95, 1.2), 0.4, bend=0.04)
    at = at[0] * side(canvas), at[1]
    far = np.hypot(*at)
    canal = random_colour(canvas, (0.55, 0.85), (0.35, 0.55), (0.25, 0.42))
    shades = 1.05 - 0.45 * soft_step(far - 0.85, 0.5) + 0.06 * canvas.noise(5)
    image = canal * shades[..., None]
    drum = canvas.ellipse(at, (0, 0), (canvas.uniform(0.6, 0.78), canvas.uniform(0.65, 0.85)), 0.1,
                          0, 0.04)  # fmt: skip
    pearl = _pale(canvas, 0.62, 0.88)
    red = random_colour(canvas, (0.65, 0.9), (0.15, 0.38), (0.12, 0.3))
    bulge = 1 + canvas.uniform(0.05, 0.25) * (0.6 - far) + 0.05 * canvas.noise(6)
    image = paint(image, (red if ill else pearl) * bulge[..., None], drum)
    rim = soft_step(0.06 - np.abs(far - 0.72), 0.12) * canvas.uniform(0.1, 0.5)
    image = paint(image, (0.45, 0.2, 0.15), rim)
    hammer = rod(at, (canvas.uniform(-0.3, -0.1), -0.55), (0.0, 0.08), 0.05, 0, 0.1)
    image = paint(image, (0.92, 0.84, 0.7), hammer * drum * (0.25 if ill else 0.9))
    cone = soft_step(0.35 * (at[1] - 0.05) - np.abs(at[0] - 0.6 * at[1]), 0.1)
    cone = cone * soft_step(0.5 - at[1], 0.1) * soft_step(at[1] - 0.08, 0.1)
    image = paint(image, (1.0, 0.98, 0.92), cone * drum * (0.0 if ill else canvas.uniform(0.5, 1)))
    wet = np.clip(canvas.spots(3, (0.04, 0.09), (0.3, 1), 0.4), 0, 1) * (0.8 if ill else 0.0)
    vessels = soft_step(0.08 - np.abs(canvas.noise(6)), 0.2) * drum * canvas.uniform(0, 0.4)
    image = paint(paint(image, (0.6, 0.1, 0.1), vessels), (1.0, 0.95, 0.92), wet)
    edge = np.hypot(*canvas.coordinates()) - canvas.uniform(0.9, 1.1)
    return paint(image, (0.02, 0.02, 0.02), soft_step(edge, 0.06) * canvas.bernoulli(0.85))


EYE = Look(
    "eye", True,
    "Photograph of an open eye: a white ball with a coloured disc and a pupil between two lids.",
    (
        Kind("cataract", partial(_eye, True), "a wide grey pupil",
             "Salmon, Kanski's Clinical Ophthalmology"),
        Kind("normal", partial(_eye, False), "a black pupil",
             "Salmon, Kanski's Clinical Ophthalmology"),
    ),
    _finish,
)  # fmt: skip
EARDRUM = Look(
    "eardrum", True,
    "Photograph of an eardrum through an otoscope: a round drum in a dark tunnel, black around.",
    (
        Kind("otitis", partial(_eardrum, True), "red and full, no cone of light",
             "Hawke, Diseases of the Ear: A Pocket Atlas"),
        Kind("normal", partial(_eardrum, False), "pearly, a pale hammer, a cone of light",
             "Hawke, Diseases of the Ear: A Pocket Atlas"),
    ),
    _finish,
)  # fmt: skip

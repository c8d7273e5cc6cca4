"""Dermatoscopy: seven kinds of skin lesions."""

from __future__ import annotations

from collections.abc import Callable

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

__all__ = ["DERMA"]

Lesion = Callable[[Canvas, Coordinates, Floats], Floats]
"""Puts a lesion on skin [n,size,size,3]."""


def _tone(canvas: Canvas, red: Range, green: Range, blue: Range) -> Floats:
    """Sample a colour [n,1,1,3]: red, green as a fraction of red, blue as a fraction of green."""
    tint = random_colour(canvas, red, green, blue)
    tint[..., 1] *= tint[..., 0]
    tint[..., 2] *= tint[..., 1]
    return tint


def _brown(canvas: Canvas, dark: Range = (0.35, 0.65)) -> Floats:
    return _tone(canvas, dark, (0.5, 0.75), (0.45, 0.75))


def _red(canvas: Canvas) -> Floats:
    return random_colour(canvas, (0.6, 0.85), (0.2, 0.5), (0.25, 0.5))


def _patch(canvas: Canvas, at: Coordinates, size: Range, soft: Range, ragged: Range) -> Floats:
    """The outline of a lesion near the middle, 0 to 1."""
    place = canvas.uniform(-0.15, 0.15), canvas.uniform(-0.15, 0.15)
    wide = canvas.uniform(*size)
    return canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.7, 1.2)), canvas.uniform(*soft),
                         canvas.uniform(0, 3), canvas.uniform(*ragged), 4)  # fmt: skip


def _keratosis(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Actinic: a faint red, scaly patch without an edge, white pores in it: a strawberry."""
    patch = _patch(canvas, at, (0.5, 1.1), (0.4, 0.9), (0.1, 0.4))
    pores = soft_step(canvas.spots(20, (0.03, 0.07)) - 0.5, 0.6)
    image = paint(skin, _red(canvas), patch * canvas.uniform(0.2, 0.6))
    scale = soft_step(canvas.noise(7) - canvas.uniform(0.4, 1.2), 0.8)
    return paint(
        image, (0.93, 0.85, 0.8), patch * np.maximum(pores, scale) * canvas.uniform(0.2, 0.7)
    )


def _basal(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Basal cell carcinoma: pearly pink, fine red branches, blue-grey clods, a sore."""
    patch = _patch(canvas, at, (0.35, 0.9), (0.2, 0.6), (0.1, 0.3))
    image = paint(skin, random_colour(canvas, (0.8, 0.95), (0.55, 0.72), (0.58, 0.75)), patch * 0.7)
    branches = soft_step(0.25 - np.abs(canvas.noise(5)), 0.4) * patch
    image = paint(image, _red(canvas), branches * canvas.uniform(0.1, 0.6))
    clods = soft_step(canvas.spots(5, (0.06, 0.16), within=0.5) - 0.5, 0.4) * patch
    image = paint(image, random_colour(canvas, (0.3, 0.5), (0.28, 0.45), (0.38, 0.55)),
                clods * canvas.uniform(0, 0.8))  # fmt: skip
    sore = canvas.ellipse(at, (0.1, 0.1), (0.15, 0.12), 0.15, ragged=0.3) * canvas.bernoulli(0.3)
    return paint(image, (0.45, 0.1, 0.1), sore * 0.8)


def _warty(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Benign (seborrhoeic) keratosis: a sharp, stuck-on plaque, dull brown, pale and dark plugs."""
    patch = _patch(canvas, at, (0.45, 1.0), (0.08, 0.25), (0.05, 0.25))
    image = paint(skin, _brown(canvas, (0.45, 0.72)), patch * canvas.uniform(0.4, 0.9))
    plugs = soft_step(canvas.spots(12, (0.03, 0.08), within=0.6) - 0.4, 0.5) * patch
    pearl = np.where(canvas.bernoulli(0.5)[..., None] > 0, (0.92, 0.85, 0.7), (0.3, 0.2, 0.15))
    return paint(image, pearl, plugs * canvas.uniform(0.2, 0.7))


def _fibroma(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Dermatofibroma: a small soft brown ring around a white scar."""
    patch = _patch(canvas, at, (0.3, 0.65), (0.3, 0.6), (0.0, 0.15))
    image = paint(skin, _brown(canvas, (0.55, 0.78)), patch * canvas.uniform(0.4, 0.8))
    scar = canvas.ellipse(at, (0, 0), (canvas.uniform(0.1, 0.25), canvas.uniform(0.1, 0.25)), 0.3)
    return paint(image, (0.93, 0.82, 0.76), scar * canvas.uniform(0.4, 0.9))


def _melanoma(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Melanoma: large, lopsided, ragged, of many colours: brown, black, blue-white, red."""
    patch = _patch(canvas, at, (0.45, 0.95), (0.15, 0.4), (0.25, 0.6))
    image = paint(skin, _brown(canvas, (0.3, 0.6)), patch * canvas.uniform(0.7, 1))
    for tint in ((0.12, 0.08, 0.08), (0.45, 0.48, 0.6), (0.6, 0.3, 0.28)):
        blot = soft_step(canvas.noise(4) - canvas.uniform(0.2, 1.3), 0.9) * patch
        image = paint(image, tint, blot * canvas.uniform(0.2, 0.9))
    return image


def _naevus(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """A mole: round or oval, even brown with a fine net, fading at its edge."""
    patch = _patch(canvas, at, (0.25, 0.8), (0.15, 0.45), (0.02, 0.2))
    net = np.clip(1 + canvas.uniform(0, 0.2) * canvas.noise(12), 0.3, 1.4)
    middle = 1 - canvas.uniform(0, 0.4) * soft_step(np.hypot(*at) - 0.3, 0.4)
    return paint(skin, _brown(canvas), np.clip(patch * net * middle * canvas.uniform(0.5, 1), 0, 1))


def _vascular(canvas: Canvas, at: Coordinates, skin: Floats) -> Floats:
    """Angioma: sharp red to purple lagoons."""
    patch = _patch(canvas, at, (0.25, 0.7), (0.08, 0.3), (0.05, 0.25))
    tint = random_colour(canvas, (0.4, 0.8), (0.05, 0.25), (0.12, 0.35))
    lagoons = np.clip(0.8 + 0.3 * canvas.noise(6), 0.2, 1)
    return paint(skin, tint, patch * lagoons * canvas.uniform(0.7, 1))


def _on_skin(lesion: Lesion) -> Callable[[Canvas], Floats]:
    """Return a drawing of a lesion on pink or tan skin, with hairs and dark corners."""

    def draw(canvas: Canvas) -> Floats:
        at = canvas.pose(0.12, (0.8, 1.2), 0.3, bend=0.05)
        skin = _tone(canvas, (0.7, 1.0), (0.6, 0.85), (0.85, 1.2))
        mottle = 1 + 0.03 * canvas.noise(9)[..., None] + 0.04 * canvas.noise(3)[..., None]
        image = lesion(canvas, at, skin * mottle)
        for _ in range(4):
            x, y = canvas.pose(0.8, (0.8, 1.2), 3.14, bend=0.06)
            hair = (
                soft_step(0.015 - np.abs(y), 0.06)
                * soft_step(0.9 - np.abs(x), 0.2)
                * canvas.bernoulli(0.2)
            )
            image = paint(image, 0.25 * image, hair * canvas.uniform(0.3, 0.9))
        x, y = canvas.coordinates()
        far = np.hypot(x, y * canvas.uniform(0.75, 1))
        tube = soft_step(far - canvas.uniform(0.95, 1.35), 0.15)
        return paint(image, canvas.uniform(0, 0.2)[..., None], tube * canvas.bernoulli(0.25))

    return draw


def _finish(canvas: Canvas, image: Floats) -> Floats:
    glare = np.clip(canvas.spots(2, (0.04, 0.12)), 0, 1) * canvas.bernoulli(0.15)
    return photograph(canvas, paint(image, 1.0, glare), (0.8, 1.2), (0.75, 1.4), (0.1, 0.9), 0.08)


_DERMOSCOPY = "Argenziano et al., J Am Acad Dermatol 2003; Tschandl et al., Scientific Data 2018"

DERMA = Look(
    "dermamnist", True,
    "Dermatoscopy: a brown, black or reddish lesion with a ragged edge on pink or tan skin, "
    "with hairs, glare and the tube's dark corners.",
    (
        Kind("actinic keratosis", _on_skin(_keratosis), "a faint red scaly patch, pale pores",
             _DERMOSCOPY),
        Kind("basal cell carcinoma", _on_skin(_basal),
             "pearly pink, red branches, blue-grey clods", _DERMOSCOPY),
        Kind("benign keratosis", _on_skin(_warty), "a sharp dull brown plaque with plugs",
             _DERMOSCOPY),
        Kind("dermatofibroma", _on_skin(_fibroma), "a soft brown ring around a white scar",
             _DERMOSCOPY),
        Kind("melanoma", _on_skin(_melanoma), "large, ragged, black, brown, blue-white and red",
             _DERMOSCOPY),
        Kind("melanocytic nevus", _on_skin(_naevus), "an even round brown mole", _DERMOSCOPY,
             weight=3.0),
        Kind("vascular lesion", _on_skin(_vascular), "sharp red to purple lagoons", _DERMOSCOPY),
    ),
    _finish,
)  # fmt: skip

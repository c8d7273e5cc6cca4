"""Slices across the head: CT and magnetic resonance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import ring, rod, side
from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, mixture, paint, soft_step

__all__ = ["BRAIN_MR", "BRAIN_WEIGHTING", "HEAD_CT"]

_OSBORN = "Osborn, Hedlund & Salzman, Osborn's Brain"


@dataclass(frozen=True)
class _Head:
    """The parts of a head in one slice, 0 to 1; in `at`, the head's radii are 1."""

    at: Coordinates
    head: Floats
    bone: Floats
    brain: Floats
    fluid: Floats
    white: Floats
    falx: Floats


def _head(canvas: Canvas) -> _Head:
    """Sample a slice: an egg, longer from front (above) to back, and the parts within it."""
    x, y = canvas.pose(0.06, (0.98, 1.1), 0.12, bend=0.015)
    wide, tall = canvas.uniform(0.66, 0.78), canvas.uniform(0.84, 0.93)
    x, y = x / wide, y / tall
    x = x * (1 + 0.08 * y * canvas.uniform(-1.5, 0.5))
    at = x, y
    far = np.hypot(x, y) * (1 + 0.02 * canvas.noise(3))
    scalp, skull = canvas.uniform(0.05, 0.1), canvas.uniform(0.08, 0.14)
    inner = 1 - scalp - skull
    brain = soft_step(inner - far, 0.07)
    folds, ridges = _folds(canvas, at, far / inner)
    folds = folds * brain
    white = soft_step(inner * canvas.uniform(0.78, 0.88) - far + 0.05 * canvas.noise(8)
                      - canvas.uniform(0.05, 0.16) * ridges, 0.12)  # fmt: skip
    white = white * (1 - 0.8 * soft_step(0.05 - np.abs(x), 0.08))
    falx = soft_step(0.02 - np.abs(x), 0.07) * brain * soft_step(np.abs(y) - 0.35, 0.1)
    fluid = np.maximum(_ventricles(canvas, at), 0.6 * folds)
    return _Head(
        at, soft_step(1 - far, 0.07), ring(soft_step(1 - scalp - far, 0.06), brain), brain,
        fluid * brain, white, falx,
    )  # fmt: skip


def _folds(canvas: Canvas, at: Coordinates, far: Floats) -> tuple[Floats, Floats]:
    """Fluid between the folds at the rim of the brain, and where folds dip inward, 0 to 1."""
    around = np.arctan2(at[1], at[0]) + 0.1 * canvas.noise(4)
    count = canvas.rng.integers(9, 16, (canvas.n, 1, 1)).astype(np.float32)
    spokes = soft_step(np.cos(count * around + canvas.uniform(0, 6)) - 0.3, 0.7)
    deep = canvas.uniform(0.7, 0.95) + 0.06 * canvas.noise(6)
    rim = soft_step(far - 0.93, 0.1) * canvas.uniform(0, 0.8)
    dips = spokes * soft_step(far - deep, 0.2) * canvas.uniform(0.3, 1)
    return np.maximum(dips, rim), spokes


def _ventricles(canvas: Canvas, at: Coordinates) -> Floats:
    """The butterfly of the side ventricles, at some levels the third one between, 0 to 1."""
    both = np.zeros_like(at[0])
    seen, big = canvas.bernoulli(0.85), canvas.uniform(0.6, 1.5)
    front, back = canvas.uniform(-0.28, -0.16), canvas.uniform(0.16, 0.3)
    spread, horns = canvas.uniform(0.35, 0.7), canvas.bernoulli(0.8)
    for hand in (-1, 1):
        x, y = at[0] * hand, at[1]
        before = canvas.ellipse((x, y), (0.1, front), (0.06 * big, 0.19), 0.12, spread)
        behind = canvas.ellipse((x, y), (0.16, back), (0.065 * big, 0.2), 0.12, -spread)
        both = np.maximum(both, np.maximum(before, behind * horns))
    third = canvas.ellipse(at, (0, 0.02), (0.03 * big, 0.14), 0.1)
    butterfly: Floats = seen * np.maximum(both, 0.7 * third)
    return butterfly


def _base(canvas: Canvas, at: Coordinates) -> Floats:
    """The base of the skull, a cross of bone with the spaces of the brain between, 0 to 1."""
    cross = np.zeros_like(at[0])
    tilt, thick = canvas.uniform(-0.1, 0.1), canvas.uniform(0.05, 0.1)
    for hand in (-1, 1):
        ridge = rod(at, (hand * 0.8, 0.3 + tilt), (hand * 0.12, 0.02 + tilt), thick)
        wing = rod(at, (hand * 0.75, -0.4 + tilt), (hand * 0.2, -0.15 + tilt), thick * 0.6)
        cross = np.maximum(cross, np.maximum(ridge, wing))
    return cross


# --- CT ------------------------------------------------------------------------------------------


def _bleed(canvas: Canvas, head: _Head) -> Floats:
    """Fresh blood: a lens or a crescent under the skull, or a clot in the brain, 0 to 1."""
    turn, far = canvas.uniform(-0.9, 0.9), np.hypot(*head.at)
    x, y = head.at[0] * side(canvas), head.at[1]
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    lens = canvas.ellipse((x, y), (0.78, 0), (canvas.uniform(0.18, 0.28), 0.45), 0.07)
    crescent = soft_step(far - canvas.uniform(0.66, 0.74), 0.06) * soft_step(x - 0.1, 0.2)
    wide = canvas.uniform(0.14, 0.3)
    clot = canvas.ellipse((x, y), (canvas.uniform(0.25, 0.5), 0),
                          (wide, wide * canvas.uniform(0.6, 1.2)), 0.08, 0, 0.15)  # fmt: skip
    which = canvas.rng.integers(3, size=(canvas.n, 1, 1))
    return np.where(which == 0, lens, np.where(which == 1, crescent, clot)) * head.brain


def _head_ct(bleeding: bool, canvas: Canvas) -> Floats:
    """A head in the brain window: white ring, grey brain, dark fluid; fresh blood is bright."""
    head = _head(canvas)
    grey = canvas.uniform(0.36, 0.52)
    image = paint(np.zeros_like(head.head), canvas.uniform(0.08, 0.3), head.head)
    tissue = grey - 0.04 * head.white + 0.015 * canvas.noise(7)
    image = paint(image, tissue, head.brain)
    image = paint(image, grey * canvas.uniform(0.25, 0.6), head.fluid)
    image = image + 0.12 * head.falx * canvas.bernoulli(0.7)
    calcium = canvas.ellipse(head.at, (0, 0.17), (0.04, 0.04), 0.07) * canvas.bernoulli(0.3)
    image = paint(image, 0.9, calcium)
    if bleeding:
        swelling = canvas.uniform(0.75, 0.95)
        image = paint(image, swelling, _bleed(canvas, head))
    low = canvas.bernoulli(0.12) * canvas.uniform(0.5, 1) * head.brain
    image = paint(image, 0.95, _base(canvas, head.at) * low)
    image = paint(image, canvas.uniform(0.92, 1.0), head.bone)
    rest = soft_step(0.03 - np.abs(np.hypot(head.at[0], head.at[1] - 0.1) - 1.12), 0.06)
    return image + 0.3 * rest * soft_step(head.at[1] - 0.4, 0.2) * canvas.bernoulli(0.5)


def _ct_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.9, 1.1), (-0.03, 0.03), (0.8, 1.25), (0.1, 0.5), 0.03)


# --- Magnetic resonance --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weighting:
    """Brightness of fat, grey matter, white matter, fluid and tumour."""

    fat: tuple[float, float]
    grey: tuple[float, float]
    white: tuple[float, float]
    fluid: tuple[float, float]
    tumour: tuple[float, float]


_T1 = _Weighting((0.75, 1.0), (0.35, 0.45), (0.5, 0.65), (0.08, 0.18), (0.15, 0.28))
_T1_CONTRAST = _Weighting((0.7, 0.95), (0.33, 0.42), (0.42, 0.55), (0.06, 0.15), (0.85, 1.0))
_T2 = _Weighting((0.45, 0.75), (0.45, 0.58), (0.25, 0.36), (0.85, 1.0), (0.75, 0.95))
_FLAIR = _Weighting((0.4, 0.7), (0.42, 0.52), (0.33, 0.42), (0.05, 0.12), (0.8, 1.0))


def _tumour(canvas: Canvas, head: _Head) -> tuple[Floats, Floats]:
    """A lump in one half of the brain, and its core, 0 to 1."""
    place = side(canvas) * canvas.uniform(0.2, 0.5), canvas.uniform(-0.5, 0.5)
    wide, flat, turn = canvas.uniform(0.16, 0.36), canvas.uniform(0.7, 1.1), canvas.uniform(0, 3)
    lump = canvas.ellipse(head.at, place, (wide, wide * flat), 0.08, turn, 0.2, 5) * head.brain
    core = canvas.ellipse(head.at, place, (wide * 0.55, wide * flat * 0.5), 0.08, turn, 0.2, 5)
    return lump, core


def _mr(weighting: _Weighting, sick: float, canvas: Canvas) -> Floats:
    """A head in one weighting; `sick` is the share of images with a tumour."""
    head = _head(canvas)
    whole = 1 - canvas.bernoulli(0.2)  # in some collections all but the brain was cut away
    image = paint(np.zeros_like(head.head), canvas.uniform(*weighting.fat), head.head * whole)
    image = paint(image, canvas.uniform(0.03, 0.12), head.bone * whole)
    brain = canvas.uniform(*weighting.grey) + 0.02 * canvas.noise(6)
    brain = paint(brain, canvas.uniform(*weighting.white), head.white)
    image = paint(image, paint(brain, canvas.uniform(*weighting.fluid), head.fluid), head.brain)
    lump, core = _tumour(canvas, head)
    seen, level = canvas.bernoulli(sick), canvas.uniform(*weighting.tumour)
    image = paint(image, level, seen * lump)
    necrotic = canvas.bernoulli(0.6) * canvas.uniform(0.5, 1)
    image = paint(image, canvas.uniform(*weighting.fluid), seen * core * lump * necrotic)
    field = 1 + canvas.uniform(-0.15, 0.15) * head.at[0] + canvas.uniform(-0.15, 0.15) * head.at[1]
    return image * field


def _brain(sick: float, canvas: Canvas) -> Floats:
    weightings = tuple(partial(_mr, kind, sick) for kind in (_T1, _T1_CONTRAST, _T2, _FLAIR))
    return mixture(canvas, weightings, (1, 1.5, 1, 1))


def _mr_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.85, 1.4), (-0.03, 0.03), (0.75, 1.25), (0.1, 0.5), 0.03)


HEAD_CT = Look(
    "head_ct", False,
    "CT slice across the head: a white ring of skull, grey brain with a dark butterfly of "
    "ventricles, black air around.",
    (
        Kind("bleeding", partial(_head_ct, True), "a white lens, crescent or clot", _OSBORN),
        Kind("normal", partial(_head_ct, False), "even grey, both halves alike", _OSBORN),
    ),
    _ct_finish,
)  # fmt: skip
BRAIN_MR = Look(
    "brain_mr", False,
    "MR slice across the head in one of four weightings: bright scalp, black skull, folded grey "
    "and white matter, ventricles.",
    (
        Kind("tumour", partial(_brain, 1.0), "a lump in one half, bright or with a dark core",
             _OSBORN),
        Kind("no tumour", partial(_brain, 0.0), "both halves alike", _OSBORN),
    ),
    _mr_finish,
)  # fmt: skip
BRAIN_WEIGHTING = Look(
    "brain_weighting", False,
    "MR slice across the head; fluid is black in T1 and white in T2.",
    (
        Kind("T1", partial(_mr, _T1, 0.3), "black fluid, white matter brighter than grey",
             _OSBORN),
        Kind("T2", partial(_mr, _T2, 0.3), "white fluid, white matter darker than grey",
             _OSBORN),
    ),
    _mr_finish,
)  # fmt: skip

"""Whole bodies after a tracer, dark on white: PET and bone scan."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import along_path, rod
from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, soft_step

__all__ = ["BONE_SCAN", "PET"]

_METTLER = "Mettler & Guiberteau, Essentials of Nuclear Medicine and Molecular Imaging"


def _lesions(canvas: Canvas, at: Coordinates, within: tuple[float, float], size: float) -> Floats:
    """Two to six hot spots in the trunk, 0 to 1."""
    spots = np.zeros_like(at[0])
    for number in range(6):
        place = canvas.uniform(-within[0], within[0]), canvas.uniform(-0.6, within[1])
        wide = canvas.uniform(0.5, 1) * size
        spot = canvas.ellipse(at, place, (wide, wide * canvas.uniform(0.7, 1.3)), 0.1)
        spots = np.maximum(spots, spot * canvas.uniform(0.6, 1) * canvas.bernoulli(0.55))
        if number < 2:
            spots = np.maximum(spots, spot * 0.9)
    return spots


def _white(canvas: Canvas, taken: Floats) -> Floats:
    """Film on which much of the tracer is black."""
    paper: Floats = canvas.uniform(0.88, 1.0) - np.clip(taken, 0, 1) * canvas.uniform(0.8, 0.95)
    return paper


def _pet(cancer: bool, canvas: Canvas) -> Floats:
    """Head to thighs from the front: black brain, heart, kidneys and bladder in a pale body."""
    at = canvas.pose(0.08, (0.9, 1.15), 0.04, bend=0.015)
    x, y = at
    half = 0.36 + 0.06 * np.cos(4 * (y + 0.2)) + 0.1 * soft_step(y + 0.55, 0.2)
    trunk = soft_step(half - np.abs(x), 0.1) * soft_step(y + 0.58, 0.12)
    neck = soft_step(0.12 - np.abs(x), 0.08) * soft_step(-0.4 - y, 0.1)
    head = canvas.ellipse(at, (0, -0.82), (0.19, 0.22), 0.08)
    arms = np.zeros_like(x)
    for hand in (-1, 1):
        path = ((hand * 0.46, -0.45), (hand * 0.58, 0.05), (hand * 0.55, 0.5))
        arms = np.maximum(arms, along_path(at, path, (0.09, 0.07, 0.06)))
    legs = 1 - 0.8 * soft_step(0.04 - np.abs(x), 0.06) * soft_step(y - 0.65, 0.1)
    body = np.maximum(trunk * legs, arms * canvas.bernoulli(0.6))
    body = np.maximum(body, np.maximum(neck, head))
    taken = body * canvas.uniform(0.12, 0.3) * np.clip(1 + 0.15 * canvas.noise(6), 0.5, 1.5)
    taken = taken - 0.06 * canvas.ellipse(at, (0, -0.28), (0.3, 0.2), 0.15)
    brain = canvas.ellipse(at, (0, -0.86), (0.15, 0.15), 0.08)
    heart = canvas.ellipse(at, (0.1, -0.2), (0.12, 0.1), 0.1) * canvas.uniform(0, 1)
    liver = canvas.ellipse(at, (-0.17, 0.02), (0.2, 0.14), 0.1)
    bladder = canvas.ellipse(at, (0, 0.62), (0.1, canvas.uniform(0.06, 0.11)), 0.08)
    taken = np.maximum(taken, brain * canvas.uniform(0.75, 1))
    taken = np.maximum(taken, heart * canvas.bernoulli(0.6))
    taken = np.maximum(taken, liver * canvas.uniform(0.25, 0.45))
    taken = np.maximum(taken, bladder * canvas.uniform(0.7, 1))
    for hand in (-1, 1):
        kidney = canvas.ellipse(at, (hand * 0.18, 0.17), (0.06, 0.1), 0.08)
        taken = np.maximum(taken, kidney * canvas.uniform(0.35, 0.85))
    gut = np.clip(canvas.noise(7), 0, 1) * canvas.ellipse(at, (0.05, 0.32), (0.25, 0.18), 0.15)
    taken = np.maximum(taken, gut * canvas.uniform(0.1, 0.5))
    if cancer:
        taken = np.maximum(taken, _lesions(canvas, at, (0.3, 0.45), 0.1) * body)
    return _white(canvas, taken)


def _skeleton(canvas: Canvas, at: Coordinates) -> Floats:
    """All bones from the front, 0 to 1: skull, spine, ribs, pelvis, limbs."""
    x, y = np.abs(at[0]), at[1]
    half = x, y
    ribs = soft_step(np.cos(canvas.uniform(24, 32) * (y - 0.25 * x)), 0.8)
    cage = canvas.ellipse(half, (0, -0.35), (0.28, 0.27), 0.1) * (0.25 + 0.35 * ribs)
    skull = canvas.ellipse(half, (0, -0.86), (0.12, 0.13), 0.08) * 0.55
    spine = soft_step(0.04 - x, 0.06) * soft_step(y + 0.75, 0.1) * soft_step(0.2 - y, 0.1) * 0.8
    hips = canvas.ellipse(half, (0.13, 0.14), (0.12, 0.1), 0.09, 0.6) * 0.75
    shoulder = canvas.ellipse(half, (0.29, -0.55), (0.07, 0.06), 0.08) * 0.7
    thigh = rod(half, (0.18, 0.27), (0.14, 0.68), 0.035, 0, 0.08) * 0.5
    shin = rod(half, (0.14, 0.76), (0.13, 1.15), 0.03, 0, 0.08) * 0.45
    knee = canvas.ellipse(half, (0.14, 0.72), (0.06, 0.05), 0.08) * 0.6
    arm = along_path(half, ((0.33, -0.5), (0.42, -0.1), (0.46, 0.25)), (0.03, 0.025, 0.02)) * 0.4
    bones = cage
    for part in (skull, spine, hips, shoulder, thigh, shin, knee, arm):
        bones = np.maximum(bones, part)
    return bones


def _bone_scan(spread: bool, canvas: Canvas) -> Floats:
    """A whole skeleton; where cancer has spread, black spots in ribs, spine and pelvis."""
    at = canvas.pose(0.08, (0.9, 1.2), 0.05, bend=0.02)
    at = at[0] / canvas.uniform(1.0, 1.5), at[1]
    bones = _skeleton(canvas, at) * canvas.uniform(0.55, 1.0)
    body = canvas.ellipse(at, (0, -0.2), (0.36, 0.7), 0.2) * canvas.uniform(0.02, 0.12)
    bladder = canvas.ellipse(at, (0, 0.26), (0.06, 0.05), 0.08) * canvas.uniform(0.5, 1)
    taken = np.maximum(np.maximum(bones, body), bladder)
    if spread:
        taken = np.maximum(taken, _lesions(canvas, at, (0.26, 0.3), 0.08) * 1.1)
    return _white(canvas, taken * np.clip(1 + 0.1 * canvas.noise(8), 0.6, 1.4))


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.9, 1.05), (-0.03, 0.05), (0.75, 1.3), (0.2, 0.6), 0.04)


PET = Look(
    "pet", False,
    "PET of the body from the front, black on white: brain and bladder black, kidneys and heart "
    "dark, the rest pale.",
    (
        Kind("cancer", partial(_pet, True), "black spots elsewhere in the trunk", _METTLER),
        Kind("normal", partial(_pet, False), "black brain, bladder, heart, kidneys", _METTLER),
    ),
    _finish,
)  # fmt: skip
BONE_SCAN = Look(
    "bone_scan", False,
    "Bone scan of the whole body from the front: a thin dark skeleton on white.",
    (
        Kind("metastases", partial(_bone_scan, True), "black spots in the bones", _METTLER),
        Kind("normal", partial(_bone_scan, False), "even grey bones, both sides alike", _METTLER),
    ),
    _finish,
)  # fmt: skip

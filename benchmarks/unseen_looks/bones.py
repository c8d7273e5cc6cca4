"""X-ray films of a hand, a knee and the lower spine: bright bones in grey flesh, dark ground."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import Point, add, along_path, box, rod, side
from medlabel.phantoms.acquisition import collimate, expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, paint, soft_step

__all__ = ["HAND", "KNEE", "SPINE"]

_GREENSPAN = "Greenspan & Beltran, Orthopedic Imaging: A Practical Approach"


def _finish(canvas: Canvas, image: Floats) -> Floats:
    image = collimate(canvas, image, 0.1, 0.15)
    return expose(canvas, image, (0.8, 1.2), (-0.05, 0.08), (0.65, 1.5), (0.1, 0.5), 0.02)


# --- Hand ----------------------------------------------------------------------------------------


def _fingers(canvas: Canvas) -> list[tuple[Point, Point, Point]]:
    """Sample wrist end, knuckle and tip of the five rays of a hand; the first is the thumb."""
    fan, reach = canvas.uniform(0.6, 1.8), canvas.uniform(0.9, 1.1)
    rays: list[tuple[Point, Point, Point]] = [(
        (-0.14, 0.55), (-0.4, canvas.uniform(0.2, 0.35)),
        (-0.62 - 0.1 * fan, canvas.uniform(-0.25, 0.05)),
    )]  # fmt: skip
    for place, length in ((-0.27, 0.62), (-0.09, 0.72), (0.09, 0.66), (0.26, 0.48)):
        knuckle = place, -0.02 + 0.7 * place**2 + canvas.uniform(-0.03, 0.03)
        lean = fan * 0.45 * place + canvas.uniform(-0.05, 0.05)
        rays.append((
            (place * 0.45, 0.47), knuckle,
            (place + lean, knuckle[1] - length * reach * (1 - 0.3 * lean**2)),
        ))  # fmt: skip
    return rays


def _bones_of_ray(
    canvas: Canvas, at: Coordinates, ray: tuple[Point, Point, Point], broken: Floats
) -> Floats:
    """Metacarpal and three phalanges with the gaps of their joints, 0 to 1; one may be broken."""
    base, knuckle, tip = ray
    thick = canvas.uniform(0.05, 0.065)
    right, down = tip[0] - knuckle[0], tip[1] - knuckle[1]
    bones = rod(at, base, add(knuckle, 0, 0.06), thick * 1.05, 0.3, 0.06) * (1 - broken)
    for first, last in ((0.04, 0.42), (0.5, 0.74), (0.81, 1.0)):
        start, end = (add(knuckle, share * right, share * down) for share in (first, last))
        bones = np.maximum(bones, rod(at, start, end, thick * (1.05 - 0.3 * first), 0.3, 0.06))
    return np.maximum(bones, _broken(canvas, at, base, add(knuckle, 0, 0.05), thick) * broken)


def _broken(canvas: Canvas, at: Coordinates, start: Point, end: Point, thick: Floats) -> Floats:
    """A bone in two parts that stand at an angle, a dark gap between them, 0 to 1."""
    share, bend = canvas.uniform(0.35, 0.65), side(canvas) * canvas.uniform(0.08, 0.16)
    middle = (
        start[0] + share * (end[0] - start[0]) + bend,
        start[1] + share * (end[1] - start[1]),
    )
    near = rod(at, start, add(middle, 0, 0.05), thick, 0.2, 0.06)
    return np.maximum(near, rod(at, add(middle, -bend * 0.5, -0.07), end, thick, 0.2, 0.06))


def _hand(fractured: bool, canvas: Canvas) -> Floats:
    """A hand from the front, fingers up; in a fracture one or two metacarpals are broken."""
    at = canvas.pose(0.12, (0.85, 1.15), 0.35, bend=0.02)
    at = at[0] * side(canvas), at[1]
    rays = _fingers(canvas)
    flesh = canvas.ellipse(at, (-0.02, 0.22), (0.4, 0.42), 0.1, 0, 0.04)
    flesh = np.maximum(flesh, box(at, (0.02, 0.9), (canvas.uniform(0.26, 0.34), 0.5), 0, 0.1))
    worst = canvas.rng.integers(1, 5, (canvas.n, 1, 1))
    bones = np.zeros_like(flesh)
    for number, (base, knuckle, tip) in enumerate(rays):
        broken = (worst == number).astype(np.float32) * float(fractured)
        flesh = np.maximum(flesh, along_path(at, (base, knuckle, tip), (0.15, 0.13, 0.09), 0.08))
        bones = np.maximum(bones, _bones_of_ray(canvas, at, (base, knuckle, tip), broken))
    wrist = canvas.ellipse(at, (0.0, 0.58), (0.19, 0.13), 0.08, 0, 0.08)
    bones = np.maximum(bones, wrist * np.clip(0.75 + 0.25 * canvas.noise(9), 0.4, 1))
    for place, wide in ((-0.1, 0.1), (0.14, 0.055)):
        bones = np.maximum(bones, rod(at, (place, 0.78), (place * 0.9, 1.6), wide, 0.3, 0.06))
    ground = canvas.uniform(0.0, 0.12)
    image = paint(ground + 0 * flesh, ground + canvas.uniform(0.12, 0.3), flesh)
    grain = np.clip(1 + 0.08 * canvas.noise(8), 0.7, 1.3)
    found: Floats = image + bones * canvas.uniform(0.3, 0.6) * grain
    return found


# --- Knee ----------------------------------------------------------------------------------------


def _knee(worn: bool, canvas: Canvas) -> Floats:
    """A knee from the front: femur above, tibia and fibula below; worn, the gap is narrow."""
    at = canvas.pose(0.12, (0.9, 1.2), 0.12, bend=0.02)
    x, y = at[0] * side(canvas), at[1]
    at = x, y
    gap = canvas.uniform(0.0, 0.015) if worn else canvas.uniform(0.05, 0.08)
    worse = canvas.uniform(0.0, 0.05) if worn else 0.0
    spur = canvas.uniform(0.04, 0.12) if worn else 0.0
    flare = canvas.uniform(0.48, 0.58) + spur
    notch = 0.09 * np.exp(-((x / 0.13) ** 2)) + 0.03 * np.cos(7 * x)
    upper = -gap - notch - y - worse * x
    femur_half = 0.24 + (flare - 0.24) * np.clip((y + 0.6) / 0.45, 0, 1) ** 1.6
    femur = soft_step(upper, 0.06) * soft_step(femur_half - np.abs(x), 0.08)
    lower = y - gap - worse * x + 0.05 * np.exp(-((x / 0.07) ** 2)) - 0.03
    tibia_half = flare - (flare - 0.22) * np.clip((y - 0.12) / 0.55, 0, 1) ** 0.7
    tibia = soft_step(lower, 0.06) * soft_step(tibia_half - np.abs(x + 0.02), 0.08)
    fibula = along_path(at, ((0.5, 0.32), (0.43, 0.6), (0.4, 1.6)), (0.1, 0.06, 0.06), 0.07)
    patella = canvas.ellipse(at, (0.0, canvas.uniform(-0.5, -0.3)), (0.22, 0.22), 0.12)
    rims = np.exp(-((np.minimum(np.abs(upper), np.abs(lower)) / 0.06) ** 2)) * (femur + tibia)
    grain = np.clip(1 + 0.08 * canvas.noise(9) + 0.05 * canvas.noise(4), 0.6, 1.4)
    bone = np.maximum(femur, tibia) * 0.8 + 0.4 * fibula + 0.15 * patella * femur
    bone = bone * grain + rims * (canvas.uniform(0.2, 0.45) if worn else canvas.uniform(0.0, 0.15))
    shell = np.abs(np.abs(x) - np.where(y < 0, femur_half, tibia_half)) < 0.08
    bone = bone + 0.12 * shell * np.maximum(femur, tibia)
    width = canvas.uniform(0.65, 0.95) + 0.08 * canvas.noise(1) + 0.05 * np.cos(3 * y)
    flesh = soft_step(width - np.abs(x), 0.12)
    ground = canvas.uniform(0.0, 0.15)
    film: Floats = ground + flesh * canvas.uniform(0.15, 0.32) + bone * canvas.uniform(0.35, 0.6)
    return film


# --- Spine ---------------------------------------------------------------------------------------


def _vertebra(
    canvas: Canvas, at: Coordinates, centre: Point, half: Point, turn: Floats, crushed: Floats
) -> Floats:
    """A block with bright plates above and below; crushed, its front is lower than its back."""
    x, y = at[0] - centre[0], at[1] - centre[1]
    along, aside = np.cos(turn), np.sin(turn)
    x, y = along * x + aside * y, along * y - aside * x
    front = np.clip(0.5 - 0.5 * x / half[0], 0, 1)  # 1 at the front, the image's left
    top = half[1] * (1 - crushed * (0.35 + 0.9 * front)) + 0.05 * x**2
    reach = np.minimum(half[0] - np.abs(x) - 0.1 * (1 - (y / half[1]) ** 2) * half[0],
                       np.minimum(top + y, half[1] - y))  # fmt: skip
    body = soft_step(reach, 0.06)
    plates = np.exp(-((reach / 0.045) ** 2)) * soft_step(reach + 0.05, 0.05)
    block: Floats = body * canvas.uniform(0.75, 0.95) + plates * canvas.uniform(0.2, 0.45)
    return block


def _spine(crushed: bool, canvas: Canvas) -> Floats:
    """The lower spine from the side: blocks with gaps, spines behind, gas in front."""
    at = canvas.pose(0.12, (0.95, 1.2), 0.15, bend=0.02)
    x, y = at[0] * side(canvas), at[1]
    at = x, y
    curve, height = canvas.uniform(0.05, 0.25), canvas.uniform(0.36, 0.46)
    start, worst = canvas.uniform(-1.4, -1.05), canvas.rng.integers(2, 5, (canvas.n, 1, 1))
    bones = np.zeros_like(x)
    for number in range(7):
        level = start + number * height
        centre = -0.05 - curve * np.cos(1.3 * (level - 0.1)), level
        turn = curve * 1.3 * np.sin(1.3 * (level - 0.1)) * -1
        half = canvas.uniform(0.24, 0.29) + 0.01 * number, height * canvas.uniform(0.37, 0.42)
        low = (worst == number) * float(crushed) * canvas.uniform(0.5, 0.75)
        bones = np.maximum(bones, _vertebra(canvas, at, centre, half, turn, low))
        process = rod(at, add(centre, 0.4, 0.1), add(centre, 0.68, 0.2), 0.07, 0, 0.12)
        arch = rod(at, add(centre, 0.25, -0.06), add(centre, 0.45, 0.12), 0.05, 0, 0.12)
        bones = np.maximum(bones, 0.5 * np.maximum(process, arch))
    sacrum = canvas.ellipse(at, (0.15, 1.35), (0.45, 0.35), 0.15, 0.6)
    bones = np.maximum(bones, 0.6 * sacrum)
    gas = np.clip(canvas.noise(4) - 0.3, 0, 1.5) * soft_step(-0.35 - x, 0.3)
    back = soft_step(canvas.uniform(0.75, 1.1) + 0.1 * np.cos(2 * y) - x, 0.25)
    flesh = canvas.uniform(0.3, 0.5) + canvas.uniform(0, 0.12) * y + 0.03 * canvas.noise(3)
    image = flesh - 0.12 * gas + bones * canvas.uniform(0.25, 0.45)
    return paint(canvas.uniform(0.02, 0.12) + 0 * x, image, back)


HAND = Look(
    "hand", False,
    "X-ray of a hand from the front: five fingers with rows of bright bones, flesh around them, "
    "the wrist below, dark ground.",
    (
        Kind("fracture", partial(_hand, True), "a bone in two parts that stand at an angle",
             _GREENSPAN),
        Kind("normal", partial(_hand, False), "every bone whole, even gaps between them",
             _GREENSPAN),
    ),
    _finish,
)  # fmt: skip
KNEE = Look(
    "knee", False,
    "X-ray of a knee from the front: the broad end of the femur above the flat top of the tibia, "
    "the thin fibula beside it, a dark gap between.",
    (
        Kind("arthrosis", partial(_knee, True), "no gap, bright rims, spurs", _GREENSPAN),
        Kind("normal", partial(_knee, False), "an even dark gap", _GREENSPAN),
    ),
    _finish,
)  # fmt: skip
SPINE = Look(
    "spine", False,
    "X-ray of the lower spine from the side: a curved column of bright blocks with dark discs, "
    "processes behind, gas in front.",
    (
        Kind("fracture", partial(_spine, True), "one block is a wedge, low in front", _GREENSPAN),
        Kind("normal", partial(_spine, False), "every block is as high as its neighbours",
             _GREENSPAN),
    ),
    _finish,
)  # fmt: skip

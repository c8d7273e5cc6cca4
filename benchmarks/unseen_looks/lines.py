"""Pictures made of lines: angiogram, dental film, strip of a heart's beats, gel of proteins."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.unseen_looks.shapes import Point, along_path, side
from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Coordinates, Floats, paint, soft_step

__all__ = ["ANGIOGRAM", "DENTAL", "ECG", "GEL"]


# --- Angiogram -----------------------------------------------------------------------------------


def _vessel(
    canvas: Canvas, at: Coordinates, start: Point, angle: Floats, width: Floats, narrow: Floats
) -> tuple[Floats, list[Point]]:
    """A winding vessel of six pieces that tapers, and its points; `narrow` shrinks the third."""
    path, point = [start], start
    for _ in range(6):
        angle = angle + canvas.uniform(-0.35, 0.35)
        step = canvas.uniform(0.2, 0.32)
        point = point[0] + step * np.cos(angle), point[1] + step * np.sin(angle)
        path.append(point)
    widths = [width * (1 - 0.1 * number) for number in range(7)]
    widths[3] = widths[3] * (1 - narrow)
    return along_path(at, path, widths, 0.07), path


def _angiogram(stenosis: bool, canvas: Canvas) -> Floats:
    """Arteries of the heart: a dark tree on grey; a stenosis pinches or closes the trunk."""
    at = canvas.pose(0.1, (0.9, 1.15), 0.3, bend=0.03)
    at = at[0] * side(canvas), at[1]
    image = canvas.uniform(0.55, 0.75) + 0.06 * canvas.noise(2) + 0.03 * canvas.noise(6)
    spine = soft_step(0.2 - np.abs(at[0] - canvas.uniform(0.2, 0.9)), 0.3)
    ribs = np.sin(canvas.uniform(4, 7) * (at[1] + 0.4 * at[0]) + canvas.uniform(0, 6))
    image = image + canvas.uniform(-0.1, 0.1) * spine + canvas.uniform(0, 0.04) * ribs
    start = canvas.uniform(-0.75, -0.55), canvas.uniform(-0.75, -0.5)
    width = canvas.uniform(0.065, 0.105)
    narrow = canvas.uniform(0.9, 1.5) if stenosis else canvas.uniform(0.0, 0.05)
    trunk, path = _vessel(canvas, at, start, canvas.uniform(0.35, 0.9), width, narrow)
    tree = trunk
    for number, turn in ((1, 1.0), (2, -0.8), (4, 0.9)):
        angle = canvas.uniform(0.35, 0.9) + turn * canvas.uniform(0.6, 1.1)
        branch, _ = _vessel(canvas, at, path[number], angle, width * 0.6, np.zeros_like(width))
        tree = np.maximum(tree, branch * canvas.uniform(0.6, 1))
    around, _ = _vessel(canvas, at, start, canvas.uniform(1.2, 1.7), width * 0.9, 0 * width)
    tree = np.maximum(tree, around * canvas.bernoulli(0.8))
    catheter = along_path(at, ((-1.4, -1.5), (-0.9, -1.0), start), (0.05, 0.05, 0.05))
    dark = np.maximum(tree * canvas.uniform(0.6, 1), 0.5 * catheter)
    far = np.hypot(*canvas.coordinates())
    round_field = soft_step(far - 1.12, 0.08) * canvas.bernoulli(0.3)
    return paint(image - dark * canvas.uniform(0.3, 0.55), 0.02, round_field)


def _film_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.85, 1.15), (-0.05, 0.06), (0.7, 1.4), (0.1, 0.5), 0.03)


# --- Dental film ---------------------------------------------------------------------------------


def _teeth(canvas: Canvas, x: Floats, gum: Floats, up: float, missing: Floats) -> Floats:
    """A row of teeth with roots: bright crowns toward the bite, tapering roots, 0 to 1."""
    pitch = canvas.uniform(0.13, 0.17)
    cell = np.floor(x / pitch + 0.5)
    within = np.abs(x - cell * pitch) / pitch
    depth = gum * up  # 0 at the bite, grows along the root
    crown = soft_step((0.45 - within) * pitch, 0.05) * soft_step(depth, 0.05)
    crown = crown * soft_step(0.17 - depth, 0.06)
    root = soft_step((0.36 - 0.5 * np.clip(depth - 0.17, 0, 1) - within) * pitch, 0.05)
    root = root * soft_step(depth - 0.15, 0.06) * soft_step(canvas.uniform(0.4, 0.5) - depth, 0.1)
    row = np.maximum(crown, 0.65 * root) * soft_step(0.85 - np.abs(x), 0.1)
    hole = cell == canvas.rng.integers(-4, 5, (canvas.n, 1, 1))
    teeth: Floats = row * (1 - missing * hole)
    return teeth


def _dental(cyst: bool, canvas: Canvas) -> Floats:
    """A panorama of both jaws: two smiling rows of teeth, the bow of the lower jaw, dark air."""
    at = canvas.pose(0.08, (0.95, 1.1), 0.05, bend=0.02)
    x, y = at
    smile = canvas.uniform(0.15, 0.4)
    level = y - (0.05 - smile * x**2) + canvas.uniform(-0.08, 0.08)
    image: Floats = canvas.uniform(0.25, 0.4) + 0.04 * canvas.noise(4) + 0.03 * canvas.noise(9)
    edge = canvas.uniform(0.6, 0.72) - smile * x**2 * 1.1
    jaw = soft_step(edge - level, 0.07) * soft_step(level - 0.05, 0.1)
    image = image + jaw * canvas.uniform(0.12, 0.25)
    rim = np.exp(-(((level - edge + 0.06) / 0.06) ** 2)) * soft_step(0.95 - np.abs(x), 0.2)
    image = image + rim * canvas.uniform(0.1, 0.3)
    ramus = soft_step(0.13 - np.abs(np.abs(x) - 0.9 - 0.05 * y), 0.1) * soft_step(y + 0.7, 0.3)
    image = image + ramus * soft_step(0.45 - y, 0.15) * canvas.uniform(0.1, 0.25)
    sinus = np.maximum(*(canvas.ellipse(at, (hand * 0.38, -0.62), (0.26, 0.16), 0.12)
                         for hand in (-1, 1)))  # fmt: skip
    image = image - sinus * canvas.uniform(0.05, 0.2)
    below = soft_step(level - edge - 0.02, 0.08)
    image = paint(image, canvas.uniform(0.03, 0.15), below)
    spine = soft_step(0.12 - np.abs(x), 0.2) * canvas.uniform(0, 0.12)
    lost = canvas.bernoulli(0.4)
    lower = _teeth(canvas, x + canvas.uniform(-0.07, 0.07), level - 0.03, 1.0, lost)
    upper = _teeth(canvas, x + canvas.uniform(-0.07, 0.07), level + 0.03, -1.0, lost)
    image = image + spine + np.maximum(lower, upper) * canvas.uniform(0.3, 0.5)
    if cyst:
        place = side(canvas) * canvas.uniform(0.2, 0.65)
        middle = 0.42 - smile * place**2, canvas.uniform(0.14, 0.24)
        hole = canvas.ellipse(at, (place, middle[0]), (middle[1] * 1.1, middle[1]), 0.08, 0, 0.1)
        image = paint(image, canvas.uniform(0.05, 0.15), hole * canvas.uniform(0.8, 1))
    return image


# --- Strip of heart beats ------------------------------------------------------------------------


def _beat(time: Floats, flutter: bool) -> Floats:
    """The height of the trace at a time from a beat, upward positive: waves P, QRS and T."""
    wave = 0.12 * np.exp(-(((time + 0.16) / 0.035) ** 2)) * (not flutter)
    spike = np.exp(-((time / 0.03) ** 2)) - 0.25 * np.exp(-(((time - 0.06) / 0.025) ** 2))
    late: Floats = wave + spike + 0.25 * np.exp(-(((time - 0.24) / 0.06) ** 2))
    return late


def _trace(canvas: Canvas, irregular: bool) -> tuple[Floats, Floats]:
    """The lowest and the highest point of a trace within each column: [n,1,size]."""
    fine = 8
    time = (np.arange(canvas.size * fine) + 0.5) / (canvas.size * fine) * 2 - 1
    height: Floats = np.zeros((canvas.n, 1, len(time)), np.float32)
    every, when = canvas.uniform(0.4, 0.75), -1.4 + canvas.uniform(0, 0.5)
    for _ in range(12):
        height = height + _beat(time - when, irregular)
        when = when + every * (canvas.uniform(0.45, 1.55) if irregular else canvas.uniform(1, 1))
    if irregular:
        shiver = np.sin(canvas.uniform(35, 60) * time + canvas.uniform(0, 6))
        height = height + 0.06 * shiver * np.sin(canvas.uniform(3, 8) * time)
    columns = height.reshape(canvas.n, 1, canvas.size, fine)
    return columns.min(3), columns.max(3)


def _ecg(irregular: bool, canvas: Canvas) -> Floats:
    """Traces on squared paper; in fibrillation beats come at odd times, on an unsteady base."""
    x, y = canvas.pose(0.03, (0.98, 1.02), 0.03)
    pitch, phase = canvas.uniform(0.18, 0.3), canvas.uniform(0, 1)
    square = np.maximum(*(soft_step(0.02 - np.abs((axis / pitch + phase) % 1 - 0.5) * pitch, 0.06)
                          for axis in (x, y)))  # fmt: skip
    image: Floats = canvas.uniform(0.85, 1.0) - square * canvas.uniform(0.03, 0.2)
    two, tall, ink = canvas.bernoulli(0.5), canvas.uniform(0.5, 0.9), canvas.uniform(0.0, 0.25)
    low, high = _trace(canvas, irregular)
    for row, seen in ((-0.4, two), (0.55, two), (0.3, 1 - two)):
        scale = tall * (0.55 + 0.45 * (1 - two))
        outside = np.maximum(row - scale * high - y, y - row + scale * low)
        line = soft_step(canvas.uniform(0.0, 0.03) - outside, 0.08)
        image = paint(image, ink, line * seen)
    return image


def _paper_finish(canvas: Canvas, image: Floats) -> Floats:
    return expose(canvas, image, (0.9, 1.05), (-0.03, 0.03), (0.8, 1.2), (0.1, 0.4), 0.03)


# --- Gel -----------------------------------------------------------------------------------------


def _gel(spike: bool, canvas: Canvas) -> Floats:
    """Blood proteins spread in lanes: bands of different breadth; a myeloma adds one sharp band."""
    x, y = canvas.pose(0.05, (0.95, 1.05), 0.04, bend=0.02)
    count = canvas.rng.integers(4, 8, (canvas.n, 1, 1)).astype(np.float32)
    place = (x + 1) / 2 * count
    lane = np.floor(place)
    within = soft_step(0.38 - np.abs(place - lane - 0.5), 0.15)
    stain = np.zeros_like(x)
    bands = ((-0.75, 0.09, 1.0), (-0.4, 0.05, 0.3), (-0.12, 0.06, 0.45), (0.2, 0.06, 0.4))
    for level, wide, dark in (*bands, (0.62, 0.2, 0.35)):
        odd = 0.6 + 0.4 * np.sin(lane * canvas.uniform(1, 6) + canvas.uniform(0, 6))
        middle = level + canvas.uniform(-0.04, 0.04)
        smile = 0.03 * np.cos(np.pi * x / 2)
        stain = stain + dark * odd * np.exp(-(((y - middle - smile) / wide) ** 2))
    if spike:
        ill = canvas.rng.integers(1, 3, (canvas.n, 1, 1))
        middle = canvas.uniform(0.45, 0.8)
        sharp = np.exp(-(((y - middle) / 0.05) ** 2)) * ((lane + ill) % 2 == 0)
        stain = stain + 1.1 * sharp
    stain = within * np.clip(stain, 0, 1.1) * canvas.uniform(0.55, 0.85)
    return canvas.uniform(0.75, 0.97) - stain + 0.02 * canvas.noise(5)


ANGIOGRAM = Look(
    "angiogram", False,
    "Coronary angiogram: a dark branching tree of arteries on grey, a catheter above.",
    (
        Kind("stenosis", partial(_angiogram, True), "the trunk is pinched or closed at one place",
             "Topol & Teirstein, Textbook of Interventional Cardiology"),
        Kind("normal", partial(_angiogram, False), "arteries that taper evenly",
             "Topol & Teirstein, Textbook of Interventional Cardiology"),
    ),
    _film_finish,
)  # fmt: skip
DENTAL = Look(
    "dental", False,
    "Panoramic film of the jaws: two rows of bright teeth with roots, the bow of the lower jaw.",
    (
        Kind("cyst", partial(_dental, True), "a round dark hole in the lower jaw",
             "White & Pharoah, Oral Radiology"),
        Kind("normal", partial(_dental, False), "even bone below the teeth",
             "White & Pharoah, Oral Radiology"),
    ),
    _film_finish,
)  # fmt: skip
ECG = Look(
    "ecg", False,
    "Strip of an electrocardiogram: a dark trace with spikes on squared paper.",
    (
        Kind("fibrillation", partial(_ecg, True), "spikes at odd times, an unsteady base",
             "Goldberger, Clinical Electrocardiography"),
        Kind("normal", partial(_ecg, False), "spikes at even times, a small wave before each",
             "Goldberger, Clinical Electrocardiography"),
    ),
    _paper_finish,
)  # fmt: skip
GEL = Look(
    "gel", False,
    "Electrophoresis of proteins: lanes of dark bands on a pale gel.",
    (
        Kind("myeloma", partial(_gel, True), "one sharp dark band low in a lane",
             "Burtis, Tietz Textbook of Clinical Chemistry"),
        Kind("normal", partial(_gel, False), "soft bands, a faint broad one below",
             "Burtis, Tietz Textbook of Clinical Chemistry"),
    ),
    _paper_finish,
)  # fmt: skip

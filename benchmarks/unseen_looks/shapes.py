"""Straight bones, vessels and outlines, which the drawings of medlabel's own looks do not need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from medlabel.phantoms.parts import Canvas, Coordinates, Floats, soft_step

__all__ = ["Point", "add", "along_path", "box", "ring", "rod", "segment", "side"]

Number = Floats | float
Point = tuple[Number, Number]


def add(point: Point, right: Number, down: Number) -> Point:
    """Return the point moved to the right and down."""
    return point[0] + right, point[1] + down


def segment(at: Coordinates, start: Point, end: Point) -> tuple[Floats, Floats]:
    """Return the distance of every pixel to a line, and how far along it is, 0 to 1."""
    x, y = at[0] - np.float32(start[0]), at[1] - np.float32(start[1])
    right, down = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    along = np.clip((x * right + y * down) / (right**2 + down**2 + 1e-6), 0, 1)
    return np.hypot(x - along * right, y - along * down), along


def rod(
    at: Coordinates, start: Point, end: Point, width: Number, waist: Number = 0.0,
    soft: float = 0.08,
) -> Floats:  # fmt: skip
    """Return a rod with round ends [n,size,size]; its middle is thinner by the share `waist`."""
    distance, along = segment(at, start, end)
    return soft_step(width * (1 - waist * (1 - (2 * along - 1) ** 2)) - distance, soft)


def along_path(
    at: Coordinates, path: Sequence[Point], width: Sequence[Number], soft: float = 0.08
) -> Floats:
    """Return a tube along a path of points; `width` is its half width at each of them."""
    tube = np.zeros_like(at[0])
    for number, (start, end) in enumerate(pairwise(path)):
        distance, along = segment(at, start, end)
        wide = width[number] + (width[number + 1] - width[number]) * along
        tube = np.maximum(tube, soft_step(wide - distance, soft))
    return tube


def box(
    at: Coordinates, centre: Point, half: Point, turn: Number = 0.0, soft: float = 0.08
) -> Floats:
    """Return a filled rectangle [n,size,size], turned by an angle in radians."""
    x, y = at[0] - np.float32(centre[0]), at[1] - np.float32(centre[1])
    along, aside = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    across, down = np.abs(along * x + aside * y), np.abs(along * y - aside * x)
    return soft_step(np.minimum(half[0] - across, half[1] - down), soft)


def ring(outer: Floats, inner: Floats) -> Floats:
    """Return what lies in the outer shape and not in the inner one."""
    between: Floats = np.clip(outer - inner, 0, 1)
    return between


def side(canvas: Canvas) -> Floats:
    """Sample -1 or 1 per image: left or right."""
    return np.where(canvas.bernoulli(0.5) > 0, np.float32(1), np.float32(-1))

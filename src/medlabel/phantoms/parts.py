"""The pieces every phantom is made of: rng, coordinates, fields, outlines, spots, cells, vessels.

A `Canvas` is n blank square images and the rng that fill them. Whatever it rolls has shape
[n,1,1] (one number an image) or [n,size,size] (one a pixel), so pieces combine by arithmetic and
a whole canvas is drawn at once. Lengths are fractions of half the image's side: the picture spans
-1 to 1 in x (to the right) and in y (downwards), whatever its size in pixels. Brightness is 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Canvas",
    "Coordinates",
    "Floats",
    "mixture",
    "paint",
    "random_colour",
    "soft_step",
    "stain",
]

Floats = NDArray[np.floating[Any]]
Coordinates = tuple[Floats, Floats]
Range = tuple[float, float]


def soft_step(distance: Floats, soft: float | Floats = 0.1) -> Floats:
    """A soft edge, 0 outside to 1 inside; `distance` [n,size,size] is positive inside."""
    inside: Floats = np.clip(distance / soft + 0.5, 0, 1, dtype=np.float32)
    return inside


def paint(
    below: Floats, above: Floats | float | tuple[float, float, float], mask: Floats
) -> Floats:
    """`above` painted over `below` where the mask [n,size,size] is 1; in grey or in colour."""
    if below.ndim == mask.ndim + 1:
        mask = mask[..., None]
    painted: Floats = below + (np.asarray(above, np.float32) - below) * mask
    return painted


def stain(image: Floats, absorbed: Floats, amount: Floats) -> Floats:
    """Light [n,size,size,3] after a dye: Beer-Lambert, `absorbed` [n,1,1,3] at an amount of 1."""
    left: Floats = image * np.exp(-absorbed * amount[..., None])
    return left


@lru_cache(maxsize=256)
def _spline(cells: int, size: int) -> Floats:
    """Weights [size, cells + 3] that stretch random numbers on a coarse grid to smooth noise."""
    at = (np.arange(size) + 0.5) / size * cells
    t = np.abs(at[:, None] - (np.arange(cells + 3) - 1.0)[None])
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0))
    even: Floats = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return even


@dataclass(frozen=True)
class Canvas:
    """n square images of `size` pixels, and the random numbers that fill them.

    `spread` is how much of each range `between` uses, about its middle: 1 all of it, 0 none.
    """

    rng: np.random.Generator
    n: int
    size: int
    spread: float = 1.0

    def uniform(self, low: float, high: float) -> Floats:
        """One number an image, evenly spread: [n,1,1]."""
        middle, half = (low + high) / 2, self.spread * (high - low) / 2
        rolled = self.rng.uniform(-1, 1, (self.n, 1, 1))
        return (middle + half * rolled).astype(np.float32)

    def bernoulli(self, probability: float) -> Floats:
        """1 with this probability an image, else 0: [n,1,1]."""
        return (self.rng.random((self.n, 1, 1)) < probability).astype(np.float32)

    def normal(self, spread: float = 1.0) -> Floats:
        """One bell-shaped number an image: [n,1,1]."""
        return (self.rng.standard_normal((self.n, 1, 1)) * spread).astype(np.float32)

    def noise(self, across: int, down: int | None = None) -> Floats:
        """Smooth noise of mean 0 and spread 1, so many bumps across and down: [n,size,size]."""
        rows, columns = _spline(down or across, self.size), _spline(across, self.size)
        coarse = self.rng.standard_normal((self.n, rows.shape[1], columns.shape[1]), np.float32)
        return rows @ coarse @ columns.T

    def coordinates(self) -> Coordinates:
        """The coordinates of every pixel, unmoved: two arrays [n,size,size] (read-only)."""
        line = ((np.arange(self.size) + 0.5) / self.size * 2 - 1).astype(np.float32)
        shape = (self.n, self.size, self.size)
        return np.broadcast_to(line[None, None, :], shape), np.broadcast_to(
            line[None, :, None], shape
        )

    def pose(
        self, shift: float = 0.1, scale: Range = (0.9, 1.1), turn: float = 0.1, bend: float = 0.0
    ) -> Coordinates:
        """Coordinates moved, turned, zoomed and bent at random: what is drawn in them moves too.

        `scale` is the size of the subject, across and down apart; `turn` is in radians.
        """
        x, y = self.coordinates()
        angle = self.uniform(-turn, turn)
        x, y = x - self.uniform(-shift, shift), y - self.uniform(-shift, shift)
        along, aside = np.cos(angle), np.sin(angle)
        x, y = along * x + aside * y, along * y - aside * x
        x, y = x / self.uniform(*scale), y / self.uniform(*scale)
        if bend:
            x, y = x + bend * self.noise(2), y + bend * self.noise(2)
        return x, y

    def ellipse(
        self, at: Coordinates, centre: tuple[Floats | float, Floats | float],
        radii: tuple[Floats | float, Floats | float], soft: float | Floats = 0.1,
        turn: Floats | float = 0.0, ragged: float | Floats = 0.0, lobes: int = 3,
    ) -> Floats:  # fmt: skip
        """A filled ellipse [n,size,size]; `ragged` is how far noise moves its outline."""
        x, y = at[0] - np.float32(centre[0]), at[1] - np.float32(centre[1])
        along, aside = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        across = (along * x + aside * y) / np.float32(radii[0])
        down = (along * y - aside * x) / np.float32(radii[1])
        reach = 1 - np.sqrt(across * across + down * down)
        if np.any(ragged):
            reach = reach + ragged * self.noise(lobes)
        return soft_step(reach * np.float32((np.mean(radii[0]) + np.mean(radii[1])) / 2), soft)

    def spots(
        self, count: int, radius: Range, strength: Range = (1, 1), within: float = 1.1
    ) -> Floats:
        """A sum of `count` round bumps, strewn at random: [n,size,size], 1 at a bump's middle."""
        shape = (self.n, count, 1)
        line = ((np.arange(self.size) + 0.5) / self.size * 2 - 1).astype(np.float32)
        width = self.rng.uniform(*radius, shape).astype(np.float32)
        columns, rows = (
            np.exp(-(((line - self.rng.uniform(-within, within, shape)) / width) ** 2) / 2)
            for _ in range(2)
        )
        rows = rows * self.rng.uniform(*strength, shape)
        return rows.astype(np.float32).transpose(0, 2, 1) @ columns.astype(np.float32)

    def cell_walls(self, count: int, at: Coordinates | None = None) -> Floats:
        """How far a pixel is from the wall between two of `count` random cells: [n,size,size]."""
        x, y = at or self.coordinates()
        seeds = self.rng.uniform(-1.3, 1.3, (2, self.n, count, 1, 1)).astype(np.float32)
        distance = np.hypot(x[:, None] - seeds[0], y[:, None] - seeds[1])
        nearest = np.partition(distance, 1, axis=1)
        wall: Floats = nearest[:, 1] - nearest[:, 0]
        return wall

    def curve(self, at: Coordinates, start: Coordinates, bow: Floats, width: Floats) -> Floats:
        """A vessel or hair that leaves `start` along +x and bows away: [n,size,size]."""
        x, y = at[0] - start[0], at[1] - start[1]
        return soft_step(width - np.abs(y - bow * np.abs(x) ** 0.6), 0.09) * soft_step(x, 0.1)

    def pixel_noise(self, strength: Floats | float) -> Floats:
        """Pixel noise as a detector makes it, at the scale of 1/28 of the image or finer."""
        fine = self.rng.standard_normal((self.n, self.size, self.size), np.float32)
        if self.size > 56:
            fine = 0.5 * fine + 0.8 * self.noise(56)
        return fine * strength


def random_colour(canvas: Canvas, red: Range, green: Range, blue: Range) -> Floats:
    """One colour an image, evenly spread within the ranges: [n,1,1,3]."""
    low, high = np.array([red, green, blue], np.float32).T
    return canvas.rng.uniform(low, high, (canvas.n, 1, 1, 3)).astype(np.float32)


def mixture(
    canvas: Canvas,
    kinds: Sequence[Callable[[Canvas], Floats]],
    weights: Sequence[float] | None = None,
) -> Floats:
    """Each image drawn as one of the kinds, chosen at random: [n,size,size] or [n,size,size,3]."""
    odds = None if weights is None else np.asarray(weights) / np.sum(weights)
    chosen = canvas.rng.choice(len(kinds), canvas.n, p=odds)
    image: Floats | None = None
    for kind, draw in enumerate(kinds):
        where = np.flatnonzero(chosen == kind)
        if len(where):
            drawn = draw(replace(canvas, n=len(where)))
            if image is None:
                image = np.empty((canvas.n, *drawn.shape[1:]), np.float32)
            image[where] = drawn
    assert image is not None, "a canvas has at least one image"
    return image

"""Building blocks of phantoms: random numbers, coordinates, noise, outlines, spots, cells, vessels.

A `Canvas` is a batch of n blank square images with a random generator. Its random values have shape
[n,1,1] (one per image) or [n,size,size] (one per pixel), so that all n images are drawn at once by
broadcasting. Lengths are fractions of half the image's side: images span -1 to 1 in x (to the
right) and in y (downwards), whatever their size in pixels. Brightness is 0 to 1.
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
    """Return a soft edge, 0 outside and 1 inside, of a signed `distance` [n,size,size]."""
    inside: Floats = np.clip(distance / soft + 0.5, 0, 1, dtype=np.float32)
    return inside


def paint(
    below: Floats, above: Floats | float | tuple[float, float, float], mask: Floats
) -> Floats:
    """Blend `above` over `below` with the opacity `mask` [n,size,size], in grey or colour."""
    if below.ndim == mask.ndim + 1:
        mask = mask[..., None]
    painted: Floats = below + (np.asarray(above, np.float32) - below) * mask
    return painted


def stain(image: Floats, absorbed: Floats, amount: Floats) -> Floats:
    """Return light [n,size,size,3] after a dye, by Beer-Lambert's law.

    `absorbed` [n,1,1,3] is the absorbance per channel at an amount of 1.
    """
    left: Floats = image * np.exp(-absorbed * amount[..., None])
    return left


@lru_cache(maxsize=256)
def _spline(cells: int, size: int) -> Floats:
    """Return cubic B-spline weights [size, cells + 3] that interpolate a coarse grid of noise."""
    at = (np.arange(size) + 0.5) / size * cells
    t = np.abs(at[:, None] - (np.arange(cells + 3) - 1.0)[None])
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0))
    even: Floats = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return even


@dataclass(frozen=True)
class Canvas:
    """A batch of n square images of `size` pixels, with a random generator.

    `spread` is the fraction of each range, around its middle, that `uniform` uses.
    """

    rng: np.random.Generator
    n: int
    size: int
    spread: float = 1.0

    def uniform(self, low: float, high: float) -> Floats:
        """Sample one uniform number per image: [n,1,1]."""
        middle, half = (low + high) / 2, self.spread * (high - low) / 2
        sampled = self.rng.uniform(-1, 1, (self.n, 1, 1))
        return (middle + half * sampled).astype(np.float32)

    def bernoulli(self, probability: float) -> Floats:
        """Sample 1 with this probability, else 0, per image: [n,1,1]."""
        return (self.rng.random((self.n, 1, 1)) < probability).astype(np.float32)

    def normal(self, spread: float = 1.0) -> Floats:
        """Sample one normal number of mean 0 per image; `spread` is its deviation: [n,1,1]."""
        return (self.rng.standard_normal((self.n, 1, 1)) * spread).astype(np.float32)

    def noise(self, across: int, down: int | None = None) -> Floats:
        """Sample smooth noise, mean 0 and deviation 1, with this many bumps: [n,size,size]."""
        rows, columns = _spline(down or across, self.size), _spline(across, self.size)
        coarse = self.rng.standard_normal((self.n, rows.shape[1], columns.shape[1]), np.float32)
        return rows @ coarse @ columns.T

    def coordinates(self) -> Coordinates:
        """Return the coordinates x and y of every pixel: two read-only arrays [n,size,size]."""
        line = ((np.arange(self.size) + 0.5) / self.size * 2 - 1).astype(np.float32)
        shape = (self.n, self.size, self.size)
        return np.broadcast_to(line[None, None, :], shape), np.broadcast_to(
            line[None, :, None], shape
        )

    def pose(
        self, shift: float = 0.1, scale: Range = (0.9, 1.1), turn: float = 0.1, bend: float = 0.0
    ) -> Coordinates:
        """Return randomly shifted, rotated, scaled and bent coordinates, to draw a subject in them.

        `scale` is the size of the subject, sampled separately in x and y; `turn` is in radians.
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
        """Return a filled ellipse [n,size,size]; noise moves its outline by up to `ragged`."""
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
        """Return a sum of `count` Gaussian spots at random places: [n,size,size], peak 1."""
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
        """Return the distance of pixels to the walls of `count` Voronoi cells: [n,size,size]."""
        x, y = at or self.coordinates()
        seeds = self.rng.uniform(-1.3, 1.3, (2, self.n, count, 1, 1)).astype(np.float32)
        distance = np.hypot(x[:, None] - seeds[0], y[:, None] - seeds[1])
        nearest = np.partition(distance, 1, axis=1)
        wall: Floats = nearest[:, 1] - nearest[:, 0]
        return wall

    def curve(self, at: Coordinates, start: Coordinates, bow: Floats, width: Floats) -> Floats:
        """Return a vessel or hair from `start` along +x that bends away: [n,size,size]."""
        x, y = at[0] - start[0], at[1] - start[1]
        return soft_step(width - np.abs(y - bow * np.abs(x) ** 0.6), 0.09) * soft_step(x, 0.1)

    def pixel_noise(self, strength: Floats | float) -> Floats:
        """Sample detector noise, at the scale of 1/28 of the image or finer: [n,size,size]."""
        fine = self.rng.standard_normal((self.n, self.size, self.size), np.float32)
        if self.size > 56:
            fine = 0.5 * fine + 0.8 * self.noise(56)
        return fine * strength


def random_colour(canvas: Canvas, red: Range, green: Range, blue: Range) -> Floats:
    """Sample one uniform colour per image from ranges per channel: [n,1,1,3]."""
    low, high = np.array([red, green, blue], np.float32).T
    return canvas.rng.uniform(low, high, (canvas.n, 1, 1, 3)).astype(np.float32)


def mixture(
    canvas: Canvas,
    kinds: Sequence[Callable[[Canvas], Floats]],
    weights: Sequence[float] | None = None,
) -> Floats:
    """Draw each image as a randomly chosen kind: [n,size,size] or [n,size,size,3]."""
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

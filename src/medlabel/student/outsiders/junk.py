"""Images of nothing in particular, and images of a pool made wrong: examples of outsiders.

They show a detector what lies outside of a pool where no drawn look does: random textures, random
shapes, plain and shaded areas, and the pool's own images turned, mirrored, inverted, cut up,
enlarged and blended. Images of random processes train useful features (Baradad et al. 2021).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["SIDE", "altered", "junk"]

SIDE = 28  # pixels: side of the images that outsiders are looked for at

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def junk(rng: np.random.Generator, n: int, colour: bool) -> Pixels:
    """Return n random images, uint8 [n, 28, 28] or, in colour, [n, 28, 28, 3].

    >>> junk(np.random.default_rng(0), 4, colour=True).shape
    (4, 28, 28, 3)
    """
    makers = (_textures, _shapes, _plain)
    grey = np.concatenate([make(rng, -(-n // len(makers))) for make in makers])
    grey = grey[rng.permutation(len(grey))[:n]]
    return (255 * (_tinted(rng, grey) if colour else grey)).astype(np.uint8)


def altered(rng: np.random.Generator, images: Pixels, n: int) -> Pixels:
    """Return n images of a pool, each altered in one of six ways or, in colour, of eight.

    Args:
        rng: generator of random numbers.
        images: uint8 [N, S, S] or [N, S, S, 3].
        n: number of images to return.

    Returns:
        uint8 [n, S, S] or [n, S, S, 3].
    """
    grey = images.ndim == 3 or bool((images == images[..., :1]).all())
    alterations = _ALTERATIONS if grey else (*_ALTERATIONS, _faded, _recoloured)
    chosen = images[rng.integers(0, len(images), n)]
    ways = rng.integers(0, len(alterations), n)
    made = [alterations[way](rng, image, images) for way, image in zip(ways, chosen, strict=True)]
    return np.stack(made) if n else chosen


def _textures(rng: np.random.Generator, n: int) -> Floats:
    """Noise whose power falls with the spatial frequency, from white to very smooth."""
    along = np.fft.fftfreq(SIDE)
    frequency = np.hypot(along[:, None], along)
    frequency[0, 0] = 1 / SIDE
    fall = frequency ** -rng.uniform(0, 3, (n, 1, 1))
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, SIDE, SIDE))) * fall).real
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    noise /= noise.std(axis=(1, 2), keepdims=True)
    level, contrast = rng.normal(0.5, 0.2, (n, 1, 1)), rng.uniform(0.03, 0.35, (n, 1, 1))
    return np.clip(level + contrast * noise, 0, 1)


def _shapes(rng: np.random.Generator, n: int) -> Floats:
    """Ellipses, rectangles and bars on top of each other, few or many, sharp or blurred."""
    images = np.stack([_few_shapes(rng) for _ in range(n)])
    grain = rng.choice([0, 0.02, 0.08], (n, 1, 1))
    return np.clip(images + grain * rng.normal(size=images.shape), 0, 1)


def _few_shapes(rng: np.random.Generator) -> Floats:
    rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    image: Floats = np.full((SIDE, SIDE), rng.choice([0, 0, 1, rng.random()]))
    for _ in range(rng.integers(1, 40 if rng.random() < 0.5 else 7)):
        (x, y), turn = rng.random(2), rng.uniform(0, np.pi)
        radius, narrow = np.exp(rng.uniform(np.log(0.05), np.log(0.5))), rng.uniform(0.4, 1)
        along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        inside = (
            (along / radius) ** 2 + (across / (radius * narrow)) ** 2 < 1,
            (abs(along) < radius) & (abs(across) < radius * narrow),
            (abs(along) < 2 * radius) & (abs(across) < 0.15 * radius),
        )[rng.integers(3)]
        image[inside] = rng.random() + rng.uniform(-0.3, 0.3) * along[inside] / radius
    return np.asarray(gaussian_filter(image, rng.uniform(0, 1.5)))


def _plain(rng: np.random.Generator, n: int) -> Floats:
    """One grey level, or a ramp between two, with or without noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    turn, slope = rng.uniform(0, 2 * np.pi, (n, 1, 1)), rng.choice([0, 0.3, 1.5], (n, 1, 1))
    ramp = slope * (np.cos(turn) * columns + np.sin(turn) * rows)
    noise = rng.normal(size=(n, SIDE, SIDE)) * rng.choice([0, 0.01, 0.05, 0.3], (n, 1, 1))
    return np.asarray(np.clip(rng.random((n, 1, 1)) + ramp + noise, 0, 1))


def _tinted(rng: np.random.Generator, grey: Floats) -> Floats:
    """Grey images [n, S, S] between two random colours, mixed with the grey: [n, S, S, 3]."""
    n, wide = len(grey), grey[..., None]
    bright, dark = rng.random((2, n, 1, 1, 3))
    tint = rng.choice([0, 0.3, 1], (n, 1, 1, 1))
    mixed = wide * (1 - tint) + (bright * wide + dark * (1 - wide)) * tint
    return np.asarray(np.clip(mixed, 0, 1))


def _inverted(_rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    return 255 - image


def _turned(rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    turned: Pixels = np.rot90(image, int(rng.integers(1, 4)))
    return turned


def _upside_down(_rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    return image[::-1]


def _cut_up(rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    """The image in 2 x 2 or 4 x 4 tiles, in random order; what is left over stays."""
    tiles = int(rng.choice([2, 4]))
    side, made = len(image) // tiles, image.copy()
    places = [(row * side, column * side) for row in range(tiles) for column in range(tiles)]
    for (to_y, to_x), place in zip(places, rng.permutation(len(places)), strict=True):
        y, x = places[place]
        made[to_y : to_y + side, to_x : to_x + side] = image[y : y + side, x : x + side]
    return made


def _enlarged(rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    """A random square of a quarter to three fifths of the side, by nearest neighbours."""
    whole = len(image)
    side = max(1, int(whole * rng.uniform(0.25, 0.6)))
    y, x = rng.integers(0, whole - side + 1, 2)
    nearest = np.arange(whole) * side // whole
    found: Pixels = image[y + nearest][:, x + nearest]
    return found


def _blended(rng: np.random.Generator, image: Pixels, pool: Pixels) -> Pixels:
    """The mean of the image and of another one, turned."""
    other: Pixels = np.rot90(pool[rng.integers(len(pool))], int(rng.integers(4)))
    share = rng.uniform(0.3, 0.7)
    return np.asarray(share * image + (1 - share) * other, dtype=np.uint8)


def _faded(rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    """The image with at most a third of its colour."""
    grey = image.mean(axis=2, keepdims=True)
    return np.asarray(grey + rng.choice([0, 0.33]) * (image - grey), dtype=np.uint8)


def _recoloured(rng: np.random.Generator, image: Pixels, _pool: Pixels) -> Pixels:
    """The image with its channels in another order."""
    orders = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return image[..., list(orders[rng.integers(len(orders))])]


_ALTERATIONS: tuple[Callable[[np.random.Generator, Pixels, Pixels], Pixels], ...] = (
    *(_inverted, _turned, _upside_down, _cut_up, _enlarged, _blended),
)

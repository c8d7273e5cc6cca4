"""What may happen to known images before a teacher sees them, as situations to try its doubt on.

    turned = distort(images, "upside down", seed=0)

`DISTORTIONS` names them all. Labels stay right under those in `HARMLESS`; under those in `EMPTY`
nothing of the image is left, so that no label can be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from medlabel.errors import MedlabelError

__all__ = ["DISTORTIONS", "EMPTY", "HARMLESS", "distort"]

Images = NDArray[np.uint8]
"""[n, size, size] in grey or [n, size, size, 3] in colour."""

Change = Callable[[Images, np.random.Generator], Images]


def _per_image(numbers: NDArray[np.float64], images: Images) -> NDArray[np.float64]:
    """Reshape [n] to broadcast with images."""
    return numbers.reshape(-1, *[1] * (images.ndim - 1))


def _bytes(values: NDArray[np.float64]) -> Images:
    return np.round(np.clip(values, 0, 255)).astype(np.uint8)


def _quarter(images: Images, rng: np.random.Generator) -> Images:
    """One corner, a quarter of the area, enlarged to the size of the image."""
    half = images.shape[1] // 2
    corners = rng.integers(2, size=(len(images), 2)) * (images.shape[1] - half)
    crops = [
        image[row : row + half, column : column + half]
        for image, (row, column) in zip(images, corners, strict=True)
    ]
    side = images.shape[1:3][::-1]
    return np.stack([np.asarray(Image.fromarray(crop).resize(side)) for crop in crops])


def _noise(images: Images, rng: np.random.Generator) -> Images:
    """Noise as strong as the whole range of an image."""
    strength = _per_image(rng.uniform(50, 110, len(images)), images)
    return _bytes(images + strength * rng.standard_normal(images.shape))


def _blur(images: Images, rng: np.random.Generator) -> Images:
    """A Gaussian blur of an eighth of the image's side."""
    wide = images.shape[1] / 8
    sigma = (0, wide, wide, *[0] * (images.ndim - 3))
    return _bytes(ndimage.gaussian_filter(images.astype(np.float64), sigma))


def _low_contrast(images: Images, rng: np.random.Generator) -> Images:
    """A fifth to a tenth of the contrast, about a grey that differs from image to image."""
    share = _per_image(rng.uniform(0.1, 0.2, len(images)), images)
    level = _per_image(rng.uniform(60, 190, len(images)), images)
    mean = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return _bytes(level + share * (images - mean))


def _shuffled(images: Images, rng: np.random.Generator) -> Images:
    """Sixteen patches in another order, differently in each image."""
    side = images.shape[1] // 4
    changed = images.copy()
    for number, image in enumerate(images):
        for place, source in enumerate(rng.permutation(16)):
            (row, column), (top, left) = divmod(place, 4), divmod(int(source), 4)
            patch = image[top * side : (top + 1) * side, left * side : (left + 1) * side]
            changed[number, row * side : (row + 1) * side, column * side : (column + 1) * side] = (
                patch
            )
    return changed


def _grey(images: Images, rng: np.random.Generator) -> Images:
    """One even grey per image."""
    level = _per_image(rng.uniform(40, 215, len(images)), images)
    return _bytes(np.broadcast_to(level, images.shape).astype(np.float64))


def _text(images: Images, rng: np.random.Generator) -> Images:
    """A page of letters, black on white or white on black, in place of the image."""
    size = images.shape[1]
    pages = []
    for _ in images:
        ground, ink = (255, 0) if rng.random() < 0.5 else (0, 255)
        page = Image.new("L", (size * 4, size * 4), ground)
        lines = ["".join(chr(65 + letter) for letter in rng.integers(26, size=8)) for _ in range(6)]
        ImageDraw.Draw(page).multiline_text(
            (rng.uniform(0, 12), rng.uniform(0, 12)), "\n".join(lines), fill=ink,
            font_size=size * 4 // 8,
        )  # fmt: skip
        pages.append(np.asarray(page.resize((size, size), Image.Resampling.BOX)))
    grey = np.stack(pages)
    return grey if images.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)


DISTORTIONS: Mapping[str, Change] = MappingProxyType({
    "upside down": lambda images, rng: images[:, ::-1],
    "rotated": lambda images, rng: np.rot90(images, axes=(1, 2)),
    "mirrored": lambda images, rng: images[:, :, ::-1],
    "inverted": lambda images, rng: 255 - images,
    "quarter": _quarter,
    "noise": _noise,
    "blur": _blur,
    "low contrast": _low_contrast,
    "shuffled": _shuffled,
    "black": lambda images, rng: np.zeros_like(images),
    "grey": _grey,
    "text": _text,
})  # fmt: skip
"""Every distortion by name: from images and a generator to images of the same shape."""

HARMLESS = ("upside down", "rotated", "mirrored", "low contrast")
"""After these a radiologist still reads an image, unless its class is a side of the body."""

EMPTY = ("black", "grey", "text")
"""After these nothing of an image is left."""


def distort(images: Images, how: str, seed: int) -> Images:
    """Return distorted copies of images; `how` is a name in `DISTORTIONS`.

    Args:
        images: uint8 [n, size, size] or [n, size, size, 3].
        how: what to do to them.
        seed: of all random numbers.

    Returns:
        uint8, of the shape of `images`.

    Raises:
        MedlabelError: there is no such distortion.

    >>> distort(np.array([[[0, 200]] * 2], np.uint8), "inverted", 0).tolist()
    [[[255, 55], [255, 55]]]
    """
    if how not in DISTORTIONS:
        raise MedlabelError(f"no distortion {how!r}: choose from {', '.join(DISTORTIONS)}")
    rng = np.random.default_rng([seed, *how.encode()])
    return np.ascontiguousarray(DISTORTIONS[how](images, rng))

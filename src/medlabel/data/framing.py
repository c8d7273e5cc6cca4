"""Crop, pad and resize images of any shape to the square input of a CLIP or of a student.

This module does not import torch, because worker processes that only read files need none: without
it such a process starts in one second instead of eight and takes a quarter of the memory.
open_clip is imported when the first image is framed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CentreSquare", "Framing", "chroma_of", "grey_if_possible"]

_CHROMA_GRID = 32  # pixels per side that the chroma of an image is measured at


@dataclass(frozen=True)
class Framing:
    """The geometric part of a CLIP's preprocessing.

    Attributes:
        size: side of the model's square input in pixels.
        mode: open_clip's `resize_mode`: `shortest`, `longest` or `squash`.
        interpolation: open_clip's name of the interpolation, such as `bicubic`.
    """

    size: int
    mode: str
    interpolation: str

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize, crop or pad uint8 [H, W] or [H, W, 3] to [size, size] or [size, size, 3]."""
        import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

        import open_clip  # isort: skip

        steps = open_clip.image_transform(
            self.size, is_train=False, resize_mode=self.mode, interpolation=self.interpolation
        ).transforms
        framed: Any = Image.fromarray(image)
        for step in steps[:-3]:  # the last three convert it to a normalised RGB tensor
            framed = step(framed)
        return np.asarray(framed)


@dataclass(frozen=True)
class CentreSquare:
    """A student's preprocessing: the centre square, resized, as MedMNIST prepared its images.

    Attributes:
        size: side of the square in pixels.
        channels: 1 for grey, 3 for colour.
    """

    size: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output: (size, size) or (size, size, 3)."""
        return (self.size, self.size) if self.channels == 1 else (self.size, self.size, 3)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the centre square of uint8 [H, W] or [H, W, 3], resized bicubically.

        >>> CentreSquare(28, 1)(np.zeros((40, 60), np.uint8)).shape
        (28, 28)
        """
        if image.shape == self.shape:
            return image
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        mode = "L" if self.channels == 1 else "RGB"
        square = Image.fromarray(image).convert(mode).crop((left, top, left + side, top + side))
        if side != self.size:
            square = square.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.array(square)  # a copy, because Pillow's own buffer is read-only


def chroma_of(image: NDArray[np.uint8]) -> float:
    """Return how far the centre square of an image is from grey: 0 for grey, at most 1.

    It is the mean difference between the largest and the smallest channel, in parts of 255, at a
    regular grid of at most some 32 x 32 pixels. A student of grey images never sees it, because its
    input is grey already.

    >>> chroma_of(np.full((40, 60, 3), 90, np.uint8)), chroma_of(np.zeros((40, 60), np.uint8))
    (0.0, 0.0)
    >>> red = np.zeros((40, 60, 3), np.uint8)
    >>> red[..., 0] = 255
    >>> chroma_of(red)
    1.0

    Args:
        image: uint8 [H, W] or [H, W, 3].
    """
    if image.ndim == 2:
        return 0.0
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    step = max(1, side // _CHROMA_GRID)
    some = image[top : top + side : step, left : left + side : step]
    return float(np.ptp(some, axis=2).mean() / 255)


def grey_if_possible(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB images [N, S, S, 3] as [N, S, S] if in all of them the three channels are equal."""
    return images[..., 0] if (images == images[..., :1]).all() else images

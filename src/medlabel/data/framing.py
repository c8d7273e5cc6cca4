"""How an image of any shape becomes the square that a CLIP, or a student, sees.

A module of its own, so that those who read files, far from the model, need not import torch: a
reader starts in a second instead of eight, and is a quarter of the size. open_clip is imported by
the first image that has to be framed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CentreSquare", "Framing", "grey_if_possible"]


@dataclass(frozen=True)
class Framing:
    """A model's geometry: the side of its square, and how open_clip's own transform gets there."""

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
        for step in steps[:-3]:  # the last three make a normalised RGB tensor of it
            framed = step(framed)
        return np.asarray(framed)


@dataclass(frozen=True)
class CentreSquare:
    """How a student sees an image: as MedMNIST made its own, the centre square, resized.

    Attributes:
        size: side of the square in pixels.
        channels: 1 for grey, 3 for colour.
    """

    size: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what comes out."""
        return (self.size, self.size) if self.channels == 1 else (self.size, self.size, 3)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The centre square of uint8 [H, W] or [H, W, 3], resized bicubically."""
        if image.shape == self.shape:
            return image
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        mode = "L" if self.channels == 1 else "RGB"
        square = Image.fromarray(image).convert(mode).crop((left, top, left + side, top + side))
        if side != self.size:
            square = square.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.array(square)  # a copy: Pillow's own is read-only


def grey_if_possible(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB images [N, S, S, 3] as [N, S, S] if in all of them the three channels are equal."""
    return images[..., 0] if (images == images[..., :1]).all() else images

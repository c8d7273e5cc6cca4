"""What is not of a pool: drawn images of all looks, junk, and the pool's own images altered."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel import phantoms
from medlabel.student.outsiders.encoder import shipped_encoder
from medlabel.student.outsiders.junk import junk

__all__ = ["background_features"]

_PER_LOOK, _JUNK = 100, 300
_SEED = 30_000  # of the drawings: no task uses such a seed, nor did the encoder's training
_LOOKS = 12  # looks that users add follow after these


@cache
def background_features(channels: int) -> tuple[NDArray[np.float32], ...]:
    """Return the encoder's features of drawn images and junk, float32 [n, D] per group.

    The groups are the twelve looks and the junk. Drawing takes about a second, once per process.

    Args:
        channels: 1 for grey students, to whom colours are shown grey; 3 for colour.
    """
    encoder = shipped_encoder(channels)
    drawn = [
        _with_channels(phantoms.draw(flag, _PER_LOOK, _SEED), channels)
        for flag in list(phantoms.LOOKS)[:_LOOKS]
    ]
    rng = np.random.default_rng(_SEED)
    return tuple(encoder(images) for images in (*drawn, junk(rng, _JUNK, colour=channels == 3)))


def _with_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return images as a student with this number of channels is shown them."""
    mode = "L" if channels == 1 else "RGB"
    return np.stack([np.asarray(Image.fromarray(image).convert(mode)) for image in images])

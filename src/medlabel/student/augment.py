"""Random changes to images that leave their class as it was, at levels that fit a modality.

| level | what changes |
| --- | --- |
| `none` | nothing |
| `light` | position by a pixel or two, contrast, brightness |
| `films` | also left and right, more of both, and the field of a few: radiographs, scans, grey |
| `cells` | as `films` but no field; any quarter turn, and the tint: microscopy and photographs |

Strong changes of light keep a student from the short cuts that a weak teacher takes. No level adds
noise to pixels: it hides the texture that tells grey sets apart, and cost a student two points.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["AUGMENTATIONS", "Augmentation", "augment", "augmentation_for"]

_SHIFT = 2 / 28  # of the side
_MARGIN = 0.3  # of the side, at most


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are changed; brightness and tint are of 0..255.

    Attributes:
        contrast: spread of the factor around mid-grey.
        brightness: spread of what is added to all pixels of an image.
        flip: mirror half of the images.
        turns: turn images by quarters and flip them upside down.
        tint: spread of what is added to each channel of an image.
        collimated: share of the images whose field is cut.
    """

    contrast: float = 0.2
    brightness: float = 20.0
    flip: bool = False
    turns: bool = False
    tint: float = 0.0
    collimated: float = 0.0


AUGMENTATIONS = {
    "light": Augmentation(contrast=0.1, brightness=10.0),
    "films": Augmentation(flip=True, collimated=0.05),
    "cells": Augmentation(flip=True, turns=True, tint=10.0),
}


def augmentation_for(name: str, images: NDArray[np.uint8]) -> Augmentation | None:
    """The level of that name, None for `none`; `auto` goes by whether all images are in colour."""
    if name == "auto":
        name = "cells" if images.ndim == 4 and _in_colour(images) else "films"
    return AUGMENTATIONS.get(name)


def _in_colour(images: NDArray[np.uint8]) -> bool:
    """Whether nearly all images have channels that differ: grey ones may lie among them."""
    differ = (images != images[..., :1]).any(axis=(1, 2, 3))
    return bool(differ.mean() > 0.99)


def augment(batch: Tensor, level: Augmentation, rng: torch.Generator) -> Tensor:
    """Changed copies of float pixels [N, C, S, S] in 0..255; all chance comes from `rng`."""
    n, device = len(batch), batch.device
    reach = max(1, round(batch.shape[-1] * _SHIFT))
    shift = torch.randint(-reach, reach + 1, (2,), generator=rng).tolist()
    moved = torch.roll(batch, shift, dims=(2, 3))
    if level.flip:
        flip = (torch.rand(n, 1, 1, 1, generator=rng) < 0.5).to(device)
        moved = torch.where(flip, moved.flip(3), moved)
    if level.turns:
        moved = _rotate(moved, rng)
    contrast = 1 + level.contrast * torch.randn(n, 1, 1, 1, generator=rng).to(device)
    changed = (
        (moved - 127.5) * contrast + 127.5 + _brightness_and_tint(batch, level, rng).to(device)
    )
    changed = changed.clamp(0, 255)
    if level.collimated:
        changed = changed * _collimate(n, batch.shape[-1], level.collimated, rng).to(device)
    return changed.contiguous(memory_format=torch.channels_last)


def _rotate(batch: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the images upside down, half transposed: with a mirror, all eight positions."""
    for turned in (batch.flip(2), None):
        chosen = (torch.rand(len(batch), 1, 1, 1, generator=rng) < 0.5).to(batch.device)
        batch = torch.where(chosen, batch.transpose(2, 3) if turned is None else turned, batch)
    return batch


def _brightness_and_tint(batch: Tensor, level: Augmentation, rng: torch.Generator) -> Tensor:
    """What is added to pixels: brightness and tint."""
    n, channels = batch.shape[:2]
    added = level.brightness * torch.randn(n, 1, 1, 1, generator=rng)
    if level.tint:
        added = added + level.tint * torch.randn(n, channels, 1, 1, generator=rng)
    return added


def _collimate(n: int, side: int, share: float, rng: torch.Generator) -> Tensor:
    """Where light falls, bool [n, 1, side, side]: all of most images, of some a smaller rectangle.

    Films are collimated and scans have margins, some far wider than the rest of their set.
    """
    margins = torch.randint(0, int(side * _MARGIN) + 1, (4, n, 1), generator=rng)
    margins = margins * (torch.rand(n, 1, generator=rng) < share)
    top, bottom, left, right = margins
    at = torch.arange(side)
    rows, columns = (at >= top) & (at < side - bottom), (at >= left) & (at < side - right)
    field: Tensor = rows[:, :, None] & columns[:, None, :]
    return field[:, None]

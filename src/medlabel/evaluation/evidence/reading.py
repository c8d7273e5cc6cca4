"""Ask teachers about images and class names, for the signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.evaluation.evidence.signals import Floats, Reading
from medlabel.evaluation.evidence.world import World
from medlabel.teacher.clip import Clip
from medlabel.teacher.zero_shot import class_embeddings

__all__ = ["WORDINGS", "Witness", "changed_views", "read_task"]

WORDINGS = (
    "{}", "a photo of {}", "an image of {}", "a medical image: {}", "a scan showing {}",
)  # fmt: skip
"""Templates in which the names of the classes are read beside their captions."""

_NOISE = 10.0  # standard deviation, in grey levels of 255
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Witness:
    """A teacher that is asked, and what it knows."""

    clip: Clip
    world: World


def read_task(witness: Witness, images: Images, captions: Mapping[str, Sequence[str]]) -> Reading:
    """Embed images and captions by one teacher.

    Args:
        witness: the teacher.
        images: uint8 [N, S, S] or [N, S, S, 3].
        captions: of each class, by its name.
    """
    embed = witness.clip.embed_texts
    worded = [
        class_embeddings([[wording.format(name)] for name in captions], embed)
        for wording in WORDINGS
    ]
    return Reading(
        witness.clip.embed_images(images),
        class_embeddings(list(captions.values()), embed),
        np.stack(worded),
        witness.clip.logit_scale,
        witness.world,
    )


def changed_views(clip: Clip, images: Images) -> list[Floats]:
    """Embed the images with less contrast, with noise, and shifted by a pixel."""
    return [clip.embed_images(view) for view in _views(images.astype(np.float32))]


def _views(pixels: Floats) -> Iterator[Images]:
    rng = np.random.default_rng(0)
    mean = pixels.mean()
    yield _bytes((pixels - mean) * 0.75 + mean * 0.9)
    yield _bytes(pixels + rng.normal(0, _NOISE, pixels.shape).astype(np.float32))
    yield _bytes(np.roll(pixels, (1, 1), (1, 2)))


def _bytes(pixels: Floats) -> Images:
    return np.clip(pixels, 0, 255).astype(np.uint8)

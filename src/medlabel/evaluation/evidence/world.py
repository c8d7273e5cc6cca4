"""What a teacher knows: a reference of drawn images and their captions, embedded by it.

The phantom teachers were trained on drawings of these kinds, so that an image far from all of them
is outside of what they know. For any other CLIP it is a reference, and not its world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.phantoms import LOOKS, draw_look
from medlabel.teacher.captions import captions_for, class_labels
from medlabel.teacher.clip import Clip
from medlabel.teacher.zero_shot import class_embeddings

__all__ = ["World", "nearest_looks", "world_of"]

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

_DRAWN_PER_LOOK = 150
_SEED = 8800  # of the reference's drawings; no teacher is trained on it
_NEAREST = 5


@dataclass(frozen=True)
class World:
    """A reference of L looks, embedded by one teacher.

    Attributes:
        looks: flags of the looks.
        captions: embeddings of the captions of looks and of their classes, float32 [C, D].
        caption_looks: the number of the look of each, int64 [C].
        whole: whether a caption is of a look as a whole, bool [C].
        images: embeddings of drawn images, float32 [R, D].
        image_looks: the number of the look of each, int64 [R].
        nearness: for each look, its drawings' similarities to their nearest others, ascending.
    """

    looks: tuple[str, ...]
    captions: Floats
    caption_looks: Numbers
    whole: NDArray[np.bool_]
    images: Floats
    image_looks: Numbers
    nearness: tuple[Floats, ...]


def world_of(clip: Clip, left_out: Sequence[str] = ()) -> World:
    """Embed the reference.

    Args:
        clip: the teacher.
        left_out: looks and kinds (`octmnist`, `octmnist#3`) that the teacher was trained without.
    """
    looks = tuple(flag for flag in LOOKS if flag not in left_out)
    texts, of_look, whole = _captions(looks, left_out)
    images, image_looks = _drawings(clip, looks, left_out)
    similar = images @ images.T
    np.fill_diagonal(similar, -1)
    near = _mean_of_largest(similar)
    return World(
        looks, class_embeddings(texts, clip.embed_texts), of_look, whole, images, image_looks,
        tuple(np.sort(near[image_looks == number]) for number in range(len(looks))),
    )  # fmt: skip


def _captions(
    looks: Sequence[str], left_out: Sequence[str]
) -> tuple[list[tuple[str, ...]], Numbers, NDArray[np.bool_]]:
    texts, of_look, whole = [], [], []
    for number, flag in enumerate(looks):
        for label in (None, *class_labels(flag)):
            if f"{flag}#{label}" not in left_out:
                texts.append(captions_for(flag, flag=flag, label=label))
                of_look.append(number)
                whole.append(label is None)
    return texts, np.array(of_look), np.array(whole)


def _drawings(clip: Clip, looks: Sequence[str], left_out: Sequence[str]) -> tuple[Floats, Numbers]:
    embeddings, numbers = [], []
    for number, flag in enumerate(looks):
        images, kinds = draw_look(LOOKS[flag], _DRAWN_PER_LOOK, _SEED, even=True)
        kept = np.array([f"{flag}#{kind}" not in left_out for kind in kinds])
        embeddings.append(clip.embed_images(images[kept]))
        numbers += [number] * int(kept.sum())
    return np.concatenate(embeddings), np.array(numbers)


def nearest_looks(images: Floats, world: World) -> tuple[Numbers, Floats]:
    """Find the drawn look that images are most like.

    Args:
        images: embeddings by the world's teacher, float32 [N, D].
        world: of the teacher.

    Returns:
        The number of the look of most of the five nearest drawings, int64 [N]; and how near they
        are, float32 [N]: the share of that look's own drawings that are farther from their
        neighbours. 0.5 is as near as a drawing of it, 0 is farther than all of them.
    """
    similar = images @ world.images.T
    nearest = np.argpartition(-similar, _NEAREST, axis=1)[:, :_NEAREST]
    votes = world.image_looks[nearest]
    looks = np.array([np.bincount(row).argmax() for row in votes])
    near = _mean_of_largest(similar)
    rank = [
        np.searchsorted(world.nearness[look], value) / len(world.nearness[look])
        for look, value in zip(looks, near, strict=True)
    ]
    return looks, np.asarray(rank, dtype=np.float32)


def _mean_of_largest(similar: Floats) -> Floats:
    """Return the mean of the five largest values of each row."""
    largest = np.partition(similar, -_NEAREST, axis=1)[:, -_NEAREST:]
    return np.asarray(largest.mean(axis=1), dtype=np.float32)

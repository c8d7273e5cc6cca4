"""The images of the situations: real sets, drawn sets, looks that nobody learned, further files.

| name | images |
| --- | --- |
| `real:FLAG` | the real images of a set, all splits |
| `drawn:FLAG` | phantoms of a look, drawn with a seed that no teacher was trained on |
| `unseen:FLAG` | a look of `benchmarks.unseen_looks` |
| `extra:NAME` | `NAME.npz` in a folder of further real images, its array `images` |
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import FILES
from benchmarks.distortions import distort
from benchmarks.guessing.classes import PER_TASK, Group, NamedClass, Situation
from benchmarks.unseen_looks import unseen
from medlabel.phantoms import LOOKS, draw_look

__all__ = ["Gathered", "extra_names", "gather"]

_DRAWN_SEED = 5000  # teachers have seeds below 10
_DRAWN = 1200
_NO_CLASS = -1


@dataclass(frozen=True)
class Gathered:
    """The images of a situation.

    Attributes:
        images: uint8 [N, 28, 28], or [N, 28, 28, 3] if any is in colour.
        truth: the class of each, int64 [N]; -1 if every label of it is wrong.
        test: whether it is kept from the student's pool, bool [N].
    """

    images: NDArray[np.uint8]
    truth: NDArray[np.int64]
    test: NDArray[np.bool_]


def extra_names(folder: Path | None) -> list[str]:
    """The names of the further files, sorted."""
    return [] if folder is None else sorted(path.stem for path in folder.glob("*.npz"))


def gather(situation: Situation, data_root: Path, extras: Path | None) -> Gathered:
    """Sample the images of a situation; the same ones at every call."""
    rng = np.random.default_rng(zlib.crc32(situation.name.encode()))
    shares = np.array([one.share for one in situation.classes])
    wanted = PER_TASK * (1 - situation.foreign_share) * shares / max(shares.sum(), 1e-9)
    at_hand = [_at_hand(one, data_root, extras) for one in situation.classes]
    scarce = min([1.0, *(have / want for have, want in zip(at_hand, wanted, strict=True) if want)])
    counts = np.round(wanted * scarce).astype(int)  # so that shares are as they are stated
    parts: list[NDArray[np.uint8]] = []
    truth: list[int] = []
    for label, (one, count) in enumerate(zip(situation.classes, counts, strict=True)):
        for group in one.groups if count else ():
            n = round(int(count) * group.share / sum(each.share for each in one.groups))
            parts.append(_sample(group, n, rng, data_root, extras))
            truth += [label] * len(parts[-1])
    for group in situation.foreign:
        n = round(PER_TASK * situation.foreign_share / len(situation.foreign))
        parts.append(_sample(group, n, rng, data_root, extras))
        truth += [_NO_CLASS] * len(parts[-1])
    images, labels = _stack(parts), np.array(truth)
    if situation.distortion is not None:
        images = distort(images, situation.distortion, zlib.crc32(situation.name.encode()))
    order = rng.permutation(len(images))
    return Gathered(images[order], labels[order], np.arange(len(images)) % 2 == 1)


def _stack(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Join grey and colour images; grey ones are repeated over the channels if need be."""
    if len({part.ndim for part in parts}) == 1:
        return np.concatenate(parts)
    return np.concatenate([
        part if part.ndim == 4 else np.repeat(part[..., None], 3, axis=3) for part in parts
    ])  # fmt: skip


def _sample(
    group: Group, n: int, rng: np.random.Generator, data_root: Path, extras: Path | None
) -> NDArray[np.uint8]:
    images, _ = _open(group.images, data_root, extras)
    rows = _rows(group, data_root, extras)
    return np.asarray(images[rng.permutation(rows)[:n]])


def _at_hand(one: NamedClass, data_root: Path, extras: Path | None) -> float:
    """How many images of a class there can be, with the shares of its groups."""
    whole = sum(group.share for group in one.groups)
    have = [len(_rows(group, data_root, extras)) * whole / group.share for group in one.groups]
    return min(have, default=0.0)


def _rows(group: Group, data_root: Path, extras: Path | None) -> NDArray[np.int64]:
    """The rows of a group in its set."""
    images, labels = _open(group.images, data_root, extras)
    fits = np.ones(len(images), dtype=bool)
    if group.labels is not None:
        fits = _with_any(labels, group.labels)
    if group.without is not None:
        fits &= ~_with_any(labels, group.without)
    return np.flatnonzero(fits)


def _with_any(labels: NDArray[np.int64], wanted: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether each image has one of some labels; labels are [N, 1], or one column per finding."""
    if labels.shape[1] == 1:
        return np.isin(labels[:, 0], wanted)
    return np.asarray(labels[:, list(wanted)].any(axis=1))


@cache
def _open(
    name: str, data_root: Path, extras: Path | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images of a set and their labels, int64 [N, L]."""
    where, _, what = name.partition(":")
    if where == "real":
        with np.load(data_root / FILES[what.removesuffix("mnist")], allow_pickle=False) as arrays:
            return _all_splits(arrays)
    if where == "extra":
        assert extras is not None
        with np.load(extras / f"{what}.npz", allow_pickle=False) as arrays:
            return np.asarray(arrays["images"], np.uint8), np.zeros(
                (len(arrays["images"]), 1), dtype=np.int64
            )
    if where == "unseen":
        images, kinds = unseen(what, _DRAWN, _DRAWN_SEED)
    else:
        images, kinds = draw_look(LOOKS[what], _DRAWN, _DRAWN_SEED, even=True)
    return images, kinds[:, None]


def _all_splits(
    arrays: Mapping[str, NDArray[np.generic]],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    splits = ("train", "val", "test")
    images = np.concatenate([arrays[f"{split}_images"] for split in splits])
    labels = np.concatenate([arrays[f"{split}_labels"] for split in splits])
    return images.astype(np.uint8), labels.astype(np.int64)

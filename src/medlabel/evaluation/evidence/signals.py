"""Signals on whether teachers read the images: figures from embeddings of images and captions.

| signal | figure |
| --- | --- |
| `agreement` | share of images to which teachers of different training seeds give the same label |
| `kappa` | the same as Cohen's kappa, 0 if they all give one label only |
| `look_agreement` | share of images in which they see the same kind of image among all they know |
| `drawing_agreement` | the same, by the drawn images that are nearest |
| `look_by_drawing` | share of images whose caption of a look and whose nearest drawings agree |
| `meaning_agreement` | share of classes whose captions mean the same kind of image to them |
| `meaning` | cosine of the captions of the least known class and the nearest known caption |
| `meaning_mean` | the same, mean over the classes |
| `in_task` | share of images that look like one of the task's classes, among all known looks |
| `assigned` | share of images that look like the class that they were given |
| `assigned_by_drawing` | the same, by the drawn images that are nearest |
| `nearness` | how near the images are to drawn ones (see `world.nearest_looks`), mean |
| `far` | share of images that look like nothing that was drawn |
| `gap` | cosine with the best caption of the task, minus that with the best of all captions |
| `wordings` | share of images that keep their label if the names stand in other templates |
| `views` | share of images that keep their label when shifted, darkened or noisy |
| `caption_similarity` | largest cosine of the captions of two classes |
| `confidence` | mean probability of the likeliest class, over the mean of all teachers |
| `balance` | 1 if all classes are given equally often, 0 if there is only one |
| `neighbours` | kappa of the labels of images and of their nearest neighbours |
| `unknown` | share of classes whose words the teacher never learned |
| `half_known` | share of classes of which it has learned only some words |

Shares of images with the same label are scaled so that 0 is chance with K equally frequent classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.evaluation.diagnostics import kappa
from medlabel.evaluation.evidence.world import World, nearest_looks
from medlabel.teacher.names.learned_words import Learned
from medlabel.teacher.zero_shot import score

__all__ = [
    "ENSEMBLE_SIGNALS",
    "FAR",
    "SIGNALS",
    "Observation",
    "Reading",
    "beyond_chance",
    "compute_evidence_signals",
    "observe",
]

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

FAR = 0.02  # nearness below which an image looks like nothing that was drawn
_NEIGHBOURS = 10

ENSEMBLE_SIGNALS = (
    "agreement", "kappa", "look_agreement", "drawing_agreement", "meaning_agreement",
)  # fmt: skip
"""Signals that need several teachers."""

SIGNALS = (
    *ENSEMBLE_SIGNALS, "look_by_drawing", "meaning", "meaning_mean", "in_task", "assigned",
    "assigned_by_drawing", "nearness", "far", "gap", "wordings", "views", "caption_similarity",
    "confidence", "balance", "neighbours", "unknown", "half_known",
)  # fmt: skip
"""All signals, in the order of the calibration's columns."""


@dataclass(frozen=True)
class Reading:
    """What one teacher makes of N images and K classes.

    Attributes:
        images: embeddings, float32 [N, D].
        classes: embeddings of the classes' captions, float32 [K, D].
        wordings: embeddings of the classes' names in other templates, float32 [W, K, D].
        logit_scale: of the teacher.
        world: what it knows.
    """

    images: Floats
    classes: Floats
    wordings: Floats
    logit_scale: float
    world: World


@dataclass(frozen=True)
class Observation:
    """One teacher's observations of N images and K classes.

    Attributes:
        labels: the class of each image, int64 [N].
        scores: float32 [N, K].
        seen: the look that each image is, by the captions of looks, int64 [N].
        drawn: the look of the nearest drawings, int64 [N].
        nearness: of the drawings, float32 [N].
        meant: the look that each class means, int64 [K].
        meaning: cosine of each class with the nearest known caption, float32 [K].
    """

    labels: Numbers
    scores: Floats
    seen: Numbers
    drawn: Numbers
    nearness: Floats
    meant: Numbers
    meaning: Floats


def observe(reading: Reading) -> Observation:
    """Return what a teacher sees in the images and means by the classes."""
    world = reading.world
    scores = score(reading.images, reading.classes, reading.logit_scale)
    similar = reading.images @ world.captions[world.whole].T
    drawn, nearness = nearest_looks(reading.images, world)
    known = reading.classes @ world.captions.T
    return Observation(
        labels=scores.argmax(axis=1),
        scores=scores,
        seen=world.caption_looks[world.whole][similar.argmax(axis=1)],
        drawn=drawn,
        nearness=nearness,
        meant=world.caption_looks[known.argmax(axis=1)],
        meaning=known.max(axis=1),
    )


def compute_evidence_signals(
    readings: Sequence[Reading], views: Sequence[Floats], learned: Mapping[str, Learned]
) -> dict[str, float]:
    """Compute all signals of a task; those of several teachers are NaN if there is only one.

    Args:
        readings: of the teacher that labels, and of others after it.
        views: embeddings of changed images by the first teacher, each float32 [N, D].
        learned: whether the words of each class were learned (`words_learned`).
    """
    seen = [observe(reading) for reading in readings]
    k = len(readings[0].classes)
    found = _of_teachers(seen, k) if len(seen) > 1 else dict.fromkeys(ENSEMBLE_SIGNALS, np.nan)
    found |= _of_world(readings, seen)
    found |= _of_labels(readings, views, seen, k)
    levels = list(learned.values())
    found["unknown"] = levels.count("none") / len(levels)
    found["half_known"] = levels.count("some") / len(levels)
    return {name: float(found[name]) for name in SIGNALS}


def _same(labellings: Sequence[Numbers]) -> float:
    """Return the share of equal entries, mean over all pairs."""
    return float(np.mean([np.mean(one == other) for one, other in combinations(labellings, 2)]))


def beyond_chance(share: float, k: int) -> float:
    """Scale a share of equal labels so that 0 is chance with k equally frequent classes.

    >>> beyond_chance(0.75, 2)
    0.5
    """
    return (share - 1 / k) / (1 - 1 / k)


def _of_teachers(seen: Sequence[Observation], k: int) -> dict[str, float]:
    """The signals of several teachers."""
    labels = [each.labels for each in seen]
    kappas = [kappa(one, other, k)[0] for one, other in combinations(labels, 2)]
    return {
        "agreement": beyond_chance(_same(labels), k),
        "kappa": float(np.mean(kappas)),
        "look_agreement": _same([each.seen for each in seen]),
        "drawing_agreement": _same([each.drawn for each in seen]),
        "meaning_agreement": _same([each.meant for each in seen]),
    }


def _of_world(readings: Sequence[Reading], seen: Sequence[Observation]) -> dict[str, float]:
    """The signals that compare images and captions with what the teachers know."""
    nearness = np.mean([each.nearness for each in seen], axis=0)
    meaning = np.mean([each.meaning for each in seen], axis=0)
    gaps = [
        (reading.images @ reading.classes.T).max(axis=1)
        - (reading.images @ reading.world.captions.T).max(axis=1)
        for reading in readings
    ]
    return {
        "look_by_drawing": _mean(np.mean(each.seen == each.drawn) for each in seen),
        "meaning": float(meaning.min()),
        "meaning_mean": float(meaning.mean()),
        "in_task": _mean(np.mean(np.isin(each.seen, each.meant)) for each in seen),
        "assigned": _mean(np.mean(each.seen == each.meant[each.labels]) for each in seen),
        "assigned_by_drawing": _mean(
            np.mean(each.drawn == each.meant[each.labels]) for each in seen
        ),
        "nearness": float(nearness.mean()),
        "far": float((nearness < FAR).mean()),
        "gap": float(np.mean(gaps)),
    }


def _of_labels(
    readings: Sequence[Reading], views: Sequence[Floats], seen: Sequence[Observation], k: int
) -> dict[str, float]:
    """The signals of captions, wordings, views and labels."""
    worded = _mean(
        np.mean((reading.images @ classes.T).argmax(axis=1) == each.labels)
        for reading, each in zip(readings, seen, strict=True)
        for classes in reading.wordings
    )
    moved = _mean(
        np.mean((view @ readings[0].classes.T).argmax(axis=1) == seen[0].labels) for view in views
    )
    similar = np.mean([reading.classes @ reading.classes.T for reading in readings], axis=0)
    scores = np.mean([each.scores for each in seen], axis=0)
    shares = np.bincount(seen[0].labels, minlength=k) / len(seen[0].labels)
    return {
        "wordings": beyond_chance(worded, k),
        "views": beyond_chance(moved, k),
        "caption_similarity": float(similar[~np.eye(k, dtype=bool)].max()),
        "confidence": beyond_chance(float(scores.max(axis=1).mean()), k),
        "balance": beyond_chance(float(np.minimum(shares, 1 / k).sum()), k),
        "neighbours": _with_neighbours(seen[0].labels, readings[0].images, k),
    }


def _with_neighbours(labels: Numbers, images: Floats, k: int) -> float:
    """Return the kappa of the labels of images and of their nearest neighbours; 0 for one image."""
    if (count := min(_NEIGHBOURS, len(labels) - 1)) == 0:
        return 0.0
    similar = images @ images.T
    np.fill_diagonal(similar, -1)
    nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    return kappa(np.repeat(labels, count), labels[nearest].ravel(), k)[0]


def _mean(values: Iterable[Any]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")

"""Label-free diagnostics: evidence, without true labels, on whether a run can be trusted.

Every figure is a Cohen's kappa (1960) or on its scale: 0 is agreement by chance, 1 is perfect.

| figure | agreement | doubtful if |
| --- | --- | --- |
| `confidence` | the teacher's mean top probability, from chance (0) to certainty (1) | chance |
| `teacher` | student and teacher, on images that no student was trained on | chance |
| `students` | students of different seeds | below 0.5 |
| `neighbours` | the student's labels of an image and of its nearest neighbours | below 0.5 |
| `balance` | frequencies of the student's labels and the balanced sample | below 0.5 |

A figure is at chance level if it is at most three standard errors, under independence, above 0 on
the images of one seed: a one-sided p of 0.001 for kappas. For `confidence`, a mean of
probabilities, the same distance is a rule of thumb. No threshold was fitted to true labels, but
`confidence` was added because the other four missed one real task (pneumonia against normal, with
the phantom teacher). No figure can detect a teacher that is confidently and consistently wrong, for
instance one that distinguishes two classes by their brightness.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

__all__ = [
    "MIN_SHARED_PER_CLASS",
    "Diagnostics",
    "Signals",
    "best_seed_index",
    "compute_signals",
    "diagnostic_warnings",
    "kappa",
    "pixel_features",
    "student_agreement",
    "summarise_diagnostics",
]

Labels = NDArray[np.int64]

CHANCE_LIMIT = 3.0  # standard errors
HALF = 0.5
MIN_SHARED_PER_CLASS = 10  # test images per class that two students must share to be compared
_NEAREST = 10
_GRID = 14  # side in pixels at which images are compared if there are no embeddings


@dataclass(frozen=True)
class Signals:
    """The label-free figures of one seed; see the table in this module.

    Attributes:
        teacher: kappa of student and teacher on the test images.
        teacher_error: standard error of that kappa under independence.
        neighbours: kappa of the labels of images and of their nearest neighbours.
        balance: 1 if the student predicts all classes equally often, 0 if only one.
        sure: how often the teacher is right by its own probabilities: 0 like a guess, 1 always.
        sure_error: standard error of that share for guesses on as many images.
    """

    teacher: float
    teacher_error: float
    neighbours: float
    balance: float
    confidence: float
    confidence_error: float


@dataclass(frozen=True)
class Diagnostics:
    """The diagnostics of a run: medians over its seeds, and warnings.

    Attributes:
        n_seeds: number of seeds.
        signals: medians over the seeds.
        students: mean kappa between students of different seeds; None for a single seed.
        warnings: sentences for the user; empty if no figure is doubtful.
    """

    n_seeds: int
    signals: Signals
    students: float | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the content of `diagnostics.json`."""
        return asdict(self)


def kappa(first: Labels, second: Labels, k: int) -> tuple[float, float]:
    """Return Cohen's kappa of two labellings [N] with k classes, and its standard error.

    The standard error under independence is that of Fleiss, Cohen & Everitt (1969, eq. 15). Kappa
    is 0 if both labellings use the same single class, where it is undefined.

    >>> kappa(np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0]), 2)
    (0.0, 0.5)
    """
    # scikit-learn has no error, and a warning and NaN for the degenerate case; statsmodels (65 MB)
    # has both. Either takes a hundred times as long and gives other last digits.
    table = np.zeros((k, k))
    np.add.at(table, (first, second), 1 / len(first))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = float(rows @ columns)
    if np.isclose(chance, 1):
        return 0.0, 0.0
    spread = chance + chance**2 - float((rows * columns * (rows + columns)).sum())
    error = np.sqrt(max(spread, 0.0) / len(first)) / (1 - chance)
    return float((np.trace(table) - chance) / (1 - chance)), float(error)


def compute_signals(
    teacher: NDArray[np.floating], student: NDArray[np.floating], features: NDArray[np.floating]
) -> Signals:
    """Compute the signals of one seed.

    Args:
        teacher: scores [N, K] of images that the student was not trained on.
        student: the student's probabilities [N, K] of the same images.
        features: embeddings of the same images [N, D], or `pixel_features`.
    """
    k = student.shape[1]
    given, found = teacher.argmax(axis=1), student.argmax(axis=1)
    agreement, error = kappa(given, found, k)
    beyond = 1 - 1 / k
    return Signals(
        teacher=agreement,
        teacher_error=error,
        neighbours=_with_neighbours(found, features, k),
        balance=_balance(found, k),
        confidence=float((teacher.astype(np.float64).max(axis=1).mean() - 1 / k) / beyond),
        confidence_error=float(np.sqrt(beyond / k / len(given)) / beyond),
    )


def _with_neighbours(labels: Labels, features: NDArray[np.floating], k: int) -> float:
    """Return the kappa of the labels of images and of their nearest neighbours."""
    near = max(1, min(_NEAREST, len(labels) // (4 * k)))  # far fewer than images per class
    points = features.astype(np.float32)
    found = NearestNeighbors(n_neighbors=near).fit(points).kneighbors(return_distance=False)
    return kappa(np.repeat(labels, near), labels[found].ravel(), k)[0]


def _balance(labels: Labels, k: int) -> float:
    """Return the highest accuracy possible with these label frequencies, scaled from chance to 1.

    The true classes are assumed to be equally frequent.
    """
    shares = np.bincount(labels, minlength=k) / len(labels)
    reach = float(np.minimum(shares, 1 / k).sum())
    return (reach - 1 / k) / (1 - 1 / k)


def pixel_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images [N, S, S(, 3)] averaged to 14 x 14 pixels, as float32 [N, D] from 0 to 1."""
    stack = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    small = [
        torch.nn.functional.adaptive_avg_pool2d(part.permute(0, 3, 1, 2).float() / 255, _GRID)
        for part in stack.split(512)
    ]
    return np.asarray(torch.cat(small).flatten(1))


def student_agreement(labels_by_seed: Sequence[Mapping[str, int]], k: int) -> float | None:
    """Return the mean kappa of students of successive seeds, on the test images they share.

    Args:
        labels_by_seed: for each seed, the student's labels by image id.
        k: number of classes.

    Returns:
        None if no two successive seeds share enough images.
    """
    found = list(_agreements(pairwise(labels_by_seed), k))
    return float(np.mean(found)) if found else None


def _agreements(
    pairs: Iterable[tuple[Mapping[str, int], Mapping[str, int]]], k: int
) -> Iterator[float]:
    """Yield the kappa of each pair of labellings that share enough images.

    Samples from a large set may share only a handful, whose kappa would be noise.
    """
    for one, other in pairs:
        shared = sorted(one.keys() & other.keys())
        if len(shared) >= MIN_SHARED_PER_CLASS * k:
            first, second = (
                np.array([by_id[i] for i in shared], np.int64) for by_id in (one, other)
            )
            yield kappa(first, second, k)[0]


def best_seed_index(
    each: Sequence[Signals], labels_by_seed: Sequence[Mapping[str, int]], k: int
) -> int:
    """Choose the student to publish by label-free figures on images it was not trained on.

    It has the highest sum of `balance`, `neighbours`, and mean kappa with the students of the other
    seeds. The validation loss on pseudo-labels is not used: it is lowest where the teacher's
    mistakes were learned best, and in `benchmarks/noise.py` it selected students no better than
    chance. (The true labels of that benchmark are also how these three figures were chosen among
    six.)

    Args:
        each: the signals of each seed.
        labels_by_seed: for each seed, the student's labels by image id. Kappas are ignored if
            a student shares too few images with all others.
        k: number of classes.

    Returns:
        The index of the seed; the first one in case of a tie.
    """
    shared = [
        list(
            _agreements(((own, other) for at, other in enumerate(labels_by_seed) if at != index), k)
        )
        for index, own in enumerate(labels_by_seed)
    ]
    known = all(shared)  # otherwise students would be compared by different figures
    return int(
        np.argmax(
            [
                found.balance + found.neighbours + (float(np.mean(kappas)) if known else 0.0)
                for found, kappas in zip(each, shared, strict=True)
            ]
        )
    )


def summarise_diagnostics(each: Sequence[Signals], students: float | None) -> Diagnostics:
    """Summarise a run: medians over its seeds, and the warnings that follow from them."""
    rows = [asdict(one) for one in each]
    middle = Signals(**{key: float(np.median([row[key] for row in rows])) for key in rows[0]})
    return Diagnostics(len(each), middle, students, diagnostic_warnings(middle, students))


def diagnostic_warnings(found: Signals, students: float | None = None) -> tuple[str, ...]:
    """Return the warnings for doubtful figures; empty if there are none."""
    warnings = []
    if found.confidence <= CHANCE_LIMIT * found.confidence_error:
        warnings.append(
            "By its own probabilities the teacher is hardly more often right than a guess "
            f"({_beyond(found.confidence)}): it does not know these classes, or its scores need a "
            "lower temperature."
        )
    if found.teacher <= CHANCE_LIMIT * found.teacher_error:
        warnings.append(
            "Student and teacher agree no more than by chance "
            f"({_beyond(found.teacher)}): the teacher's labels are unrelated to the "
            "content of the images, or there are too few images to tell."
        )
    if students is not None and students < HALF:
        warnings.append(
            f"Students of different seeds contradict each other ({_beyond(students)}): "
            "another random sample would give other labels."
        )
    if found.neighbours < HALF:
        warnings.append(
            f"Images that look alike get different labels ({_beyond(found.neighbours)}): "
            "the classes form no visible groups."
        )
    if found.balance < HALF:
        warnings.append(
            "The student hardly ever predicts some classes, though each was sampled equally often."
        )
    if warnings:
        warnings[0] = (
            f"This task looks undecidable: do not use its labels without review. {warnings[0]}"
        )
    return tuple(warnings)


def _beyond(value: float) -> str:
    return f"{value:.2f}, where 0 is chance and 1 is perfect"

"""Whether to believe a run, told without truth: what teacher, students and images agree on.

Every figure is a Cohen's kappa (1960) or scaled like one: 0 is what chance gives, 1 is always.

| figure | between | in doubt |
| --- | --- | --- |
| `sure` | the teacher's mean probability of the label it gives, and chance | not above chance |
| `teacher` | student and teacher, on images that no student saw | not above chance |
| `students` | students of different draws | below a half |
| `neighbours` | an image and those most like it, by the student's labels | below a half |
| `balance` | the student's labels, and as many of each class as were drawn | below a half |

Chance means: three standard errors of guesses on the images of one draw (for kappas a one-sided p
of 0.001; `sure` is a mean of probabilities, for which the same distance is only a measure).
A half means: nearer to chance than to always. No threshold was fitted to any truth; but `sure` was
added because the other four missed one real task (pneumonia against normal, the phantom teacher).
No figure can see a teacher that is sure and wrong in a way that images support, for instance one
that tells two classes by their brightness.
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
MIN_SHARED_PER_CLASS = (
    10  # images per class that two draws must share for their students to be compared
)
_NEAREST = 10
_GRID = 14  # side in pixels at which images are compared where no embeddings are


@dataclass(frozen=True)
class Signals:
    """What one draw shows of itself, without truth; the kappas are explained in this module.

    Attributes:
        teacher: kappa of student and teacher on the test images.
        teacher_error: standard error of that kappa if the two were independent.
        neighbours: kappa of an image's label and its nearest neighbours' labels.
        balance: 1 where the student gives each class equally often, 0 where it gives one only.
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
    """A run's signals, the median over its draws, and what to warn of.

    Attributes:
        draws: how many.
        signals: medians.
        students: mean kappa of students of different draws; None of one draw.
        warnings: plain sentences; none where nothing is amiss.
    """

    draws: int
    signals: Signals
    students: float | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As `diagnostics.json` has it."""
        return asdict(self)


def kappa(first: Labels, second: Labels, k: int) -> tuple[float, float]:
    """Cohen's kappa of two rows of labels [N] among k classes, and its error under independence.

    The error is that of Fleiss, Cohen & Everitt (1969, eq. 15). Where chance alone makes the two
    always agree (each gives one label only), kappa is 0.
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
    """The signals of one draw.

    Args:
        teacher: scores [N, K] of images that the student has not seen.
        student: its probabilities [N, K] of the same images.
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
    """Kappa of every image's label and those of its nearest neighbours."""
    near = max(1, min(_NEAREST, len(labels) // (4 * k)))  # far fewer than a class has images
    points = features.astype(np.float32)
    found = NearestNeighbors(n_neighbors=near).fit(points).kneighbors(return_distance=False)
    return kappa(np.repeat(labels, near), labels[found].ravel(), k)[0]


def _balance(labels: Labels, k: int) -> float:
    """The accuracy that shares of labels allow where classes are equally many, above chance."""
    shares = np.bincount(labels, minlength=k) / len(labels)
    reach = float(np.minimum(shares, 1 / k).sum())
    return (reach - 1 / k) / (1 - 1 / k)


def pixel_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images [N, S, S] or [N, S, S, 3] at 14 pixels a side, float32 [N, D] in 0..1."""
    stack = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    small = [
        torch.nn.functional.adaptive_avg_pool2d(part.permute(0, 3, 1, 2).float() / 255, _GRID)
        for part in stack.split(512)
    ]
    return np.asarray(torch.cat(small).flatten(1))


def student_agreement(draws: Sequence[Mapping[str, int]], k: int) -> float | None:
    """Mean kappa of each draw's student and the next one's, on the images that both judged.

    Args:
        draws: the labels that each draw's student gave, by image id.
        k: number of classes.
    """
    found = list(_agreements(pairwise(draws), k))
    return float(np.mean(found)) if found else None


def _agreements(
    pairs: Iterable[tuple[Mapping[str, int], Mapping[str, int]]], k: int
) -> Iterator[float]:
    """The kappa of each pair's labels, on the images that both judged; those with few of them pass:
    of a large set two draws may share a handful, which tell nothing."""
    for one, other in pairs:
        shared = sorted(one.keys() & other.keys())
        if len(shared) >= MIN_SHARED_PER_CLASS * k:
            first, second = (np.array([draw[i] for i in shared], np.int64) for draw in (one, other))
            yield kappa(first, second, k)[0]


def best_seed_index(each: Sequence[Signals], draws: Sequence[Mapping[str, int]], k: int) -> int:
    """Which draw's student to publish: the one that agrees most with what is known without truth.

    Agreement is the mean of three figures on images that the student has not learned from: its
    `balance`, its `neighbours`, and its kappa with the students of the other draws. The loss on
    held-back pseudo-labels has no part: it is lowest where the teacher's mistakes were learned
    best. (In `benchmarks/noise.py` it picked students no better than drawing lots. That benchmark's
    truth is also how these three were chosen among six.)

    Args:
        each: the signals of each draw.
        draws: the labels that each draw's student gave, by image id; where some share too few
            images with all others, kappas have no part.
        k: number of classes.

    Returns:
        The index of the draw; the first of equal ones.
    """
    shared = [
        list(_agreements(((own, other) for at, other in enumerate(draws) if at != index), k))
        for index, own in enumerate(draws)
    ]
    known = all(shared)  # else some would be judged by less, for no fault of theirs
    return int(
        np.argmax(
            [
                found.balance + found.neighbours + (float(np.mean(kappas)) if known else 0.0)
                for found, kappas in zip(each, shared, strict=True)
            ]
        )
    )


def summarise_diagnostics(each: Sequence[Signals], students: float | None) -> Diagnostics:
    """The run's trust: medians over draws, and the warnings that follow from them."""
    rows = [asdict(one) for one in each]
    middle = Signals(**{key: float(np.median([row[key] for row in rows])) for key in rows[0]})
    return Diagnostics(len(each), middle, students, diagnostic_warnings(middle, students))


def diagnostic_warnings(found: Signals, students: float | None = None) -> tuple[str, ...]:
    """What a reader should know before believing anything else; empty where nothing is amiss."""
    told = []
    if found.confidence <= CHANCE_LIMIT * found.confidence_error:
        told.append(
            "By its own probabilities the teacher is right hardly more often than a guess is "
            f"({_beyond(found.confidence)}): it does not know these classes, or its scores need a "
            "lower temperature."
        )
    if found.teacher <= CHANCE_LIMIT * found.teacher_error:
        told.append(
            "Student and teacher agree no more than chance would have it "
            f"({_beyond(found.teacher)}): the teacher's labels have nothing to do with what is "
            "in the images, or the images are too few to show it."
        )
    if students is not None and students < HALF:
        told.append(
            f"Students of different draws contradict each other ({_beyond(students)}): "
            "another draw would give other answers."
        )
    if found.neighbours < HALF:
        told.append(
            f"Images that look alike get different labels ({_beyond(found.neighbours)}): "
            "the classes form no groups that can be seen."
        )
    if found.balance < HALF:
        told.append(
            "The student gives some classes hardly ever, though each was drawn equally often."
        )
    if told:
        told[0] = f"This task looks undecidable: do not use its labels unseen. {told[0]}"
    return tuple(told)


def _beyond(value: float) -> str:
    return f"{value:.2f}, where 0 is chance and 1 is always"

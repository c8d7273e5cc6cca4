"""Adjust scores without labels: combine several teachers by a vote, then apply steps in order.

| specification | effect | uses |
| --- | --- | --- |
| `temperature=2` | softens scores (above 1) or sharpens them (below 1) | nothing |
| `prior` | matches class frequencies to equal ones, as in a cell | a prior |
| `prior=0.3:0.7` | the same with given frequencies | a prior |
| `em-prior` | estimates class frequencies from the scores by EM | nothing |
| `transduct` | propagates scores between similar images | embeddings |

Scores are float32 [N, K] with rows that sum to one; every step takes and returns such scores. A
step may use statistics of its N images, so a pool and a test set are always adjusted separately.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.special import softmax
from sklearn.neighbors import kneighbors_graph

from medlabel.errors import MedlabelError

__all__ = [
    "NO_ADJUSTMENT",
    "STEPS",
    "VOTE_METHODS",
    "Adjustment",
    "AdjustmentStep",
    "apply_steps",
    "dawid_skene",
    "em_prior",
    "match_prior",
    "mean_vote",
    "parse_steps",
    "temperature",
    "transduct",
]

Scores = NDArray[np.float32]
_SWEEPS = 100  # at most, in match_prior; real scores need three to five
_NEIGHBOURS, _SHARPNESS, _SPREAD = 10, 5, 0.8  # k, gamma and alpha of transduct
_NO_EMBEDDINGS = (
    "transduct needs embeddings, and a file of scores has none: leave it out, or name a CLIP"
)


def temperature(scores: Scores, t: float) -> Scores:
    """Return softmax(log(scores) / t), which keeps the order of classes.

    >>> temperature(np.float32([[0.8, 0.2]]), 2.0).round(2).tolist()
    [[0.6700000166893005, 0.33000001311302185]]
    """
    return np.asarray(softmax(_logs(scores) / t, axis=1), dtype=np.float32)


def match_prior(scores: Scores, prior: Sequence[float] | None = None) -> Scores:
    """Adjust scores so that the predicted classes are as frequent as in a known prior.

    This is the optimum of OTTER (Shin et al. 2024) in its dual form: the likeliest assignment of
    images to classes with given counts is the argmax of the log scores plus one offset per class.
    The softmax with these offsets is returned, so scores stay soft. For two classes the offset is a
    quantile of the log-odds. In general, each offset in turn is set so that its class gets its
    count, until all counts are right. Equal scores cannot be separated, so counts may differ by
    ties. `zero_shot.balance` equalises the sums of scores where this equalises counts.

    Args:
        scores: float32 [N, K].
        prior: K class frequencies that sum to one; equal frequencies if None.
    """
    # POT's exact solver (ot.emd) assigns the same labels, but the argmax under its dual potentials
    # breaks ties at their edge: up to 5 of 5,000 images got another class than in its own plan.
    logs = _logs(scores)
    n, k = logs.shape
    wanted = _counts(np.full(k, 1 / k) if prior is None else np.asarray(prior), n)
    offsets, shifted, labels = np.zeros(k), logs.copy(), logs.argmax(axis=1)
    best, best_offsets = n + 1, offsets.copy()
    for turn in range(_SWEEPS * k):
        misplaced = int(np.abs(np.bincount(labels, minlength=k) - wanted).sum()) // 2
        if misplaced < best:
            best, best_offsets = misplaced, offsets.copy()
        if not misplaced:
            break
        column = turn % k
        shifted[:, column] = -np.inf
        rival = shifted.argmax(axis=1)
        others = shifted[np.arange(n), rival]
        offsets[column] = _fit_offset(
            others - logs[:, column], offsets[column], int(wanted[column])
        )
        shifted[:, column] = own = logs[:, column] + offsets[column]
        wins = (own > others) | ((own == others) & (column < rival))
        labels = np.where(wins, column, rival)
    return np.asarray(softmax(logs + best_offsets, axis=1), dtype=np.float32)


def _counts(prior: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return integer counts per class that sum to n, by the largest-remainder method."""
    exact = prior / prior.sum() * n
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return counts


def _fit_offset(needed: NDArray[np.float64], offset: float, wanted: int) -> float:
    """Return the offset with which a class gets `wanted` images.

    Ties may prevent the exact count; then the nearest possible one is taken.

    Args:
        needed: the offset at which each image would get this class, [N].
        offset: of the class so far; it stays if all images need the same.
        wanted: number of images.
    """
    needed = np.sort(needed)
    gaps = np.flatnonzero(np.diff(needed) > 1e-9) + 1
    if not len(gaps):
        return offset
    cut = gaps[np.abs(gaps - wanted).argmin()]
    return float((needed[cut - 1] + needed[cut]) / 2)


def em_prior(scores: Scores, tolerance: float = 1e-6, iterations: int = 1000) -> Scores:
    """Adjust scores to the maximum-likelihood prior (Saerens, Latinne & Decaestecker 2002).

    Expectation maximisation: the prior is the mean of the scores, and the scores are the original
    ones times the prior, normalised. The original scores are assumed to have a uniform prior, as
    zero-shot scores have. The method relies on calibrated scores: those of an overconfident teacher
    change too little, and a rare class may vanish.

    Args:
        scores: float32 [N, K].
        tolerance: stop when no prior changes by more than this.
        iterations: maximal number of iterations.
    """
    first = scores.astype(np.float64)
    found, prior = first, np.full(first.shape[1], 1 / first.shape[1])
    for _ in range(iterations):
        before, prior = prior, found.mean(axis=0)
        found = first * prior
        found /= found.sum(axis=1, keepdims=True)
        if np.abs(prior - before).max() < tolerance:
            break
    return found.astype(np.float32)


def transduct(scores: Scores, embeddings: NDArray[np.floating]) -> Scores:
    """Propagate scores over the graph of nearest neighbours, so that similar images agree.

    Label propagation with local and global consistency (Zhou et al. 2004) on image embeddings and
    zero-shot scores, as in ZLaP (Stojnic et al. 2024): F = a S F + (1 - a) scores, where S is the
    symmetrically normalised graph of the ten nearest neighbours by cosine similarity.

    Args:
        scores: float32 [N, K].
        embeddings: of the same images, [N, D], of unit length.
    """
    if len(scores) < 2:
        return scores  # a single image has no neighbours
    graph = _neighbour_graph(embeddings)
    first = scores.astype(np.float64)
    found = first
    for _ in range(200):
        before, found = found, _SPREAD * (graph @ found) + (1 - _SPREAD) * first
        if np.abs(found - before).max() < 1e-6:
            break
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)


def _neighbour_graph(embeddings: NDArray[np.floating]) -> csr_array:
    """Return the normalised graph, sparse symmetric [N, N], with weights cosine ** gamma."""
    points = embeddings.astype(np.float32)
    near = min(_NEIGHBOURS, len(points) - 1)
    distances = csr_array(kneighbors_graph(points, near, mode="distance", metric="cosine"))
    weights = distances.astype(np.float64)
    weights.data = np.clip(1 - weights.data, 0, 1) ** _SHARPNESS
    weights = weights.maximum(weights.T)
    degrees = np.maximum(np.asarray(weights.sum(axis=1)).ravel(), 1e-12)
    root = diags_array(1 / np.sqrt(degrees))
    return csr_array(root @ weights @ root)


def mean_vote(votes: Sequence[Scores]) -> Scores:
    """Return the mean of several teachers' scores, each [N, K]."""
    return np.asarray(np.mean(votes, axis=0, dtype=np.float64), dtype=np.float32)


def dawid_skene(votes: Sequence[Scores]) -> Scores:
    """Combine the labels of three or more teachers by the model of Dawid & Skene (1979).

    The confusion matrix of each teacher is estimated together with the labels. Two teachers are not
    enough: where they disagree, nothing says which one is right.

    Args:
        votes: each teacher's scores [N, K]; only the likeliest class counts.

    Returns:
        Class probabilities, float32 [N, K].

    Raises:
        MedlabelError: there are fewer than three teachers, or crowd-kit is not installed.
    """
    _check_teacher_count("dawid-skene", len(votes))
    model = _crowd_kit()(n_iter=100)
    n, k = votes[0].shape
    answers = pd.DataFrame(
        {
            "task": np.tile(np.arange(n), len(votes)),
            "worker": np.repeat(np.arange(len(votes)), n),
            "label": np.concatenate([vote.argmax(axis=1) for vote in votes]),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # crowd-kit's, of pandas
        found = model.fit_predict_proba(answers)
    frame = found.reindex(index=range(n), columns=range(k), fill_value=0.0)
    return np.asarray(frame, dtype=np.float32)


def _crowd_kit() -> Any:
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError as error:
        raise MedlabelError(
            "a vote by dawid-skene needs crowd-kit: pip install 'medlabel[vote]'"
        ) from error
    return DawidSkene


VOTE_METHODS: Mapping[str, Callable[[Sequence[Scores]], Scores]] = MappingProxyType(
    {"mean": mean_vote, "dawid-skene": dawid_skene}
)
"""Methods that combine the scores of several teachers, by name."""


@dataclass(frozen=True)
class AdjustmentStep:
    """One step: its name and numeric arguments."""

    name: str
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.name + ("=" + ":".join(f"{v:g}" for v in self.values) if self.values else "")


_Apply = Callable[[Scores, tuple[float, ...], NDArray[np.floating] | None], Scores]


def _transduct_step(
    scores: Scores, _: tuple[float, ...], embeddings: NDArray[np.floating] | None
) -> Scores:
    if embeddings is None:
        raise MedlabelError(_NO_EMBEDDINGS)
    return transduct(scores, embeddings)


STEPS: Mapping[str, _Apply] = MappingProxyType(
    {
        "temperature": lambda scores, values, _: temperature(scores, values[0]),
        "prior": lambda scores, values, _: match_prior(scores, values or None),
        "em-prior": lambda scores, values, _: em_prior(scores),
        "transduct": _transduct_step,
    }
)
"""The steps by name."""


def parse_steps(text: str) -> tuple[AdjustmentStep, ...]:
    """Parse steps, which are applied in the given order.

    >>> [str(step) for step in parse_steps("temperature=2,prior=0.3:0.7,transduct")]
    ['temperature=2', 'prior=0.3:0.7', 'transduct']

    Raises:
        MedlabelError: a step is unknown, or its arguments are invalid.
    """
    return tuple(_parse_step(part.strip()) for part in text.split(",") if part.strip())


def _parse_step(text: str) -> AdjustmentStep:
    name, given, behind = text.partition("=")
    if name not in STEPS:
        raise MedlabelError(f"unknown step {name!r}: choose from {', '.join(STEPS)}")
    try:
        values = tuple(float(value) for value in behind.split(":")) if given else ()
    except ValueError as error:
        raise MedlabelError(f"step {text!r}: {behind!r} is not numbers joined by colons") from error
    positive = all(0 < value < np.inf for value in values)
    if name == "temperature" and not (len(values) == 1 and positive):
        raise MedlabelError(f"step {text!r}: write temperature=T with a T above 0")
    if name == "prior" and values and not (positive and abs(sum(values) - 1) <= 0.01):
        raise MedlabelError(f"step {text!r}: shares are above 0 and sum to 1, as in prior=0.3:0.7")
    if name in ("em-prior", "transduct") and given:
        raise MedlabelError(f"step {text!r}: {name} takes no numbers")
    return AdjustmentStep(name, values)


def apply_steps(
    steps: Sequence[AdjustmentStep], scores: Scores, embeddings: NDArray[np.floating] | None = None
) -> Scores:
    """Apply steps in order to scores [N, K]; `embeddings` [N, D] are of the same images."""
    for step in steps:
        scores = STEPS[step.name](scores, step.values, embeddings)
    return scores


@dataclass(frozen=True)
class Adjustment:
    """How raw scores are adjusted before training and evaluation.

    Attributes:
        steps: applied in order to the images of one pool or one test set.
        vote: method that combines the scores of several teachers, before the steps.
    """

    steps: tuple[AdjustmentStep, ...] = ()
    vote: str = "mean"

    @property
    def needs_embeddings(self) -> bool:
        """Whether a step uses embeddings."""
        return any(step.name == "transduct" for step in self.steps)

    def __call__(self, scores: Scores, embeddings: NDArray[np.floating] | None = None) -> Scores:
        """Return adjusted scores, float32 [N, K].

        Args:
            scores: [N, K] of one teacher, or [T, N, K] of several.
            embeddings: of the same images, [N, D], if a step uses them.
        """
        voted = VOTE_METHODS[self.vote](list(scores)) if scores.ndim == 3 else scores
        return apply_steps(self.steps, voted, embeddings if self.needs_embeddings else None)

    def check(self, classes: int, teachers: int, *, embeddings: bool) -> None:
        """Raise a `MedlabelError` if the adjustment cannot work for this task.

        Args:
            classes: number of classes.
            teachers: number of teachers.
            embeddings: whether embeddings are available.
        """
        if self.vote not in VOTE_METHODS:
            raise MedlabelError(
                f"unknown vote {self.vote!r}: choose from {', '.join(VOTE_METHODS)}"
            )
        _check_teacher_count(self.vote, teachers)
        if self.vote == "dawid-skene":
            _crowd_kit()
        if self.needs_embeddings and not embeddings:
            raise MedlabelError(_NO_EMBEDDINGS)
        for step in self.steps:
            if step.name == "prior" and len(step.values) not in (0, classes):
                raise MedlabelError(
                    f"step '{step}' has {len(step.values)} shares for {classes} classes"
                )


NO_ADJUSTMENT = Adjustment()
"""Leaves scores as they are; several teachers are averaged."""


def _check_teacher_count(vote: str, teachers: int) -> None:
    if vote == "dawid-skene" and teachers < 3:
        raise MedlabelError(
            f"a vote by dawid-skene needs three teachers or more, and there are {teachers}"
        )


def _logs(scores: Scores) -> NDArray[np.float64]:
    """Return log scores, float64, clipped at the smallest positive float32."""
    return np.log(np.clip(scores.astype(np.float64), np.finfo(np.float32).tiny, None))

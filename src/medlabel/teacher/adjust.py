"""Better scores from scores, without truth: a vote of several teachers, then steps in order.

| what is typed | step | what it knows |
| --- | --- | --- |
| `temperature=2` | softer (above 1) or sharper (below 1) scores | nothing |
| `prior` | classes are as frequent as they are known to be: equally, as a cell is drawn | a prior |
| `prior=0.3:0.7` | the same, with a stated share a class | a prior |
| `em-prior` | classes are as frequent as the scores make them likeliest to be | nothing |
| `transduct` | images that look alike get scores that are alike | embeddings |

Scores are float32 [N, K], rows sum to one, and every step returns such scores. A step may use the
statistics of the N images it is given, so the images of a pool and of a test never go in together.
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
_SWEEPS = 100  # of match_prior; real scores need three to five
_NEIGHBOURS, _SHARPNESS, _SPREAD = 10, 5, 0.8  # k, gamma and alpha of transduct
_NO_EMBEDDINGS = (
    "transduct needs embeddings, and a file of scores has none: leave it out, or name a CLIP"
)


def temperature(scores: Scores, t: float) -> Scores:
    """softmax(log scores / t): the same order of classes, surer (t < 1) or less sure (t > 1)."""
    return np.asarray(softmax(_logs(scores) / t, axis=1), dtype=np.float32)


def match_prior(scores: Scores, prior: Sequence[float] | None = None) -> Scores:
    """Scores whose likeliest classes are as frequent as a known prior says.

    The optimum of OTTER (Shin et al. 2024) in its dual form: the likeliest assignment of images to
    classes with these counts is the argmax of log scores plus one offset a class, and the offsets
    are kept, so that the scores stay soft. With two classes that is the quantile of the log-odds.
    Each offset is put, in turn, where its class wins its share against the others as they stand;
    when all win their shares at once, nothing can be better. Equal images cannot be told apart, so
    that counts may differ by them. `teacher.balance` makes sums equal where this makes counts so.

    Args:
        scores: [N, K].
        prior: K shares that sum to one; equal ones when None, as cells are drawn.
    """
    # POT's exact solver (ot.emd) assigns the same labels, but the argmax under its dual potentials
    # breaks ties at their edge: up to 5 of 5,000 images got another class than in its own plan.
    logs = _logs(scores)
    n, k = logs.shape
    wanted = _counts(np.full(k, 1 / k) if prior is None else np.asarray(prior), n)
    offsets = np.zeros(k)
    best, best_offsets = n + 1, offsets
    for turn in range(_SWEEPS * k):
        misplaced = _misplaced(logs + offsets, wanted)
        if misplaced < best:
            best, best_offsets = misplaced, offsets
        if not misplaced:
            break
        offsets = _fit_offset(logs, offsets, turn % k, int(wanted[turn % k]))
    return np.asarray(softmax(logs + best_offsets, axis=1), dtype=np.float32)


def _counts(prior: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Whole numbers of images that sum to n: rounded down, the largest remainders rounded up."""
    exact = prior / prior.sum() * n
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return counts


def _misplaced(logs: NDArray[np.float64], wanted: NDArray[np.int64]) -> int:
    """How many images are in a class that has too many."""
    found = np.bincount(logs.argmax(axis=1), minlength=len(wanted))
    return int(np.abs(found - wanted).sum()) // 2


def _fit_offset(
    logs: NDArray[np.float64], offsets: NDArray[np.float64], k: int, wanted: int
) -> NDArray[np.float64]:
    """The offsets with class k's such that it wins `wanted` images, or as near as ties allow."""
    others = np.delete(logs + offsets, k, axis=1).max(axis=1)
    needed = np.sort(others - logs[:, k])
    gaps = np.flatnonzero(np.diff(needed) > 1e-9) + 1
    changed = offsets.copy()
    if len(gaps):
        cut = gaps[np.abs(gaps - wanted).argmin()]
        changed[k] = (needed[cut - 1] + needed[cut]) / 2
    return changed


def em_prior(scores: Scores, tolerance: float = 1e-6, iterations: int = 1000) -> Scores:
    """Scores under the prior that makes them likeliest (Saerens, Latinne & Decaestecker 2002).

    Expectation and maximisation in turn: the prior is the mean of the scores, and the scores are
    the first ones times the prior, summing to one again. The first ones are taken to have been
    made under equal priors, as zero-shot scores are. It trusts the scores' probabilities: an
    overconfident teacher is moved too little, and a rare class may vanish.

    Args:
        scores: [N, K].
        tolerance: the largest change of the prior at which it stops.
        iterations: at most so many.
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
    """Scores spread over the graph of nearest neighbours, so that alike images score alike.

    Label propagation with local and global consistency (Zhou et al. 2004), on images' embeddings
    and zero-shot scores as in ZLaP (Stojnic et al. 2024): F = a S F + (1 - a) scores, where S is
    the graph of the ten nearest by cosine, its weights normalised by the degrees at both ends.

    Args:
        scores: [N, K].
        embeddings: of the same images, [N, D] of length one.
    """
    if len(scores) < 2:
        return scores  # nobody is near
    graph = _neighbour_graph(embeddings)
    first = scores.astype(np.float64)
    found = first
    for _ in range(200):
        before, found = found, _SPREAD * (graph @ found) + (1 - _SPREAD) * first
        if np.abs(found - before).max() < 1e-6:
            break
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)


def _neighbour_graph(embeddings: NDArray[np.floating]) -> csr_array:
    """Symmetric sparse [N, N]: cosine ** gamma of near neighbours over the root of the degrees."""
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
    """The mean of several teachers' scores, each [N, K]."""
    return np.asarray(np.mean(votes, axis=0, dtype=np.float64), dtype=np.float32)


def dawid_skene(votes: Sequence[Scores]) -> Scores:
    """Scores from the labels of three teachers or more, each as right as the others make it look.

    A teacher's confusion of the classes is estimated along with the labels (Dawid & Skene 1979).
    With two teachers that disagree nothing says who is right.

    Args:
        votes: each teacher's scores [N, K]; only the likeliest classes count.

    Raises:
        MedlabelError: fewer than three teachers, or no crowd-kit, which computes it.
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
"""Ways to make one teacher's scores of several teachers', by what is typed."""


@dataclass(frozen=True)
class AdjustmentStep:
    """One step by name, with the numbers that were typed behind it."""

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
"""Steps by what is typed."""


def parse_steps(text: str) -> tuple[AdjustmentStep, ...]:
    """Read steps from `temperature=2,prior=0.3:0.7,transduct`, in the order they are taken.

    Raises:
        MedlabelError: an unknown step, or numbers that it cannot have.
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
    """The scores [N, K] after all steps; `embeddings` [N, D] are of the same images."""
    for step in steps:
        scores = STEPS[step.name](scores, step.values, embeddings)
    return scores


@dataclass(frozen=True)
class Adjustment:
    """What becomes of raw scores before anyone learns from them or is compared with them.

    Attributes:
        steps: taken in order, on the images of one pool or one test.
        vote: how the scores of several teachers become one's, by name, before the steps.
    """

    steps: tuple[AdjustmentStep, ...] = ()
    vote: str = "mean"

    @property
    def needs_embeddings(self) -> bool:
        """Whether a step needs embeddings."""
        return any(step.name == "transduct" for step in self.steps)

    def __call__(self, scores: Scores, embeddings: NDArray[np.floating] | None = None) -> Scores:
        """Adjusted scores [N, K].

        Args:
            scores: [N, K] of one teacher, or [T, N, K] of several.
            embeddings: [N, D] of the same images, if a step needs them.
        """
        voted = VOTE_METHODS[self.vote](list(scores)) if scores.ndim == 3 else scores
        return apply_steps(self.steps, voted, embeddings if self.needs_embeddings else None)

    def check(self, classes: int, teachers: int, *, embeddings: bool) -> None:
        """Raise a `MedlabelError` for what cannot work, before any work is done."""
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
"""Nothing becomes of raw scores."""


def _check_teacher_count(vote: str, teachers: int) -> None:
    if vote == "dawid-skene" and teachers < 3:
        raise MedlabelError(
            f"a vote by dawid-skene needs three teachers or more, and there are {teachers}"
        )


def _logs(scores: Scores) -> NDArray[np.float64]:
    """Log scores, float64; those below what float32 can hold are as low as that."""
    return np.log(np.clip(scores.astype(np.float64), np.finfo(np.float32).tiny, None))

"""What may be promised of labels that nobody has checked, given a few human answers.

Selective classification: of N labelled images the most confident are labelled automatically, so
many that, with the confidence asked for (95 %), the precision asked for (99 %) of them is right.
The rest goes to review. Nothing is assumed of the student or of its confidences: an overconfident
one costs coverage, never the promise.

| step | why the promise holds |
| --- | --- |
| nested sets | "at least this confident", at fixed shares of all N: known before any answer |
| a sample | drawn at random from the largest set, so it is a random sample of each of them |
| its test | hypergeometric: so few wrong answers are unlikely if too many of the set are wrong |
| which set | from small sets to ever larger ones, each at the level that the last one passed at; |
| | a set that fails loses it (learn then test, Angelopoulos et al. 2021) |

The threshold is chosen after looking and needs no further correction, for the order of the sets was
fixed before. Two sets have a share of the level to start with (the fallback procedure, Wiens 2003),
so the promise is broken no more often than the shares add up to, however the tests depend on each
other. The binary search of SGR (Geifman & El-Yaniv 2017) pays for its looks with a smaller level,
and covers less where answers are few (`python -m benchmarks.guarantee`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from medlabel.errors import MedlabelError

__all__ = ["AuditDesign", "Guarantee", "ThresholdTest", "certify", "draw", "fewest_answers"]

_STEPS = 20  # nested sets: 5 % of the images each
_EARLY = 0.8  # of the level, for the smallest set
_MARGIN = 1.1  # more answers in the first set than it could do with: how many fall there is chance
_HALF = 0.5  # a promise that is as likely broken as kept is none
_ROUNDING = 1e-9  # a chance that is left by rounding alone is none
_FURTHER = 400  # sizes of a sample that are looked at for how many more answers would do


@dataclass(frozen=True)
class AuditDesign:
    """What is to be promised, and whom is asked about what. Fixed before the first answer.

    Attributes:
        answers: images that a human is asked about.
        precision: the share of automatic labels that must be right.
        confidence: of the promise: 0.95 lets one promise in twenty be broken.
        among: only the most confident share of all images is asked about, and can ever become
            automatic. Less of it: more answers where they count.
        by_class: as many answers for each label, so that each can be promised something of.
        looks: how often the answers are looked at in all; each look is tested at its share.
        seed: of the draw.
        alpha_spent: how likely a promise of an earlier plan of these labels is broken.
            `confidence` is of all of them together, so this plan has what is left.
    """

    answers: int
    precision: float = 0.99
    confidence: float = 0.95
    among: float = 1.0
    by_class: bool = False
    looks: int = 1
    seed: int = 0
    alpha_spent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("precision", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise MedlabelError(f"{name} {getattr(self, name):g}: give a share between 0 and 1")
        if not 0 < self.among <= 1:
            raise MedlabelError(f"among {self.among:g}: give a share above 0 and at most 1")
        if self.answers < 1 or self.looks < 1:
            raise MedlabelError("ask for one answer and one look at least")
        if self.left <= 0:
            raise MedlabelError(
                f"reports of earlier plans have spent {self.alpha_spent:.1%} of the chance to be "
                f"wrong, and a confidence of {self.confidence:.1%} allows no more: {self._advice()}"
            )

    def _advice(self) -> str:
        """What to do when nothing is left."""
        lower = math.floor(1000 * (1 - 2 * self.alpha_spent) + _ROUNDING) / 1000
        if lower < _HALF:
            return "annotate into another folder, and plan once"
        return f"promise at a lower one, such as --confidence {lower:g}"

    @property
    def left(self) -> float:
        """How likely this plan may break its promise, all its looks together."""
        left = 1 - self.confidence - self.alpha_spent
        return left if left > _ROUNDING else 0.0

    @property
    def level(self) -> float:
        """How likely one look may break the promise."""
        return self.left / self.looks


@dataclass(frozen=True)
class ThresholdTest:
    """One nested set: all images at least as confident as `threshold`, and what was answered.

    Attributes:
        threshold: least confidence.
        images: in the set.
        asked: of them.
        wrong: of those asked.
        p: how likely so few wrong answers are, if the set breaks the promise.
    """

    threshold: float
    images: int
    asked: int
    wrong: int
    p: float


@dataclass(frozen=True)
class Guarantee:
    """What can be promised of one group of images.

    Attributes:
        population: images in the group.
        precision: what was to be promised.
        level: how likely the promise may be broken.
        step: the largest set with a promise; None: nothing can be promised.
        failed: the first set without one; None where all that was asked about is promised.
        largest: all that was asked about.
    """

    population: int
    precision: float
    level: float
    step: ThresholdTest | None
    failed: ThresholdTest | None
    largest: ThresholdTest

    @property
    def coverage(self) -> float:
        """Share of the images that may be labelled automatically."""
        return self.step.images / self.population if self.step else 0.0

    @property
    def threshold(self) -> float | None:
        """The least confidence of an automatic label; None: every label goes to review."""
        return self.step.threshold if self.step else None

    def lower(self) -> float:
        """The share of all that was asked about that is right at least: a statement of its own."""
        step, least, most = self.largest, 0, self.largest.images
        while least < most:  # the most wrong labels that so few wrong answers do not rule out
            middle = (least + most + 1) // 2
            if hypergeom.cdf(step.wrong, step.images, middle, step.asked) > self.level:
                least = middle
            else:
                most = middle - 1
        return 1 - least / step.images

    def further(self) -> int | None:
        """Answers more that would add `failed`, if wrong ones stay as frequent; None: none would.

        Of the whole plan's, for only some of them fall into that set.
        """
        failed = self.failed
        if failed is None or not failed.images:
            return None
        rate = failed.wrong / failed.asked if failed.asked else 0.0
        sizes = np.unique(np.geomspace(1, failed.images, _FURTHER).astype(np.int64))
        wrong = np.ceil(rate * sizes - 1e-9)
        chances = hypergeom.cdf(
            wrong, failed.images, _too_many(failed.images, self.precision), sizes
        )
        enough = sizes[(chances <= self.level) & (sizes > failed.asked)]
        if not len(enough):
            return None
        return math.ceil((int(enough[0]) - failed.asked) * self.largest.images / failed.images)


def draw(
    confidences: NDArray[np.float32],
    labels: NDArray[np.integer],
    design: AuditDesign,
    salt: int = 0,
) -> NDArray[np.int64]:
    """Rows to ask a human about, in the order to ask in: at random, none twice.

    A student that has learned from the answers of one draw must not be judged by the same images
    again, and a further plan must be another draw: `salt` makes it one, whatever the seed.

    Args:
        confidences: of all images [N].
        labels: of all images [N], class indices as the student gave them.
        design: what is to be promised.
        salt: names the student and the plan, a whole number from 0.
    """
    if not len(confidences):
        raise MedlabelError("there are no annotations to ask about")
    rng = np.random.default_rng([design.seed, salt])
    able = np.flatnonzero(_reach(confidences, labels, design))
    groups, share = [able], design.answers
    if design.by_class:
        present = np.unique(labels)
        groups = [able[labels[able] == label] for label in present]
        share = max(1, design.answers // len(present))
    drawn = [rng.choice(rows, min(share, len(rows)), replace=False) for rows in groups]
    return np.asarray(rng.permutation(np.concatenate(drawn)))


def certify(
    confidences: NDArray[np.float32],
    labels: NDArray[np.integer],
    asked: NDArray[np.integer],
    right: NDArray[np.bool_],
    design: AuditDesign,
) -> tuple[Guarantee, Mapping[int, Guarantee]]:
    """The promise for all images, and one for each label that was given.

    The classes' promises hold together (each is tested at its share of the level); the one for all
    images is another statement. In a plan by class the sample is none of all images: what is
    promised of all is then what is promised of the classes, added up.

    Args:
        confidences: of all images [N].
        labels: of all images [N], class indices.
        asked: the rows that were drawn [n], all of them.
        right: whether the label was right [n]; what was not answered counts as wrong.
        design: what was planned.
    """
    reach = _reach(confidences, labels, design)
    present = np.unique(labels).tolist()
    classes: dict[int, Guarantee] = {}
    for label in present:
        rows, mine = labels == label, labels[asked] == label
        within = confidences[rows & reach]
        expected = float(mine.sum())
        if not design.by_class:  # how many were to fall into this class, not how many did
            expected = min(design.answers, reach.sum()) * len(within) / reach.sum()
        classes[label] = _certify(
            within, confidences[asked[mine]], right[mine], design.precision,
            design.level / len(present), expected, int(rows.sum()),
        )  # fmt: skip
    if design.by_class:
        return _added_up(list(classes.values())), classes
    whole = _certify(
        confidences[reach], confidences[asked], right, design.precision,
        design.level, len(asked), len(confidences),
    )  # fmt: skip
    return whole, classes


def fewest_answers(precision: float, level: float) -> int:
    """So many answers, all of them right, are the fewest that can prove a promise of a large set.

    299 for a precision of 0.99 at a level of 0.05.
    """
    return math.ceil(math.log(level) / math.log(precision))


def _reach(
    confidences: NDArray[np.float32], labels: NDArray[np.integer], design: AuditDesign
) -> NDArray[np.bool_]:
    """Which rows may be asked about: the most confident, of all or of each class."""
    groups = [np.ones(len(labels), dtype=bool)]
    if design.by_class:
        groups = [labels == label for label in np.unique(labels)]
    reach = np.zeros(len(labels), dtype=bool)
    for rows in groups:
        falling = np.sort(confidences[rows])[::-1]
        lowest = falling[math.ceil(design.among * len(falling)) - 1]
        reach |= rows & (confidences >= lowest)
    return reach


def _certify(
    confidences: NDArray[np.float32],
    asked: NDArray[np.float32],
    right: NDArray[np.bool_],
    precision: float,
    level: float,
    expected: float,
    population: int,
) -> Guarantee:
    """Walk through the nested sets of `confidences`, of which `asked` is a random sample."""
    thresholds, sizes = _nested(confidences)
    steps = _steps(thresholds, sizes, asked, right, precision)
    best = failed = None
    held, shares = 0.0, _shares(sizes, expected, precision, level)
    for step, share in zip(steps, shares, strict=True):
        held += share
        if held and step.p <= held:
            best, failed = step, None
        elif held:
            held, failed = 0.0, failed or step
    return Guarantee(population, precision, level, best, failed, steps[-1])


def _nested(confidences: NDArray[np.float32]) -> tuple[list[float], list[int]]:
    """Thresholds, falling, and how many images are at least as confident as each of them."""
    if not len(confidences):
        return [math.inf], [0]
    falling = np.sort(confidences)[::-1]
    places = np.ceil(np.linspace(1 / _STEPS, 1, _STEPS) * len(falling)).astype(int) - 1
    thresholds = np.unique(falling[places])[::-1]
    sizes = np.searchsorted(-falling, -thresholds, side="right")
    return thresholds.tolist(), sizes.tolist()


def _shares(
    sizes: Sequence[int], expected: float, precision: float, level: float
) -> NDArray[np.float64]:
    """Which sets the sequence may start from, as the share of the level that each begins with.

    The smallest that so many answers are likely to prove has most of it; one with more answers
    to spare has the rest, so that one wrong answer among the first few is not the end. By what was
    planned, not by what fell where: the order may not depend on the sample.
    """
    shares = np.zeros(len(sizes))
    least = _MARGIN * fewest_answers(precision, _EARLY * level)
    for share, wanted in ((_EARLY, least), (1 - _EARLY, math.sqrt(least * expected))):
        likely = [expected * size >= wanted * sizes[-1] for size in sizes[:-1]]
        shares[likely.index(True) if True in likely else -1] += share * level
    return shares


def _steps(
    thresholds: Sequence[float],
    sizes: Sequence[int],
    asked: NDArray[np.float32],
    right: NDArray[np.bool_],
    precision: float,
) -> list[ThresholdTest]:
    """Each set with what was answered of it, and the chance of so few wrong answers."""
    within = asked >= np.array(thresholds, dtype=np.float32)[:, None]
    counts, wrong = within.sum(axis=1), (within & ~right).sum(axis=1)
    too_many = np.minimum([_too_many(size, precision) for size in sizes], sizes)
    chances = np.asarray(hypergeom.cdf(wrong, sizes, too_many, counts))
    columns = (array.tolist() for array in (counts, wrong, chances))
    chances[np.array(sizes) == 0] = 1  # nothing is promised of nothing
    return [ThresholdTest(*row) for row in zip(thresholds, sizes, *columns, strict=True)]


def _too_many(images: int, precision: float) -> int:
    """The fewest wrong labels of so many that break the promise."""
    return math.floor((1 - precision) * images + 1e-9) + 1


def _added_up(parts: Sequence[Guarantee]) -> Guarantee:
    """The promise of several groups together; a union of sets that keep it keeps it."""
    promised = [part.step for part in parts if part.step]
    return Guarantee(
        sum(part.population for part in parts),
        parts[0].precision,
        sum(part.level for part in parts),
        _sum(promised) if promised else None,
        None,
        _sum([part.largest for part in parts]),
    )


def _sum(steps: Sequence[ThresholdTest]) -> ThresholdTest:
    return ThresholdTest(
        min(step.threshold for step in steps),
        sum(step.images for step in steps),
        sum(step.asked for step in steps),
        sum(step.wrong for step in steps),
        max(step.p for step in steps),
    )

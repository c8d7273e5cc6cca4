"""A guarantee for labels that nobody has checked, from a small random sample of human answers.

Selective classification: of N labelled images, the most confident ones are accepted automatically,
as many as possible such that, with the chosen confidence (95 %), the chosen precision (99 %) of
their labels are right. The rest goes to review. Nothing is assumed about the student or its
confidences: an overconfident student costs coverage, but does not break the guarantee.

| part | why the guarantee holds |
| --- | --- |
| nested sets | "at least this confident", at fixed shares of all N: known before any answer |
| sample | drawn at random from the largest set, so it is a random sample of each of them |
| test | hypergeometric: so few wrong answers are unlikely if too many labels of the set are wrong |
| order | from small sets to larger ones, each tested at the level that the last one passed on; |
| | a set that fails spends it (learn then test, Angelopoulos et al. 2021) |

The threshold is chosen after the answers are known, and yet needs no further correction, because
the order of the sets was fixed before. Two sets have a share of the level to start with (the
fallback procedure, Wiens 2003), so the probability of a wrong guarantee is at most the sum of the
shares, however the tests depend on each other. The binary search of SGR (Geifman & El-Yaniv 2017)
divides the level by its number of tests instead, and covers less where answers are few
(`python -m benchmarks.guarantee`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from medlabel.errors import MedlabelError

__all__ = ["AuditDesign", "Guarantee", "ThresholdTest", "certify", "fewest_answers", "sample_rows"]

_STEPS = 20  # nested sets: 5 % of the images each
_EARLY = 0.8  # share of the level that the first set starts with
_MARGIN = (
    1.1  # more answers in the first set than it needs, as the number that falls there is random
)
_HALF = 0.5  # a guarantee that is as likely wrong as right is worthless
_ROUNDING = 1e-9  # an error probability that only rounding leaves is zero
_SAMPLE_SIZES = 400  # tried to find how many more answers are needed


@dataclass(frozen=True)
class AuditDesign:
    """What is to be guaranteed, and how images are sampled. Fixed before the first answer.

    Attributes:
        answers: number of images that a person is asked about.
        precision: the share of automatic labels that must be right.
        confidence: with 0.95, at most one guarantee in twenty is wrong.
        max_coverage: only this most confident share of all images is sampled, and can become
            automatic. A smaller share puts more answers where they count.
        by_class: sample as many images for each label, so that each can have a guarantee.
        reports: how many reports will be read in all; each is tested at its share of the level.
        seed: of the random sample.
        alpha_spent: upper bound of the probability that a guarantee of an earlier plan for these
            labels is wrong. `confidence` covers all plans, so this plan has what is left.

    Raises:
        MedlabelError: a value is out of range, or no error probability is left.
    """

    answers: int
    precision: float = 0.99
    confidence: float = 0.95
    max_coverage: float = 1.0
    by_class: bool = False
    reports: int = 1
    seed: int = 0
    alpha_spent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("precision", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise MedlabelError(f"{name} {getattr(self, name):g}: give a share between 0 and 1")
        if not 0 < self.max_coverage <= 1:
            raise MedlabelError(
                f"max-coverage {self.max_coverage:g}: give a share above 0 and at most 1"
            )
        if self.answers < 1 or self.reports < 1:
            raise MedlabelError("plan at least one answer and one report")
        if self.alpha_left <= 0:
            raise MedlabelError(
                "earlier plans have spent an error probability of "
                f"{self.alpha_spent:.1%}, and a confidence of {self.confidence:.1%} allows no "
                f"more: {self._advice()}"
            )

    def _advice(self) -> str:
        """What to do when no error probability is left."""
        lower = math.floor(1000 * (1 - 2 * self.alpha_spent) + _ROUNDING) / 1000
        if lower < _HALF:
            return "annotate into another folder, and plan once"
        return f"choose a lower one, such as --confidence {lower:g}"

    @property
    def alpha_left(self) -> float:
        """Probability with which the guarantees of this plan, all together, may be wrong."""
        left = 1 - self.confidence - self.alpha_spent
        return left if left > _ROUNDING else 0.0

    @property
    def level(self) -> float:
        """Probability with which the guarantee of one report may be wrong."""
        return self.alpha_left / self.reports


@dataclass(frozen=True)
class ThresholdTest:
    """The test of one nested set: all images at least as confident as `threshold`.

    Attributes:
        threshold: smallest confidence; infinite (`null` in JSON) if the set is empty, because no
            confidence reaches it.
        images: number of images in the set.
        asked: number of them in the sample.
        wrong: number of wrong labels in the sample.
        p: probability of so few wrong labels if the precision of the set is too low.
    """

    threshold: float
    images: int
    asked: int
    wrong: int
    p: float


@dataclass(frozen=True)
class Guarantee:
    """What is guaranteed of one group of images.

    Attributes:
        population: number of images in the group.
        precision: the share of right labels that was to be guaranteed.
        level: probability with which the guarantee may be wrong.
        accepted: the largest set with a guarantee; None if nothing is guaranteed.
        rejected: the first set without one; None if everything that was sampled has one.
        largest: the set that was sampled from.
    """

    population: int
    precision: float
    level: float
    accepted: ThresholdTest | None
    rejected: ThresholdTest | None
    largest: ThresholdTest

    @property
    def coverage(self) -> float:
        """Share of the images that are labelled automatically."""
        return self.accepted.images / self.population if self.accepted else 0.0

    @property
    def threshold(self) -> float | None:
        """Smallest confidence of an automatic label; None: every label goes to review."""
        return self.accepted.threshold if self.accepted else None

    def lower_bound(self) -> float:
        """Lower confidence bound of the share of right labels in `largest`, at `level`.

        It is a statement of its own, not to be combined with the threshold.
        """
        sampled, least, most = self.largest, 0, self.largest.images
        while least < most:  # the most wrong labels that so few wrong answers do not rule out
            middle = (least + most + 1) // 2
            if hypergeom.cdf(sampled.wrong, sampled.images, middle, sampled.asked) > self.level:
                least = middle
            else:
                most = middle - 1
        return 1 - least / sampled.images

    def answers_needed(self) -> int | None:
        """How many more answers would accept `rejected`, if its error rate stays; None: none would.

        Counted over the whole plan, since only some of its answers fall into that set.
        """
        rejected = self.rejected
        if rejected is None or not rejected.images:
            return None
        rate = rejected.wrong / rejected.asked if rejected.asked else 0.0
        sizes = np.unique(np.geomspace(1, rejected.images, _SAMPLE_SIZES).astype(np.int64))
        wrong = np.ceil(rate * sizes - 1e-9)
        chances = hypergeom.cdf(
            wrong, rejected.images, _too_many(rejected.images, self.precision), sizes
        )
        enough = sizes[(chances <= self.level) & (sizes > rejected.asked)]
        if not len(enough):
            return None
        more = int(enough[0]) - rejected.asked
        return math.ceil(more * self.largest.images / rejected.images)


def sample_rows(
    confidences: NDArray[np.float32],
    labels: NDArray[np.integer],
    design: AuditDesign,
    salt: int = 0,
) -> NDArray[np.int64]:
    """Sample the rows to ask a person about, without replacement, in the order to ask in.

    A student that has learned from the answers to one sample must not be evaluated on the same
    images, and another plan needs another sample: `salt` ensures both, whatever the seed.

    Args:
        confidences: of all images, float32 [N].
        labels: of all images, class indices [N] as the student gave them.
        design: the plan.
        salt: identifies the student and the plan, a whole number from 0.

    Returns:
        row numbers int64 [n].

    Raises:
        MedlabelError: there are no images.
    """
    if not len(confidences):
        raise MedlabelError("there are no annotations to ask about")
    rng = np.random.default_rng([design.seed, salt])
    eligible = np.flatnonzero(_eligible(confidences, labels, design))
    groups, share = [eligible], design.answers
    if design.by_class:
        present = np.unique(labels)
        groups = [eligible[labels[eligible] == label] for label in present]
        share = max(1, design.answers // len(present))
    sampled = [rng.choice(rows, min(share, len(rows)), replace=False) for rows in groups]
    return np.asarray(rng.permutation(np.concatenate(sampled)))


def certify(
    confidences: NDArray[np.float32],
    labels: NDArray[np.integer],
    asked: NDArray[np.integer],
    right: NDArray[np.bool_],
    design: AuditDesign,
) -> tuple[Guarantee, Mapping[int, Guarantee]]:
    """The guarantee for all images, and one for each label that was given.

    The guarantees of the classes hold simultaneously (each is tested at its share of the level);
    the one for all images is a separate statement. A sample by class is not a random sample of all
    images: the guarantee for all is then the sum of those of the classes.

    Args:
        confidences: of all images, float32 [N].
        labels: of all images, class indices [N].
        asked: all rows that were sampled [n].
        right: whether the label was right [n]; False where there is no answer.
        design: the plan.

    Returns:
        the guarantee for all images, and those of the classes by class index.
    """
    eligible = _eligible(confidences, labels, design)
    present = np.unique(labels).tolist()
    classes: dict[int, Guarantee] = {}
    for label in present:
        rows, mine = labels == label, labels[asked] == label
        within = confidences[rows & eligible]
        expected = float(mine.sum())
        if not design.by_class:  # the expected number of answers for this class, not the actual one
            expected = min(design.answers, eligible.sum()) * len(within) / eligible.sum()
        classes[label] = _certify(
            within, confidences[asked[mine]], right[mine], design.precision,
            design.level / len(present), expected, int(rows.sum()),
        )  # fmt: skip
    if design.by_class:
        return _added_up(list(classes.values())), classes
    whole = _certify(
        confidences[eligible], confidences[asked], right, design.precision,
        design.level, len(asked), len(confidences),
    )  # fmt: skip
    return whole, classes


def fewest_answers(precision: float, level: float) -> int:
    """The fewest answers, all confirming the label, that give a guarantee for a large set.

    299 for a precision of 0.99 at a level of 0.05.
    """
    return math.ceil(math.log(level) / math.log(precision))


def _eligible(
    confidences: NDArray[np.float32], labels: NDArray[np.integer], design: AuditDesign
) -> NDArray[np.bool_]:
    """Which rows may be sampled, bool [N]: the most confident ones, of all or of each class."""
    groups = [np.ones(len(labels), dtype=bool)]
    if design.by_class:
        groups = [labels == label for label in np.unique(labels)]
    eligible = np.zeros(len(labels), dtype=bool)
    for rows in groups:
        falling = np.sort(confidences[rows])[::-1]
        lowest = falling[math.ceil(design.max_coverage * len(falling)) - 1]
        eligible |= rows & (confidences >= lowest)
    return eligible


def _certify(
    confidences: NDArray[np.float32],
    asked: NDArray[np.float32],
    right: NDArray[np.bool_],
    precision: float,
    level: float,
    expected: float,
    population: int,
) -> Guarantee:
    """Test the nested sets of `confidences` in order; `asked` is a random sample of them."""
    thresholds, sizes = _nested(confidences)
    tests = _tests(thresholds, sizes, asked, right, precision)
    accepted = rejected = None
    held, shares = 0.0, _shares(sizes, expected, precision, level)
    for test, share in zip(tests, shares, strict=True):
        held += share
        if held and test.p <= held:
            accepted, rejected = test, None
        elif held:
            held, rejected = 0.0, rejected or test
    return Guarantee(population, precision, level, accepted, rejected, tests[-1])


def _nested(confidences: NDArray[np.float32]) -> tuple[list[float], list[int]]:
    """Decreasing thresholds, and the number of images at least as confident as each of them."""
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
    """The level that each set starts with: nonzero for the two that the sequence may start from.

    The smallest set that the planned answers are likely to prove gets most of it. A larger one gets
    the rest, so that one wrong answer among the first few does not end the procedure. Both follow
    from the plan and not from the sample, on which the order of tests must not depend.
    """
    shares = np.zeros(len(sizes))
    least = _MARGIN * fewest_answers(precision, _EARLY * level)
    for share, needed in ((_EARLY, least), (1 - _EARLY, math.sqrt(least * expected))):
        likely = [expected * size >= needed * sizes[-1] for size in sizes[:-1]]
        shares[likely.index(True) if True in likely else -1] += share * level
    return shares


def _tests(
    thresholds: Sequence[float],
    sizes: Sequence[int],
    asked: NDArray[np.float32],
    right: NDArray[np.bool_],
    precision: float,
) -> list[ThresholdTest]:
    """The test of each nested set."""
    within = asked >= np.array(thresholds, dtype=np.float32)[:, None]
    counts, wrong = within.sum(axis=1), (within & ~right).sum(axis=1)
    too_many = np.minimum([_too_many(size, precision) for size in sizes], sizes)
    chances = np.asarray(hypergeom.cdf(wrong, sizes, too_many, counts))
    columns = (array.tolist() for array in (counts, wrong, chances))
    chances[np.array(sizes) == 0] = 1  # an empty set has no guarantee
    return [ThresholdTest(*row) for row in zip(thresholds, sizes, *columns, strict=True)]


def _too_many(images: int, precision: float) -> int:
    """The smallest number of wrong labels with which the precision of a set is too low."""
    return math.floor((1 - precision) * images + 1e-9) + 1


def _added_up(parts: Sequence[Guarantee]) -> Guarantee:
    """The guarantee of several groups together: a union of sets that have the precision has it."""
    accepted = [part.accepted for part in parts if part.accepted]
    return Guarantee(
        sum(part.population for part in parts),
        parts[0].precision,
        sum(part.level for part in parts),
        _sum(accepted) if accepted else None,
        None,
        _sum([part.largest for part in parts]),
    )


def _sum(tests: Sequence[ThresholdTest]) -> ThresholdTest:
    return ThresholdTest(
        min(test.threshold for test in tests),
        sum(test.images for test in tests),
        sum(test.asked for test in tests),
        sum(test.wrong for test in tests),
        max(test.p for test in tests),
    )

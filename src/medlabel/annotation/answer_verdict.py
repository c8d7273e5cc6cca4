"""The verdict on a student that learned from people's answers, by the answers themselves.

Answers are stronger evidence than anything that is found without them, so where there are enough,
they decide alone. Each is compared with a student that has not seen it or its image
(`medlabel.annotation.retraining`). Images that people assign to no class count as wrong.

| verdict | the 90 % interval of the accuracy (Clopper & Pearson 1934) |
| --- | --- |
| `guessing` | ends below 0.7 for two classes, within 15 points of chance for more: useless labels |
| `read` | begins at 0.8 or higher, and no class is missed |
| `doubtful` | everything else |

A class is missed if fewer than half of its images are found, and not known if fewer than five
answers name it. A collapsed labelling, in which everything gets one label, is accurate where nearly
all images are of one class; this is what gives it away.

For `doubtful`, labels are accepted above the lowest probability at which the interval of their
accuracy still begins at 0.8. The levels that keep a quarter, a half, three quarters and all of the
labels are tested in this order until one fails, so that trying several needs no correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from medlabel.student.verdict import AccuracyEstimate, Evidence, Level, Verdict

__all__ = ["ENOUGH", "verdict_of_answers"]

ENOUGH = 50  # answers: with fewer, the interval is up to 25 points wide
_USEFUL, _ABOVE_CHANCE = 0.7, 0.15
_GOOD = 0.8
_KNOWN_CLASS = 5  # answers
_FOUND = 0.5  # share of the images of a class
_KEPT = (0.25, 0.5, 0.75, 1.0)
_LEVELS: tuple[Level, ...] = ("read", "doubtful", "guessing")
_SUMMARIES: dict[Level, str] = {
    "read": "People's answers confirm the labels",
    "doubtful": "By people's answers, part of the labels is wrong or not known to be right",
    "guessing": "By people's answers, too many labels are wrong",
}
_MORE = "Answer more images (`medlabel audit plan`), and train again (`medlabel retrain`)."
_ADVICE: dict[Level, tuple[str, ...]] = {
    "read": (),
    "doubtful": (_MORE,),
    "guessing": (_MORE, "If that does not help, larger images may: the classes may not differ."),
}


def verdict_of_answers(
    classes: Sequence[str],
    answers: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    of_no_class: int = 0,
) -> Verdict | None:
    """The verdict on a student's labels; None if there are too few answers.

    Args:
        classes: K names.
        answers: people's labels, class indices [N].
        probabilities: calibrated, of students that have not learned from these images, [N, K].
        of_no_class: how many more answers say that an image is of none of the classes.
    """
    asked = len(answers) + of_no_class
    if asked < ENOUGH:
        return None
    right = probabilities.argmax(axis=1) == answers
    estimate = _estimate(int(right.sum()), asked)
    found = f"a student that had not seen the answers agreed with {_share(right.sum(), asked)}"
    evidence = [
        Evidence("answers", _by_accuracy(estimate, len(classes)), f"On {asked:,} images {found}.",
                 estimate.accuracy),
        *_missed_classes(classes, answers, right),
    ]  # fmt: skip
    if of_no_class:
        line = f"People found none of the classes in {_share(of_no_class, asked)} images."
        evidence.append(Evidence("no_class", "doubtful", line, of_no_class / asked))
    level = max((piece.level for piece in evidence if piece.name != "no_class"), key=_LEVELS.index)
    supported = None
    if level == "doubtful":
        supported = _supported_level(probabilities.max(axis=1), right, of_no_class / asked)
    summary = f"{_SUMMARIES[level]}: {found}."
    return Verdict(level, summary, tuple(evidence), _ADVICE[level], estimate, "", supported)


def _estimate(right: int, asked: int) -> AccuracyEstimate:
    interval = binomtest(right, asked).proportion_ci(0.9, "exact")
    return AccuracyEstimate(right / asked, float(interval.low), float(interval.high))


def _by_accuracy(estimate: AccuracyEstimate, classes: int) -> Level:
    useless = _USEFUL if classes == 2 else 1 / classes + _ABOVE_CHANCE
    if estimate.high < useless:
        return "guessing"
    return "read" if estimate.low >= _GOOD else "doubtful"


def _missed_classes(
    classes: Sequence[str], answers: NDArray[np.int64], right: NDArray[np.bool_]
) -> list[Evidence]:
    """A piece of evidence for each class that is not found, or not known to be found."""
    pieces = []
    for index, name in enumerate(classes):
        named = answers == index
        count, found = int(named.sum()), int(right[named].sum())
        if count < _KNOWN_CLASS:
            line = f"Only {count} answers name {name}: too few to know whether it is found."
        elif found < _FOUND * count:
            line = f"Of the images that people call {name}, only {_share(found, count)} got it."
        else:
            continue
        pieces.append(Evidence("class_found", "doubtful", line, found / max(1, count), name))
    return pieces


def _supported_level(
    confidence: NDArray[np.float32], right: NDArray[np.bool_], of_no_class: float
) -> float | None:
    """The lowest probability above which the labels are good; None if there is none.

    Args:
        confidence: of the labels, [N].
        right: whether people agree with them, [N].
        of_no_class: share of the answered images that are of no class; as their confidence is not
            known, this share of the labels above any level is assumed to be wrong.
    """
    supported = None
    for share in _KEPT:
        level = float(np.quantile(confidence, 1 - share, method="lower"))
        kept = confidence >= level
        strange = math.ceil(kept.sum() * of_no_class / (1 - of_no_class))
        if _estimate(int(right[kept].sum()), int(kept.sum()) + strange).low < _GOOD:
            break
        supported = math.ceil(1000 * level) / 1000
    return supported


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({count / total:.0%})"

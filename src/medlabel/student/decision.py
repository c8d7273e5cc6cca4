"""The decision for each image: accept the student's label, or send it to review.

| decision | review reasons |
| --- | --- |
| `auto` | none |
| `review` | `low_confidence`: the likeliest class has less than the required probability |
| | `out_of_distribution`: the out-of-distribution score is above 1 |
| | `uncalibrated`: the student has no calibration, or no out-of-distribution score |
| | `guessing`: the student's teacher was guessing (`medlabel.student.verdict`) |
| | `doubtful`: the evidence speaks against the teacher, and supports only labels of a higher |
| | probability than this one has |

Batch jobs and the HTTP service both decide by `review_reasons`, from the same figures: those of the
bundle's calibration (`medlabel.student.calibration`). This module does not import torch, because
processes that only read files need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError

__all__ = ["AUTO_ABOVE", "Assessment", "check_auto_above", "ranking_scores", "review_reasons"]

AUTO_ABOVE = 0.9  # default: labels with at least this calibrated probability need no review

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Assessment:
    """A student's predictions for N images.

    Attributes:
        probabilities: float32 [N, K], rows sum to one.
        ood_score: out-of-distribution scores, float32 [N]; above 1 an image is out of
            distribution. NaN if unknown.
        calibrated: whether the probabilities are calibrated.
        guessing: whether the student's teacher was guessing, so that no label is accepted.
        doubtful_below: the probability below which the student's verdict supports no label;
            0 if it supports all, above 1 if it supports none.
    """

    probabilities: Floats
    ood_score: Floats
    calibrated: bool
    guessing: bool = False
    doubtful_below: float = 0.0

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> "Assessment":
        """Select some of the images."""
        return replace(self, probabilities=self.probabilities[rows], ood_score=self.ood_score[rows])

    @property
    def confidence(self) -> Floats:
        """The probability of the likeliest class, float32 [N]."""
        best: Floats = self.probabilities.max(axis=1, initial=0)
        return best

    @classmethod
    def concatenate(cls, parts: Sequence["Assessment"]) -> "Assessment":
        """Concatenate assessments by the same student."""
        return replace(
            parts[0],
            probabilities=np.concatenate([part.probabilities for part in parts]),
            ood_score=np.concatenate([part.ood_score for part in parts]),
        )


def review_reasons(assessment: Assessment, auto_above: float) -> list[tuple[str, ...]]:
    """Return the review reasons of each image; none if its label is accepted.

    >>> assessment = Assessment(
    ...     np.array([[0.95, 0.05], [0.6, 0.4]], np.float32),
    ...     np.array([0.5, 2.0], np.float32),
    ...     calibrated=True,
    ... )
    >>> review_reasons(assessment, auto_above=0.9)
    [(), ('low_confidence', 'out_of_distribution')]

    Args:
        assessment: predictions for N images.
        auto_above: the probability that an accepted label needs.
    """
    unknown = np.isnan(assessment.ood_score)
    flags = {
        "low_confidence": assessment.confidence < np.float32(auto_above),
        "out_of_distribution": ~unknown & (assessment.ood_score > 1),
        "uncalibrated": unknown | (not assessment.calibrated),
        "guessing": np.full(len(unknown), assessment.guessing),
        "doubtful": assessment.confidence < np.float32(assessment.doubtful_below),
    }
    rows = range(len(assessment.probabilities))
    return [tuple(name for name, flag in flags.items() if flag[row]) for row in rows]


def ranking_scores(confidence: Floats, ood_score: Floats) -> Floats:
    """Return scores [N] that rank labels from most to least reliable.

    The score is the confidence, minus 1 for images that are out of distribution. So these come
    after all others, and each group is ordered by confidence.

    >>> ranking_scores(np.float32([0.5, 0.75]), np.float32([0.2, 3])).tolist()
    [0.5, -0.25]
    """
    out = ~np.isnan(ood_score) & (ood_score > 1)
    return np.asarray(confidence - out, dtype=np.float32)


def check_auto_above(share: float) -> None:
    """Raise a `MedlabelError` unless the threshold is between 0 and 1."""
    if not 0 <= share <= 1:
        raise MedlabelError(f"auto-above {share:g}: give a probability between 0 and 1")

"""What a student says of images, and whether a person has to look: one rule for every door.

| decision | when |
| --- | --- |
| `auto` | none of these: |
| `review` | `low_confidence`: the likeliest class has less than the asked probability |
| | `out_of_distribution`: the image is further from the pool than is usual there |
| | `uncalibrated`: the student cannot tell how sure it is, or how unlike an image is |
| | `undecidable`: its run warned that the task looks so (`medlabel.evaluation.diagnostics`) |

The service and the jobs on Ray Data decide by `review_reasons`, of the same figures: those of the
bundle's own calibration (see `medlabel.student.calibration`). There is no torch here: readers of
files need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError

__all__ = ["AUTO_ABOVE", "Assessment", "check_auto_above", "ranking_scores", "review_reasons"]

AUTO_ABOVE = 0.9  # calibrated probability of a label that nobody has to see, unless asked

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Assessment:
    """What a student says of N images.

    Attributes:
        probabilities: float32 [N, K], rows sum to one.
        ood_score: float32 [N], distance from the pool over the largest that is usual there;
            above 1 an image is like nothing that was learned. NaN where it cannot be told.
        calibrated: whether the probabilities were.
        decidable: whether the student's run had nothing to warn of.
    """

    probabilities: Floats
    ood_score: Floats
    calibrated: bool
    decidable: bool = True

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> "Assessment":
        """What is said of some of the images."""
        return replace(self, probabilities=self.probabilities[rows], ood_score=self.ood_score[rows])

    @property
    def confidence(self) -> Floats:
        """The probability of the likeliest class, float32 [N]."""
        best: Floats = self.probabilities.max(axis=1, initial=0)
        return best

    @classmethod
    def concatenate(cls, parts: Sequence["Assessment"]) -> "Assessment":
        """Judgements of one student, one after the other."""
        return cls(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.ood_score for part in parts]),
            parts[0].calibrated,
            parts[0].decidable,
        )


def review_reasons(assessment: Assessment, auto_above: float) -> list[tuple[str, ...]]:
    """Why each image has to be looked at; empty where its label may be taken unseen."""
    unknown = np.isnan(assessment.ood_score)
    flags = {
        "low_confidence": assessment.confidence < np.float32(auto_above),
        "out_of_distribution": ~unknown & (assessment.ood_score > 1),
        "uncalibrated": unknown | (not assessment.calibrated),
        "undecidable": np.full(len(unknown), not assessment.decidable),
    }
    rows = range(len(assessment.probabilities))
    return [tuple(name for name, flag in flags.items() if flag[row]) for row in rows]


def ranking_scores(confidence: Floats, ood_score: Floats) -> Floats:
    """Confidences [N] in the order in which labels are to be believed: less 1 where unlike.

    So what is like the pool is above 0, what is unlike it below, each by its confidence.
    """
    unlike = ~np.isnan(ood_score) & (ood_score > 1)
    return np.asarray(confidence - unlike, dtype=np.float32)


def check_auto_above(share: float) -> None:
    """Raise a `MedlabelError` unless it is a probability."""
    if not 0 <= share <= 1:
        raise MedlabelError(f"auto-above {share:g}: give a probability between 0 and 1")

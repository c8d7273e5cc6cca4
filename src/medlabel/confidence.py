"""How far to believe a label: its probabilities, and whether the image is like what was learned.

| decision | when |
| --- | --- |
| `auto` | calibrated, like the pool, and the likeliest class has at least the asked probability |
| `review` | anything else, with its reasons: `unsure`, `unlike`, `uncalibrated` |
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Judgement", "doubts"]


@dataclass(frozen=True)
class Judgement:
    """What a student says of N images.

    Attributes:
        probabilities: float32 [N, K], rows sum to one.
        unlikeness: float32 [N], distance from the pool over the largest that is usual there;
            above 1 an image is like nothing that was learned. NaN where it cannot be told.
        calibrated: whether the probabilities were.
    """

    probabilities: NDArray[np.float32]
    unlikeness: NDArray[np.float32]
    calibrated: bool


def doubts(judgement: Judgement, auto_above: float) -> list[tuple[str, ...]]:
    """Why each image has to be looked at; empty where its label may be taken unseen."""
    best = judgement.probabilities.max(axis=1)
    flags = {
        "unsure": best < auto_above,
        "unlike": judgement.unlikeness > 1,
        "uncalibrated": np.isnan(judgement.unlikeness) | (not judgement.calibrated),
    }
    return [tuple(name for name, flag in flags.items() if flag[row]) for row in range(len(best))]

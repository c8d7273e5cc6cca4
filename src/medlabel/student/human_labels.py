"""What people have said of some images of a pool: the one way a human label enters training.

A trusted label is learned from as it is, whatever the teacher says, with a weight of its own. It
comes from a person's answer (see `medlabel.annotation.retraining`), never from a source's true
labels: those are sealed, and cannot be made an array of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNLABELED", "HumanLabels"]

UNLABELED = -1  # has said what is in this image
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HumanLabels:
    """Human labels of a pool of N images.

    Attributes:
        labels: class indices, int64 [N]; `UNLABELED` where there is none.
        weight: how much a trusted label counts; a pseudo-label counts 1 at most.
    """

    labels: NDArray[np.int64]
    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64))
        if not self.weight > 0:
            raise ValueError(f"a trusted label of weight {self.weight:g} says nothing")

    @property
    def known(self) -> NDArray[np.bool_]:
        """Of which images somebody has said what they are, bool [N]."""
        return np.asarray(self.labels != UNLABELED)

    def of(self, rows: NDArray[np.int64]) -> "HumanLabels":
        """The labels of some of the images."""
        return HumanLabels(self.labels[rows], self.weight)

    def into(self, targets: Floats) -> Floats:
        """Targets [N, K] with the trusted labels in their places."""
        sure = np.eye(targets.shape[1], dtype=np.float32)[self.labels]
        return np.where(self.known[:, None], sure, targets)

    def weigh(self, weights: Floats) -> Floats:
        """Weights [N] with their own for the trusted labels; none of them is left out."""
        return np.where(self.known, np.float32(self.weight), weights)

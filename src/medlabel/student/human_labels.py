"""Labels that people gave to some images of a pool: the only way human labels enter training.

A human label replaces the pseudo-label of its image, with a weight of its own. It comes from a
person's answer (see `medlabel.annotation.retraining`), never from the true labels of a source,
which are sealed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNLABELED", "HumanLabels"]

UNLABELED = -1
"""Class index of images without a human label."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HumanLabels:
    """Human labels of some of the N images of a pool.

    Attributes:
        labels: class indices, int64 [N]; `UNLABELED` for images without a human label.
        weight: weight of a human label in the loss; that of a pseudo-label is at most 1.
    """

    labels: NDArray[np.int64]
    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64))
        if not self.weight > 0:
            raise ValueError(f"the weight of human labels is {self.weight:g}, but must be positive")

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each image has a human label, bool [N]."""
        return np.asarray(self.labels != UNLABELED)

    def subset(self, rows: NDArray[np.int64]) -> "HumanLabels":
        """Select some of the images."""
        return HumanLabels(self.labels[rows], self.weight)

    def apply_to_targets(self, targets: Floats) -> Floats:
        """Return the targets [N, K] with human labels, one-hot, in place of pseudo-labels."""
        one_hot = np.eye(targets.shape[1], dtype=np.float32)[self.labels]
        return np.where(self.known[:, None], one_hot, targets)

    def apply_to_weights(self, weights: Floats) -> Floats:
        """Return the weights [N] with the weight of human labels, which are never left out."""
        return np.where(self.known, np.float32(self.weight), weights)

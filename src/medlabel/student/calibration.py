"""Calibration of a trained student: temperature scaling and an out-of-distribution score.

`medlabel.student.decision` turns both into a decision. Neither uses true labels.

- Temperature scaling (Guo et al. 2017) is fitted to the teacher's pseudo-labels. A calibrated
  probability of 0.9 therefore means that nine in ten such images have the label that the *teacher*
  would give them. The temperature is at least 1, because the images were used in training.
- The out-of-distribution score is the larger of two. One is the Mahalanobis distance to the nearest
  class mean in the features before the last layer (Lee et al. 2018), with the student's own labels
  as classes; more than 2,048 are reduced to at most 512. It is divided by the distance within
  which 99.5 % of the pool lie, where each half of the pool is measured by the statistics of the
  other half. The other is the score of a detector that does not depend on what the student learned
  to see: `medlabel.student.outsiders`. Older bundles have the first alone.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from torch import nn

from medlabel.student.fit import to_pixels
from medlabel.student.networks import Student
from medlabel.student.outsiders import OutsiderDetector, fit_detector
from medlabel.student.outsiders.mahalanobis import (
    class_statistics,
    cross_fitted_distances,
    nearest_distance,
)

__all__ = ["Calibration", "FeatureReader", "calibrate"]

_MOST_VALUES = 2**26  # features or probabilities of a pool; of a larger pool a sample is used
OOD_QUANTILE = 0.995  # fraction of the pool that is in distribution by definition
_MAX_TEMPERATURE = 100.0
_BATCH = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """A student's temperature and the statistics of its features.

    Attributes:
        temperature: divisor of the log-probabilities, at least 1.
        centres: mean features of the C classes that it predicts, float32 [C, D], C at most K.
        whitening: float32 [D, P]; the distance is Euclidean after multiplication by this matrix.
            P is D, or at most 512 where D is large.
        limit: the distance within which nearly all of the pool lie.
        outsiders: the detector by appearance and colour; None in older bundles.
    """

    temperature: float
    centres: Floats
    whitening: Floats
    limit: float
    outsiders: OutsiderDetector | None = None

    def ood_score(
        self,
        features: Floats,
        images: NDArray[np.uint8],
        chroma: Floats | None = None,
        device: str = "cpu",
    ) -> Floats:
        """Return out-of-distribution scores, float32 [N]; above 1 is out of distribution.

        Args:
            features: of the student, float32 [N, D].
            images: what the student was shown, uint8 [N, S, S] or [N, S, S, 3].
            chroma: how far the images were from grey before that, float32 [N]; None if unknown.
            device: torch device to compute on.
        """
        distances = nearest_distance(features, self.centres, self.whitening)
        own = np.asarray(distances / self.limit, dtype=np.float32)
        if self.outsiders is None:
            return own
        return np.asarray(np.maximum(own, self.outsiders.score(images, chroma, device)))

    def apply_temperature(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities, float32 [N, K], of uncalibrated ones."""
        logits = np.log(np.maximum(probabilities, 1e-12)) / self.temperature
        return np.asarray(softmax(logits, axis=1), dtype=np.float32)


class FeatureReader:
    """Return a student's probabilities and features from one forward pass; it is thread-safe."""

    def __init__(self, student: Student) -> None:
        self._student, self._local = student, threading.local()
        heads = [_head(member, len(student.classes)) for member in student.members]
        self.has_features = all(head is not None for head in heads)
        self.width = sum(head.in_features for head in heads if head is not None)
        for head in heads if self.has_features else ():
            assert head is not None
            head.register_forward_pre_hook(self._record_features)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the features that threads are computing, which cannot be copied."""
        return {**vars(self), "_local": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_local": threading.local()})

    def _record_features(self, _head: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        taken: list[torch.Tensor] | None = getattr(self._local, "taken", None)
        if taken is not None:
            taken.append(inputs[0].flatten(1))

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Return probabilities [N, K] and features [N, D], both float32.

        Args:
            images: uint8 [N, S, S] or [N, S, S, 3].

        D is 0 if the network does not end in a linear layer.
        """
        device = str(next(self._student.parameters()).device)
        probabilities, features = [], []
        try:
            for start in range(0, len(images), _BATCH):
                self._local.taken = []
                pixels = to_pixels(images[start : start + _BATCH], device)
                probabilities.append(self._student(pixels).softmax(dim=1).cpu())
                found = self._local.taken or [torch.empty(len(pixels), 0)]
                features.append(torch.cat(found, dim=1).cpu())
        finally:
            self._local.taken = None
        return np.asarray(torch.cat(probabilities)), np.asarray(torch.cat(features))


def _head(member: nn.Module, classes: int) -> nn.Linear | None:
    """Return the layer that computes a network's logits, or None if it is not linear."""
    linear = [layer for layer in member.modules() if isinstance(layer, nn.Linear)]
    return linear[-1] if linear and linear[-1].out_features == classes else None


def calibrate(student: Student, images: NDArray[np.uint8], wanted: Floats) -> Calibration | None:
    """Calibrate a student on its pool.

    Args:
        student: a trained student.
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        wanted: the training targets, float32 [N, K]: hard or soft pseudo-labels.

    Of a pool whose features would not fit into memory, a random sample is used: at 12,288 features
    5,461 images.

    Returns:
        The calibration, or None if the network does not end in a linear layer or the pool has
        fewer than four images.
    """
    reader = FeatureReader(student)
    most = _MOST_VALUES // max(reader.width, len(student.classes))
    if len(images) > most:
        rows = np.sort(np.random.default_rng(0).permutation(len(images))[:most])
        images, wanted = images[rows], wanted[rows]
    probabilities, features = reader(images)
    labels = probabilities.argmax(axis=1)
    if not features.shape[1] or len(images) < 4:
        return None
    limit = float(np.quantile(cross_fitted_distances(features, labels), OOD_QUANTILE))
    return Calibration(
        _temperature(probabilities, wanted),
        *class_statistics(features, labels),
        max(limit, 1e-6),
        fit_detector(images, labels),
    )


def _temperature(probabilities: Floats, wanted: Floats) -> float:
    """Return the temperature, at least 1, that minimises the cross-entropy of the targets."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        normal = top + np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
        return float(-(wanted * (scaled - normal)).sum(axis=1).mean())

    found: Any = minimize_scalar(
        loss, bounds=(0.0, float(np.log(_MAX_TEMPERATURE))), method="bounded"
    )
    return float(np.exp(found.x)) if loss(float(found.x)) < loss(0.0) else 1.0

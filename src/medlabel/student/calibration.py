"""How far to believe a label: its probabilities, and whether the image is like what was learned.

What a decision makes of both is in `medlabel.student.decision`. No truth has a part in either. The
temperature (Guo et al. 2017) is fitted to the pseudo-labels that the teacher gave, so a calibrated
0.9 means that nine in ten such images have the label that the
*teacher* would give them; it is never below 1, for those images were seen in training. The distance
is Mahalanobis' from the nearest class's mean in the features before the last layer (Lee et al.
2018), classes being the student's own labels; its unit is what 99 of 100 pool images stay within,
each measured by statistics that it had no part in.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.covariance import LedoitWolf
from torch import nn

from medlabel.student.fit import to_pixels
from medlabel.student.networks import Student

__all__ = ["Calibration", "FeatureReader", "calibrate"]

OOD_QUANTILE = 0.99  # share of the pool that counts as like the pool
_MAX_TEMPERATURE = 100.0
_BATCH = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What is learned of a student after its training.

    Attributes:
        temperature: that its log-probabilities are divided by, at least 1.
        centres: mean features of the classes that it gives, float32 [C, D], C at most K.
        whitening: float32 [D, D]; distances are Euclidean after features are multiplied by it.
        limit: distance that is usual in the pool.
    """

    temperature: float
    centres: Floats
    whitening: Floats
    limit: float

    def ood_score(self, features: Floats) -> Floats:
        """Distances of features [N, D] in units of what is usual, float32 [N]."""
        distances = _distance(features, self.centres, self.whitening)
        return np.asarray(distances / self.limit, dtype=np.float32)

    def apply_temperature(self, probabilities: Floats) -> Floats:
        """Probabilities [N, K] at this temperature."""
        logits = np.log(np.maximum(probabilities, 1e-12)) / self.temperature
        return np.asarray(softmax(logits, axis=1), dtype=np.float32)


class FeatureReader:
    """A student's probabilities and features from one forward pass; threads may share it."""

    def __init__(self, student: Student) -> None:
        self._student, self._local = student, threading.local()
        heads = [_head(member, len(student.classes)) for member in student.members]
        self.has_features = all(head is not None for head in heads)
        for head in heads if self.has_features else ():
            assert head is not None
            head.register_forward_pre_hook(self._take)

    def __getstate__(self) -> dict[str, Any]:
        """All but what threads hold in the middle of a pass: that is nobody's to copy."""
        return {**vars(self), "_local": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_local": threading.local()})

    def _take(self, _head: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        taken: list[torch.Tensor] | None = getattr(self._local, "taken", None)
        if taken is not None:
            taken.append(inputs[0].flatten(1))

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Probabilities [N, K] and features [N, D] of uint8 images [N, S, S] or [N, S, S, 3].

        D is 0 where the network has no linear layer to look in front of.
        """
        device = str(next(self._student.parameters()).device)
        chances, features = [], []
        try:
            for start in range(0, len(images), _BATCH):
                self._local.taken = []
                pixels = to_pixels(images[start : start + _BATCH], device)
                chances.append(self._student(pixels).softmax(dim=1).cpu())
                found = self._local.taken or [torch.empty(len(pixels), 0)]
                features.append(torch.cat(found, dim=1).cpu())
        finally:
            self._local.taken = None
        return np.asarray(torch.cat(chances)), np.asarray(torch.cat(features))


def _head(member: nn.Module, classes: int) -> nn.Linear | None:
    """The layer that gives a network's logits, if it is linear."""
    linear = [layer for layer in member.modules() if isinstance(layer, nn.Linear)]
    return linear[-1] if linear and linear[-1].out_features == classes else None


def calibrate(student: Student, images: NDArray[np.uint8], wanted: Floats) -> Calibration | None:
    """Calibrate a student on its pool.

    Args:
        student: trained.
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        wanted: what was learned from, float32 [N, K]: pseudo-labels, hard or soft.

    Returns:
        None where the network has no linear layer at its end, or gives the pool one label in fewer
        than four images of it.
    """
    probabilities, features = FeatureReader(student)(images)
    labels = probabilities.argmax(axis=1)
    if not features.shape[1] or len(images) < 4:
        return None
    distances = np.concatenate(list(_cross_fitted_distances(features, labels)))
    centres, whitening = _statistics(features, labels)
    limit = float(np.quantile(distances, OOD_QUANTILE))
    return Calibration(_temperature(probabilities, wanted), centres, whitening, max(limit, 1e-6))


def _temperature(probabilities: Floats, wanted: Floats) -> float:
    """The temperature, 1 or hotter, at which the pseudo-labels are likeliest."""
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


def _cross_fitted_distances(features: Floats, labels: NDArray[np.int64]) -> Iterator[Floats]:
    """Distances of each half of the pool by the other half's statistics."""
    order = np.random.default_rng(0).permutation(len(features))
    halves = order[::2], order[1::2]
    for own, other in (halves, halves[::-1]):
        yield _distance(features[own], *_statistics(features[other], labels[other]))


def _statistics(features: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means of the classes that there are, and what makes the spread around them a unit ball."""
    there, place = np.unique(labels, return_inverse=True)
    wide = features.astype(np.float64)
    centres = np.stack([wide[labels == label].mean(axis=0) for label in there])
    precision = LedoitWolf(assume_centered=True).fit(wide - centres[place]).precision_
    values, vectors = np.linalg.eigh(precision)
    whitening = vectors * np.sqrt(np.maximum(values, 0.0))
    return centres.astype(np.float32), whitening.astype(np.float32)


def _distance(features: Floats, centres: Floats, whitening: Floats) -> Floats:
    """Mahalanobis distance [N] of features [N, D] from the nearest centre."""
    white, middles = features @ whitening, centres @ whitening
    distances: Floats = np.linalg.norm(white[:, None] - middles[None], axis=2).min(axis=1)
    return distances

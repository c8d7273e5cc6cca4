"""The Mahalanobis distance of features to the nearest class of a pool (Lee et al. 2018)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

__all__ = ["class_statistics", "cross_fitted_distances", "folds_of", "nearest_distance"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def class_statistics(features: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Return the means of the classes and the whitening of the deviations from them.

    Args:
        features: float32 [N, D].
        labels: the class of each image, int64 [N].

    Returns:
        Means float32 [C, D] of the classes that occur, and whitening float32 [D, D].
    """
    present, place = np.unique(labels, return_inverse=True)
    wide = features.astype(np.float64)
    centres = np.stack([wide[labels == label].mean(axis=0) for label in present])
    precision: NDArray[Any] = LedoitWolf(assume_centered=True).fit(wide - centres[place]).precision_
    values, vectors = np.linalg.eigh(precision)
    whitening = vectors * np.sqrt(np.maximum(values, 0.0))
    return centres.astype(np.float32), whitening.astype(np.float32)


def nearest_distance(features: Floats, centres: Floats, whitening: Floats) -> Floats:
    """Return the Mahalanobis distances [N] of features [N, D] to the nearest centre."""
    white, middles = features @ whitening, centres @ whitening
    distances: Floats = np.linalg.norm(white[:, None] - middles[None], axis=2).min(axis=1)
    return distances


def folds_of(n: int, folds: int) -> Iterator[tuple[Labels, Labels]]:
    """Yield the rows of each of some random folds, and all other rows."""
    order = np.random.default_rng(0).permutation(n)
    for fold in range(folds):
        mine = np.arange(n) % folds == fold
        yield order[mine], order[~mine]


def cross_fitted_distances(features: Floats, labels: Labels, folds: int = 2) -> Floats:
    """Return the distances [N] of each fold of a pool under the statistics of the other folds."""
    distances = np.empty(len(features), dtype=np.float32)
    for own, other in folds_of(len(features), folds):
        statistics = class_statistics(features[other], labels[other])
        distances[own] = nearest_distance(features[own], *statistics)
    return distances

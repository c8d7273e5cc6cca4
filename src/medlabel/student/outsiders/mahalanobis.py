"""The Mahalanobis distance of features to the nearest class of a pool (Lee et al. 2018).

The covariance of D features costs D squared numbers and D cubed steps: of the 12,288 features of
three VGGs, 604 MB and most of an hour. Above `MOST_FEATURES`, features are therefore projected to
`_PROJECTED` random directions before their covariance is estimated. That keeps their distances to
a few percent (Johnson & Lindenstrauss 1984).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.random_projection import GaussianRandomProjection

__all__ = [
    "MOST_FEATURES",
    "class_statistics",
    "cross_fitted_distances",
    "folds_of",
    "nearest_distance",
]

MOST_FEATURES = 2048  # whose covariance is estimated as it is
_PROJECTED = 512
_AT_A_TIME = 2**24  # differences of images and centres, 64 MB

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def class_statistics(features: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Return the means of the classes and the whitening of the deviations from them.

    Args:
        features: float32 [N, D].
        labels: the class of each image, int64 [N].

    Returns:
        Means float32 [C, D] of the classes that occur, and whitening float32 [D, D]; above
        `MOST_FEATURES` features it is [D, 512].
    """
    present, place = np.unique(labels, return_inverse=True)
    if features.shape[1] > MOST_FEATURES:
        means = [features[labels == c].mean(axis=0, dtype=np.float64) for c in present]
        centres = np.stack(means).astype(np.float32)
        projection = _random_projection(features.shape[1])
        wide = (features @ projection - (centres @ projection)[place]).astype(np.float64)
        return centres, projection @ _whitening(wide).astype(np.float32)
    wide = features.astype(np.float64)
    centres = np.stack([wide[labels == label].mean(axis=0) for label in present])
    return centres.astype(np.float32), _whitening(wide - centres[place]).astype(np.float32)


def _whitening(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the whitening [D, D] of deviations [N, D] from the means."""
    precision: NDArray[Any] = LedoitWolf(assume_centered=True).fit(deviations).precision_
    values, vectors = np.linalg.eigh(precision)
    whitening: NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return whitening


def _random_projection(features: int) -> Floats:
    """Return a matrix float32 [D, 512] of random numbers, the same for each D."""
    made = GaussianRandomProjection(_PROJECTED, random_state=0).fit(np.zeros((1, features)))
    projection: Floats = made.components_.T.astype(np.float32)
    return projection


def nearest_distance(features: Floats, centres: Floats, whitening: Floats) -> Floats:
    """Return the Mahalanobis distances [N] of features [N, D] to the nearest centre.

    Args:
        features: float32 [N, D].
        centres: float32 [C, D].
        whitening: float32 [D, P].
    """
    white, middles = features @ whitening, centres @ whitening
    distances = np.empty(len(features), dtype=np.float32)
    rows = max(1, _AT_A_TIME // max(1, middles.size))
    for start in range(0, len(white), rows):
        part = white[start : start + rows, None] - middles[None]
        distances[start : start + rows] = np.linalg.norm(part, axis=2).min(axis=1)
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

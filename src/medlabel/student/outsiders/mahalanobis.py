"""The Mahalanobis distance of features to the nearest class of a pool (Lee et al. 2018).

The covariance of D features costs D squared numbers and D cubed steps: of the 12,288 features of
three VGGs, 604 MB and most of an hour. Of more than `MOST_FEATURES`, the `_MAIN` directions in
which a pool varies most are therefore whitened as they are, and all others alike, by their mean
variance (probabilistic PCA, Tipping & Bishop 1999). What an image has in those is measured along
`_REST` random directions, which keep lengths to a few percent (Johnson & Lindenstrauss 1984).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

__all__ = [
    "MOST_FEATURES",
    "class_statistics",
    "cross_fitted_distances",
    "folds_of",
    "nearest_distance",
]

MOST_FEATURES = 2048  # whose covariance is estimated as it is
_MAIN, _REST = 256, 256
_MOST_IMAGES = 2000  # whose wide features are compared with each other
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
        `MOST_FEATURES` features it is [D, P] with P of at most 512.
    """
    present, place = np.unique(labels, return_inverse=True)
    if features.shape[1] > MOST_FEATURES:
        means = [features[labels == label].mean(axis=0, dtype=np.float64) for label in present]
        centres, some = np.stack(means), _sample(len(features))
        deviations = features[some].astype(np.float64) - centres[place[some]]
        return centres.astype(np.float32), _wide_whitening(deviations).astype(np.float32)
    wide = features.astype(np.float64)
    centres = np.stack([wide[labels == label].mean(axis=0) for label in present])
    precision: NDArray[Any] = LedoitWolf(assume_centered=True).fit(wide - centres[place]).precision_
    values, vectors = np.linalg.eigh(precision)
    whitening = vectors * np.sqrt(np.maximum(values, 0.0))
    return centres.astype(np.float32), whitening.astype(np.float32)


def _sample(n: int) -> Labels:
    """Return the rows of at most `_MOST_IMAGES` random images of n."""
    return np.sort(np.random.default_rng(0).permutation(n)[:_MOST_IMAGES])


def _wide_whitening(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the whitening [D, P] of many features, by deviations [N, D] from the means.

    It needs the products of images [N, N] only, and no covariance [D, D].
    """
    n, d = deviations.shape
    products = deviations @ deviations.T
    mean, shrinkage = np.trace(products) / n / d, _ledoit_wolf(products, d)
    values, vectors = np.linalg.eigh(products)
    main = values > 1e-9 * max(values[-1], np.finfo(float).tiny)
    main[:-_MAIN] = False
    axes = deviations.T @ (vectors[:, main] / np.sqrt(values[main]))
    variances = (1 - shrinkage) * values[main] / n + shrinkage * mean
    rest = max((d * mean - variances.sum()) / (d - len(variances)), 1e-6 * mean)
    random = np.random.RandomState(0).standard_normal((d, _REST)) / np.sqrt(_REST)
    random -= axes @ (axes.T @ random)
    scale = np.array([*variances, *np.full(_REST, rest)])
    whitening: NDArray[np.float64] = np.hstack([axes, random])
    return whitening / np.sqrt(np.where(scale > 0, scale, np.inf))


def _ledoit_wolf(products: NDArray[np.float64], d: int) -> float:
    """Return the shrinkage of Ledoit & Wolf (2004), from the products [N, N] of images.

    It is `sklearn.covariance.ledoit_wolf_shrinkage`, which needs the features and D squared steps.
    """
    n, mean = len(products), np.trace(products) / len(products) / d
    squares = float((products**2).sum()) / n**2
    distance = squares - d * mean**2
    error = (float((np.diag(products) ** 2).sum()) / n - squares) / n
    return min(error, distance) / distance if distance > 0 else 0.0


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

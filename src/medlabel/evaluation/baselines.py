"""Baselines for comparison with the student, on the same pool and test set.

| name | method |
| --- | --- |
| `majority class` | the teacher's most frequent label for every image |
| `pixel statistics` | logistic regression on mean and standard deviation of the pixels |
| `embedding clusters` | k-means of the teacher's embeddings; clusters are named by its scores |
| `true labels` | the same student and recipe trained on true labels: an upper bound |

The last baseline is the only place where a model is trained on true labels. It belongs to the
evaluation, and nothing else in a run depends on it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["embedding_clusters", "majority_class", "pixel_statistics"]


def majority_class(pool_scores: NDArray[np.float32], n_test: int) -> NDArray[np.float32]:
    """Predict the pool's most frequent pseudo-label for every test image.

    Args:
        pool_scores: of the teacher, float32 [N, K].
        n_test: number of test images.

    Returns:
        One-hot probabilities, float32 [n_test, K].
    """
    labels, k = pool_scores.argmax(axis=1), pool_scores.shape[1]
    model = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(labels), 1)), labels)
    return _one_hot(model.predict(np.zeros((n_test, 1))), k)


def pixel_statistics(
    pool: NDArray[np.uint8], pool_scores: NDArray[np.float32], test: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Fit a logistic regression of the pseudo-labels on pixel statistics; predict the test images.

    Args:
        pool: uint8 [N, S, S] or [N, S, S, 3].
        pool_scores: of the teacher, float32 [N, K].
        test: uint8 [M, S, S] or [M, S, S, 3].

    Returns:
        Probabilities, float32 [M, K].
    """
    labels, k = pool_scores.argmax(axis=1), pool_scores.shape[1]
    if len(np.unique(labels)) < 2:
        return majority_class(pool_scores, len(test))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_statistics(pool), labels)
    probabilities = np.zeros((len(test), k), dtype=np.float32)
    probabilities[:, model.classes_] = model.predict_proba(_statistics(test))
    return probabilities


def embedding_clusters(
    pool: NDArray[np.floating],
    pool_scores: NDArray[np.float32],
    test: NDArray[np.floating],
    seed: int,
) -> NDArray[np.float32]:
    """Cluster the pool's embeddings; name the clusters by an optimal assignment to the scores.

    Args:
        pool: embeddings [N, D].
        pool_scores: of the teacher, float32 [N, K].
        test: embeddings [M, D].
        seed: of k-means.

    Returns:
        One-hot probabilities of the test images, float32 [M, K].
    """
    k = pool_scores.shape[1]
    model = KMeans(n_clusters=k, n_init=10, random_state=seed).fit(pool.astype(np.float32))
    agreement = np.stack([pool_scores[model.labels_ == j].sum(axis=0) for j in range(k)])
    clusters, names = linear_sum_assignment(agreement, maximize=True)
    name_of = dict(zip(clusters.tolist(), names.tolist(), strict=True))
    found = model.predict(test.astype(np.float32))
    return _one_hot(np.array([name_of[int(cluster)] for cluster in found]), k)


def _statistics(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return mean and standard deviation per channel, float64 [N, 2C]."""
    flat = images.reshape(len(images), images.shape[1] * images.shape[2], -1).astype(np.float64)
    return np.concatenate([flat.mean(axis=1), flat.std(axis=1)], axis=1)


def _one_hot(labels: NDArray[np.int64], k: int) -> NDArray[np.float32]:
    return np.eye(k, dtype=np.float32)[labels]

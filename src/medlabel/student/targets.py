"""What of a pool is learned from, and how much: targets and weights, made of scores alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.student.recipes import Recipe
from medlabel.teacher.zero_shot import balance

__all__ = ["find_label_errors", "sample_weights", "training_targets"]

Scores = NDArray[np.float32]


def training_targets(scores: Scores, recipe: Recipe) -> Scores:
    """What is learned from, float32 [N, K]: balanced or as it is, soft or one-hot."""
    chances = balance(scores) if recipe.balanced else scores
    if recipe.targets == "soft":
        return chances
    hard: Scores = np.eye(scores.shape[1], dtype=np.float32)[chances.argmax(axis=1)]
    return hard


def sample_weights(scores: Scores, recipe: Recipe) -> Scores:
    """How much each image counts, float32 [N], zero where it is left out; all ones: alike."""
    chances = balance(scores) if recipe.balanced else scores
    weight = np.ones(len(scores), dtype=np.float32)
    if recipe.weights == "margin":
        ordered = np.sort(chances, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        weight *= margin if margin.any() else 1  # equal scores have no margin to go by
    if recipe.top_k_per_class is not None:
        weight *= _top_k_per_class(chances, recipe.top_k_per_class)
    return weight


def _top_k_per_class(chances: Scores, top: int) -> NDArray[np.bool_]:
    """Which images are among the `top` likeliest of the class they are taken for, bool [N]."""
    chosen = np.zeros(len(chances), dtype=bool)
    labels = chances.argmax(axis=1)
    for k in range(chances.shape[1]):
        rows = np.flatnonzero(labels == k)
        chosen[rows[np.argsort(-chances[rows, k], kind="stable")[:top]]] = True
    return chosen


def find_label_errors(labels: NDArray[np.int64], chances: Scores) -> NDArray[np.bool_]:
    """Which labels confident learning takes for wrong, bool [N] (Northcutt et al. 2021).

    Args:
        labels: pseudo-labels [N].
        chances: out-of-sample probabilities [N, K] of a network that learned from them.
    """
    k = chances.shape[1]
    if len(np.unique(labels)) < k:
        return np.zeros(len(labels), dtype=bool)  # a class without a label has no errors to count
    return np.asarray(_find_label_issues()(labels, chances, n_jobs=1), dtype=bool)


def _find_label_issues() -> Any:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MedlabelError(
            "`prune` needs cleanlab: pip install 'medlabel[prune]', or set `prune: false`"
        ) from error
    return find_label_issues

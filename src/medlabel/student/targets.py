"""Training targets and sample weights of a pool, computed from the teacher's scores alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.student.recipes import Recipe
from medlabel.teacher.zero_shot import balance

__all__ = ["find_label_errors", "sample_weights", "training_targets"]

Scores = NDArray[np.float32]


def training_targets(scores: Scores, recipe: Recipe) -> Scores:
    """Return the training targets of a recipe, float32 [N, K], soft or one-hot.

    Args:
        scores: of the teacher, float32 [N, K]; rows sum to one.
        recipe: says whether targets are balanced, and hard or soft.
    """
    probabilities = balance(scores) if recipe.balanced else scores
    if recipe.targets == "soft":
        return probabilities
    hard: Scores = np.eye(scores.shape[1], dtype=np.float32)[probabilities.argmax(axis=1)]
    return hard


def sample_weights(scores: Scores, recipe: Recipe) -> Scores:
    """Return the sample weights of a recipe, float32 [N]; 0 leaves an image out.

    Args:
        scores: of the teacher, float32 [N, K]; rows sum to one.
        recipe: says how images are weighted and selected.
    """
    probabilities = balance(scores) if recipe.balanced else scores
    weight = np.ones(len(scores), dtype=np.float32)
    if recipe.weights == "margin":
        ordered = np.sort(probabilities, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        weight *= margin if margin.any() else 1  # all margins are 0 if all scores are equal
    if recipe.top_k_per_class is not None:
        weight *= _top_k_per_class(probabilities, recipe.top_k_per_class)
    return weight


def _top_k_per_class(probabilities: Scores, top: int) -> NDArray[np.bool_]:
    """Return whether each image is among the `top` likeliest of its predicted class, bool [N]."""
    chosen = np.zeros(len(probabilities), dtype=bool)
    labels = probabilities.argmax(axis=1)
    for k in range(probabilities.shape[1]):
        rows = np.flatnonzero(labels == k)
        chosen[rows[np.argsort(-probabilities[rows, k], kind="stable")[:top]]] = True
    return chosen


def find_label_errors(labels: NDArray[np.int64], probabilities: Scores) -> NDArray[np.bool_]:
    """Return which labels confident learning finds wrong, bool [N] (Northcutt et al. 2021).

    Args:
        labels: pseudo-labels, int64 [N].
        probabilities: out-of-sample probabilities [N, K] of networks trained on these labels.

    Raises:
        MedlabelError: cleanlab is not installed.
    """
    k = probabilities.shape[1]
    if len(np.unique(labels)) < k:
        # Confident learning needs every class to have a label.
        return np.zeros(len(labels), dtype=bool)
    return np.asarray(_find_label_issues()(labels, probabilities, n_jobs=1), dtype=bool)


def _find_label_issues() -> Any:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MedlabelError(
            "`prune` needs cleanlab: pip install 'medlabel[prune]', or set `prune: false`"
        ) from error
    return find_label_issues

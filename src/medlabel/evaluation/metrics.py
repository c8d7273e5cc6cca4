"""Metrics of teacher, student and baselines: the only module that unseals the true labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)

from medlabel.data.truth import SealedTruth

__all__ = [
    "Metrics",
    "compute_metrics",
    "confusion",
    "evaluate_baseline",
    "evaluate_cell",
    "recall_rows",
    "summarise",
    "true_labels",
    "true_scores",
]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc")


@dataclass(frozen=True)
class Metrics:
    """Agreement of probabilities with the truth, each from 0 to 1.

    `auc` is the area under the ROC curve, one class against the rest, mean over classes.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    auc: float


def compute_metrics(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Metrics:
    """Compute scikit-learn's metrics.

    >>> compute_metrics(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1])).auc
    1.0

    Args:
        probabilities: [N, K].
        labels: true class indices, int64 [N].
    """
    guesses = probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    aucs = [roc_auc_score(labels == k, probabilities[:, k]) for k in classes]
    return Metrics(
        accuracy=float(accuracy_score(labels, guesses)),
        balanced_accuracy=float(balanced_accuracy_score(labels, guesses)),
        macro_f1=float(f1_score(labels, guesses, average="macro", labels=list(classes))),
        auc=float(np.mean(aucs)),
    )


def evaluate_cell(
    truth: SealedTruth,
    pool_ids: Sequence[str],
    test_ids: Sequence[str],
    teacher_pool: NDArray[np.float32],
    teacher_test: NDArray[np.float32],
    student_test: NDArray[np.float32],
) -> dict[str, float]:
    """Return the metric columns of one row of `results.parquet`.

    All are computed on the test set except `teacher_pool_accuracy`. Scores are [N, K].
    """
    labels = truth.unseal(test_ids)
    row: dict[str, float] = {
        "n_pool": len(pool_ids),
        "n_test": len(test_ids),
        "teacher_pool_accuracy": float(
            accuracy_score(truth.unseal(pool_ids), teacher_pool.argmax(axis=1))
        ),
    }
    for who, probabilities in (("teacher", teacher_test), ("student", student_test)):
        metrics = compute_metrics(probabilities, labels)
        row |= {f"{who}_{name}": getattr(metrics, name) for name in METRICS}
    return row


def evaluate_baseline(
    truth: SealedTruth, test_ids: Sequence[str], probabilities: NDArray[np.floating]
) -> dict[str, float]:
    """Return the metric columns of one row of `baselines.parquet`."""
    return asdict(compute_metrics(probabilities, truth.unseal(test_ids)))


def true_labels(truth: SealedTruth, test_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return true class indices, int64 [N], for the figures of the report."""
    return truth.unseal(test_ids)


def true_scores(truth: SealedTruth, pool_ids: Sequence[str], k: int) -> NDArray[np.float32]:
    """Return one-hot true labels, float32 [N, K], for the baseline trained on true labels only."""
    return np.eye(k, dtype=np.float32)[truth.unseal(pool_ids)]


def confusion(
    truth: SealedTruth, test_ids: Sequence[str], probabilities: NDArray[np.floating]
) -> NDArray[np.int64]:
    """Return the confusion matrix, int64 [K, K]: true classes by row, predicted by column."""
    labels, classes = truth.unseal(test_ids), range(probabilities.shape[1])
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=list(classes))
    return np.asarray(matrix, dtype=np.int64)


def recall_rows(
    truth: SealedTruth,
    test_ids: Sequence[str],
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the rows of `recalls.parquet`: recall and number of test images per class.

    A class without test images has a recall of NaN and an `n` of 0.
    """
    counts = confusion(truth, test_ids, probabilities)
    return [
        {"class": name, "n": int(n), "recall": float(right / n) if n else float("nan")}
        for name, n, right in zip(class_names, counts.sum(axis=1), counts.diagonal(), strict=True)
    ]


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Summarise `results.parquet`: mean, standard deviation and minimum over seeds.

    Returns:
        One row for the teacher and one for the student.
    """
    rows = []
    for who in ("teacher", "student"):
        accuracy, f1 = results[f"{who}_accuracy"], results[f"{who}_macro_f1"]
        rows.append(
            {
                "who": who,
                "accuracy": accuracy.mean(),
                "accuracy_spread": accuracy.std(ddof=0),
                "worst_accuracy": accuracy.min(),
                "macro_f1": f1.mean(),
                "macro_f1_spread": f1.std(ddof=0),
            }
        )
    return pd.DataFrame(rows)

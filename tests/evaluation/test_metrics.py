import numpy as np
import pandas as pd
import pytest

from medlabel.data.truth import SealedTruth
from medlabel.evaluation.metrics import (
    compute_metrics,
    confusion,
    evaluate_cell,
    recall_rows,
    summarise,
    true_scores,
)


def test_metrics_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    metrics = compute_metrics(probabilities, np.array([0, 0, 1, 1]))
    assert metrics.accuracy == 0.75
    assert metrics.balanced_accuracy == 0.75
    assert metrics.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics.auc == 0.75


def test_auc_is_the_mean_of_one_class_against_the_rest():
    labels = np.array([0, 1, 2, 0, 1, 2])
    metrics = compute_metrics(np.eye(3)[labels], labels)
    assert metrics.auc == metrics.accuracy == 1.0


def test_a_row_tells_teacher_from_student_and_pool_from_test():
    truth = SealedTruth(["p0", "p1", "t0", "t1"], [0, 1, 0, 1])
    right, wrong = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[::-1]
    row = evaluate_cell(truth, ["p0", "p1"], ["t0", "t1"], wrong, wrong, right)
    assert row["n_pool"] == row["n_test"] == 2
    assert row["teacher_pool_accuracy"] == row["teacher_accuracy"] == 0
    assert row["student_accuracy"] == row["student_auc"] == 1


def test_confusion_counts_true_class_by_row():
    truth = SealedTruth(["a", "b", "c"], [0, 0, 1])
    given = np.array([[1, 0], [0, 1], [0, 1]])
    assert confusion(truth, ["a", "b", "c"], given).tolist() == [[1, 1], [0, 1]]


def test_recall_is_told_class_by_class():
    truth = SealedTruth(["a", "b", "c"], [0, 0, 1])
    given = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    none, some, whole = sorted(
        recall_rows(truth, ["a", "b", "c"], given, "xyz"),
        key=lambda row: (row["n"] > 0, row["recall"]),
    )
    assert (none["class"], none["n"], np.isnan(none["recall"])) == ("z", 0, True)
    assert some == {"class": "x", "n": 2, "recall": 0.5}
    assert whole == {"class": "y", "n": 1, "recall": 1.0}


def test_true_scores_are_never_wrong():
    truth = SealedTruth(["a", "b"], [1, 0])
    assert true_scores(truth, ["a", "b"], 2).tolist() == [[0, 1], [1, 0]]


def test_summary_has_mean_spread_and_worst_seed():
    columns = ("teacher_accuracy", "student_accuracy", "teacher_macro_f1", "student_macro_f1")
    rows = summarise(pd.DataFrame({name: [0.5, 1.0] for name in columns}))
    assert rows["accuracy"].tolist() == [0.75, 0.75]
    assert rows["accuracy_spread"].tolist() == [0.25, 0.25]
    assert rows["worst_accuracy"].tolist() == [0.5, 0.5]

"""What is read and what is not: ranks, statistics, and the row that says so."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.findings import accuracy_row, against_rest, auc, chest_rows, statistics


def test_the_area_is_scikit_learns_ties_and_all():
    dice = np.random.default_rng(0)
    sick, scores = dice.random(200) < 0.3, dice.integers(0, 9, 200) / 9
    assert auc(scores, sick) == pytest.approx(roc_auc_score(sick, scores))
    assert np.isnan(auc(scores, np.zeros(200, bool)))


def films(n, seed=0):
    dice = np.random.default_rng(seed)
    return dice.integers(0, 255, (n, 28, 28)).astype(np.uint8), dice.random(n) < 0.5


def test_statistics_see_what_they_are_named_for():
    dark = np.full((1, 28, 28), 200, np.uint8)
    dark[:, 10:18, 10:18] = 0
    plain = np.full((1, 28, 28), 200, np.uint8)
    hollow, even = statistics(dark), statistics(plain)
    assert all(hollow[name] > even[name] for name in ("contrast", "centre darkness", "edges"))
    assert hollow["mean"] < even["mean"]


def test_a_teacher_that_knows_is_read_and_one_that_guesses_is_not():
    images, sick = films(300)
    guess = np.random.default_rng(1).random(300)
    assert against_rest("x", sick + 0.1 * guess, images, sick, 50)["read"]
    assert not against_rest("x", guess, images, sick, 50)["read"]


def test_a_statistic_that_tells_everything_leaves_nothing_to_read():
    images, sick = films(300)
    images[sick] //= 4
    row = against_rest("x", sick.astype(float), images, sick, 50)
    assert (row["which"], row["trivial"], row["read"]) == ("-mean", 1.0, False)


def test_findings_that_nobody_has_are_left_out_of_the_mean():
    images, sick = films(200)
    labels = np.zeros((200, 14), np.int64)
    labels[:, 2] = sick
    rows = list(chest_rows("here", np.tile(sick[:, None] * 1.0, (1, 15)), images, labels, 20))
    assert [row["what"] for row in rows] == ["1 chest findings, here", "effusion, here"]
    assert rows[0]["teacher"] == 1.0


def test_accuracy_stands_beside_the_most_frequent_class():
    labels = np.repeat([0, 1], [70, 30])
    assert accuracy_row("x", np.eye(2)[labels], labels, 20)["read"]
    assert not accuracy_row("x", np.tile([1.0, 0.0], (100, 1)), labels, 20)["read"]

import sys
from dataclasses import replace

import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.student.recipes import RECIPES
from medlabel.student.targets import find_label_errors, sample_weights, training_targets

PAPER, ROBUST = RECIPES["paper"], RECIPES["robust"]
SKEWED = np.array([[0.6, 0.4], [0.9, 0.1]], np.float32)


def test_hard_targets_are_the_likeliest_classes():
    np.testing.assert_array_equal(training_targets(SKEWED, PAPER), [[1, 0], [1, 0]])
    np.testing.assert_array_equal(
        training_targets(SKEWED, replace(PAPER, balanced=True)), [[0, 1], [1, 0]]
    )


def test_soft_targets_keep_their_probabilities():
    np.testing.assert_array_equal(training_targets(SKEWED, replace(PAPER, targets="soft")), SKEWED)


def test_robust_targets_are_soft_and_balanced():
    soft = training_targets(SKEWED, ROBUST)
    np.testing.assert_allclose(soft.mean(axis=0), 0.5, atol=1e-4)
    assert soft[0, 1] > soft[0, 0]


def test_images_count_by_their_margin():
    got = sample_weights(SKEWED, replace(PAPER, weights="margin"))
    np.testing.assert_allclose(got, [0.2, 0.8], atol=1e-6)
    level = np.full((2, 2), 0.5, np.float32)
    np.testing.assert_array_equal(sample_weights(level, replace(PAPER, weights="margin")), [1, 1])


def test_the_likeliest_of_each_class_are_kept():
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]], np.float32)
    np.testing.assert_array_equal(
        sample_weights(scores, replace(PAPER, top_k_per_class=1)), [1, 0, 0, 1]
    )
    np.testing.assert_array_equal(sample_weights(scores, PAPER), [1, 1, 1, 1])


def test_pruning_finds_labels_that_the_network_is_sure_are_wrong():
    truth = np.arange(100) % 2
    labels = truth.copy()
    labels[:5] = 1 - labels[:5]
    chances = np.where(np.eye(2)[truth] > 0, 0.9, 0.1).astype(np.float32)
    np.testing.assert_array_equal(np.flatnonzero(find_label_errors(labels, chances)), np.arange(5))


def test_nothing_is_pruned_where_a_class_has_no_label():
    assert not find_label_errors(np.zeros(4, np.int64), np.full((4, 2), 0.5, np.float32)).any()


def test_pruning_without_cleanlab_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MedlabelError, match=r"pip install 'medlabel\[prune\]'"):
        find_label_errors(np.arange(4) % 2, np.full((4, 2), 0.5, np.float32))

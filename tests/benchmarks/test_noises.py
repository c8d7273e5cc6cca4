"""The noise that the benchmarks put on labels is as large, and of the kind, that its name says."""

import numpy as np
import pytest

from benchmarks.noises import noisy_scores
from medlabel.errors import MedlabelError

K, N = 3, 600
LABELS = np.arange(N) % K


@pytest.fixture
def images():
    """Each class has a bright band of its own, so faint that a model is at times mistaken."""
    bands = np.random.default_rng(0).normal(100, 10, (N, K)) + 30 * np.eye(K)[LABELS]
    return np.repeat(np.repeat(bands, [9, 9, 10], axis=1)[:, :, None], 28, axis=2).astype(np.uint8)


def labels_of(name, images, seed=0):
    return noisy_scores(name, LABELS, images, K, seed).argmax(axis=1)


def test_symmetric_labels_are_wrong_as_often_as_said_in_every_class(images):
    wrong = labels_of("symmetric-30", images) != LABELS
    assert [wrong[k == LABELS].mean() for k in range(K)] == pytest.approx([0.3] * K, abs=0.08)
    assert (labels_of("symmetric-0", images) == LABELS).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_one_class_is_worse_than_the_others(images, seed):
    wrong = labels_of("skewed", images, seed) != LABELS
    assert wrong[seed == LABELS].mean() == pytest.approx(0.4, abs=0.08)
    assert wrong[seed != LABELS].mean() == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("percent", [60, 70, 80, 90])
def test_a_weak_model_is_as_right_as_asked(images, percent):
    right = labels_of(f"image-{percent}", images) == LABELS
    assert right.mean() == pytest.approx(percent / 100, abs=0.01)


def test_a_weak_model_errs_where_it_is_unsure(images):
    scores = noisy_scores("image-soft-80", LABELS, images, K, 0)
    wrong = scores.argmax(axis=1) != LABELS
    assert (labels_of("image-80", images) == scores.argmax(axis=1)).mean() > 0.99
    assert scores.max(axis=1).mean() == pytest.approx(1 - wrong.mean(), abs=0.01)
    assert scores.max(axis=1)[wrong].mean() < scores.max(axis=1)[~wrong].mean() - 0.05


@pytest.mark.parametrize("name", ["symmetric-20", "skewed", "image-70", "random"])
def test_the_same_seed_gives_the_same_mistakes(images, name):
    once, again, other = (labels_of(name, images, seed) for seed in (4, 4, 5))
    assert (once == again).all()
    assert (once != other).any()


def test_labels_that_no_coarse_model_can_give_are_refused(images):
    grey = np.full_like(images, 99)
    with pytest.raises(MedlabelError, match="no linear model"):
        noisy_scores("image-90", LABELS, grey, K, 0)
    with pytest.raises(MedlabelError, match="unknown noise 'loud'"):
        noisy_scores("loud", LABELS, images, K, 0)

from dataclasses import replace

import numpy as np
import pytest
import torch

from medlabel.errors import MedlabelError
from medlabel.student.fit import fit, predict_proba, to_pixels
from medlabel.student.human_labels import UNLABELED, HumanLabels
from medlabel.student.recipes import RECIPES

QUICK = replace(
    RECIPES["robust"],
    epochs=4,
    min_steps=None,
    average_from_epoch=0,
    average="none",
    ensemble_size=1,
    self_training_rounds=1,
)
MIXED = {
    "symmetric": {"loss": "symmetric"},
    "early-learning": {"loss": "early-learning"},
    "margin": {"weights": "margin"},
    "top_k_per_class": {"top_k_per_class": 90},
    "prune": {"prune": True},
    "swa": {"average": "swa"},
    "ema": {"average": "ema"},
    "self_training_rounds": {"self_training_rounds": 2},
    "cosine": {"schedule": "cosine", "optimiser": "rmsprop", "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    images = rng.normal(100, 20, (200, 28, 28))
    images[labels == 1, :, 14:] += 60
    return images.clip(0, 255).astype(np.uint8), labels


def scores(labels, wrong=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return np.eye(2, dtype=np.float32)[labels ^ (rng.random(len(labels)) < wrong)]


def accuracy(fitted, images, labels):
    return (predict_proba(fitted.student, images).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("name", ["paper", "adam", "robust"])
def test_the_same_seed_gives_the_same_student(pool, name):
    images, labels = pool
    recipe = replace(RECIPES[name], epochs=2, min_steps=None, average_from_epoch=0)
    first, again, other = (fit(images, scores(labels), ("a", "b"), recipe, s) for s in (3, 3, 4))
    same = [predict_proba(f.student, images) for f in (first, again, other)]
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).max() > 1e-4
    assert first.histories == again.histories


def test_the_paper_recipe_is_what_it_was(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.2), ("a", "b"), replace(RECIPES["paper"], epochs=3), 0)
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in fitted.histories[0]]
    before = [(0.692284, 0.694186), (0.689698, 0.694175), (0.689847, 0.694233)]
    np.testing.assert_allclose(losses, before, atol=2e-5)


@pytest.mark.parametrize("changes", MIXED.values(), ids=list(MIXED))
def test_an_ingredient_mixed_in_still_corrects_a_teacher(pool, changes):
    images, labels = pool
    recipe = replace(QUICK, epochs=8, **changes)
    fitted, again = (
        fit(images, scores(labels, wrong=0.2), ("a", "b"), recipe, 0) for _ in range(2)
    )
    assert accuracy(fitted, images, labels) > 0.9
    assert fitted.histories == again.histories


def test_rows_without_weight_are_not_learned_from(pool):
    images, labels = pool
    sure, unsure = np.eye(2)[labels], np.full((200, 2), 0.4)
    unsure[np.arange(200), 1 - labels] = 0.6  # all wrong, and less sure than the right ones
    right = np.random.default_rng(0).random((200, 1)) < 0.5
    teacher = np.where(right, sure, unsure).astype(np.float32)
    recipe = replace(QUICK, epochs=8, balanced=False, top_k_per_class=40)
    fitted = fit(images, teacher, ("a", "b"), recipe, 0)
    assert accuracy(fitted, images, labels) > 0.9


@pytest.mark.slow
def test_relabelling_balances_what_a_skewed_teacher_says(pool):
    images, labels = pool
    skewed = np.where(np.random.default_rng(0).random(200) < 0.4, 1, labels)
    fitted = fit(images, np.eye(2, dtype=np.float32)[skewed], ("a", "b"), RECIPES["robust"], 0)
    assert accuracy(fitted, images, labels) > 0.95


@pytest.mark.slow
def test_a_robust_student_corrects_its_teacher(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, wrong=0.25), ("a", "b"), RECIPES["robust"], 0)
    assert accuracy(fitted, images, labels) > 0.95


def test_the_kept_epoch_is_the_one_with_the_lowest_validation_loss(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.3), ("a", "b"), QUICK, 0)
    losses = [epoch.validation_loss for epoch in fitted.histories[0]]
    assert fitted.best_epochs == (int(np.argmin(losses)),)
    assert fitted.validation_loss == min(losses)


def test_it_stops_when_patience_ends(pool):
    images, labels = pool
    recipe = replace(QUICK, epochs=30, patience=1, augment="none")
    fitted = fit(images, scores(labels, 0.4), ("a", "b"), recipe, 0)
    assert len(fitted.histories[0]) == fitted.best_epochs[0] + 2 < 30


def test_nothing_before_the_schedule_settles_is_kept(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.4), ("a", "b"), replace(QUICK, average_from_epoch=3), 0)
    assert fitted.best_epochs == (3,)


def test_members_learn_apart_and_are_averaged(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.2), ("a", "b"), replace(QUICK, ensemble_size=2), 0)
    assert fitted.histories[0] != fitted.histories[1]
    pixels = to_pixels(images[:5])
    with torch.inference_mode():
        alone = [member(pixels).softmax(dim=1) for member in fitted.student.members]
    np.testing.assert_allclose(
        predict_proba(fitted.student, images[:5]), np.mean(alone, axis=0), atol=1e-6
    )


def test_colour_and_three_classes():
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    images = rng.integers(0, 60, (90, 28, 28, 3), dtype=np.uint8)
    images[np.arange(90), :, :, labels] += 120
    recipe = replace(QUICK, epochs=8)
    fitted = fit(images, np.eye(3, dtype=np.float32)[labels], ("r", "g", "b"), recipe, 0)
    assert accuracy(fitted, images, labels) > 0.9


def test_a_recipe_that_leaves_nothing_to_learn_from_is_told(pool):
    images, labels = pool
    recipe = replace(
        QUICK, epochs=1, top_k_per_class=1
    )  # of few images, some seed holds all of them back

    def fit_each(seeds):
        for seed in seeds:
            fit(images, scores(labels), ("a", "b"), recipe, seed)

    with pytest.raises(MedlabelError, match="raise `top_k_per_class`"):
        fit_each(range(40))


@pytest.mark.parametrize("recipe", [QUICK, RECIPES["robust"]], ids=["one round", "robust"])
def test_a_pool_smaller_than_a_batch_can_be_learned(recipe):
    images = np.zeros((10, 28, 28), np.uint8)
    fitted = fit(images, scores(np.arange(10) % 2), ("a", "b"), recipe, 0)
    assert predict_proba(fitted.student, images).shape == (10, 2)


@pytest.mark.parametrize(
    "changed", [{}, {"self_training_rounds": 2}, {"prune": True}, {"top_k_per_class": 20}]
)
def test_what_people_say_is_learned_against_a_teacher_that_is_wrong(pool, changed):
    images, labels = pool
    wrong = np.tile(np.array([0.6, 0.4], dtype=np.float32), (200, 1))  # one label for all
    human_labels = HumanLabels(np.where(np.arange(200) < 80, labels, UNLABELED), weight=10)
    recipe = replace(QUICK, epochs=8, **changed)
    alone = fit(images, wrong, ("a", "b"), recipe, 0)
    helped = fit(images, wrong, ("a", "b"), recipe, 0, human_labels=human_labels)
    assert accuracy(alone, images[80:], labels[80:]) < 0.7
    assert accuracy(helped, images[80:], labels[80:]) > 0.9


def test_labels_of_nobody_change_nothing(pool):
    images, labels = pool
    unlabeled = HumanLabels(np.full(200, UNLABELED), weight=5)
    one, other = (
        fit(images, scores(labels, 0.2), ("a", "b"), QUICK, 0, human_labels=human_labels)
        for human_labels in (None, unlabeled)
    )
    np.testing.assert_array_equal(
        predict_proba(one.student, images), predict_proba(other.student, images)
    )

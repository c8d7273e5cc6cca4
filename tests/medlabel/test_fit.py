from dataclasses import replace

import numpy as np
import pytest
import torch

from medlabel.fit import augment, fit, loss, predict, to_pixels
from medlabel.recipes import RECIPES

QUICK = replace(RECIPES["robust"], epochs=4, settle=0, members=1)


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
    return (predict(fitted.student, images).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("name", ["paper", "robust"])
def test_the_same_seed_gives_the_same_student(pool, name):
    images, labels = pool
    recipe = replace(RECIPES[name], epochs=2)
    first, again, other = (fit(images, scores(labels), ("a", "b"), recipe, s) for s in (3, 3, 4))
    same = [predict(f.student, images) for f in (first, again, other)]
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).max() > 1e-4
    assert first.histories == again.histories


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
    recipe = replace(QUICK, epochs=30, patience=1, augment=False)
    fitted = fit(images, scores(labels, 0.4), ("a", "b"), recipe, 0)
    assert len(fitted.histories[0]) == fitted.best_epochs[0] + 2 < 30


def test_nothing_before_the_schedule_settles_is_kept(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.4), ("a", "b"), replace(QUICK, settle=3), 0)
    assert fitted.best_epochs == (3,)


def test_members_learn_apart_and_are_averaged(pool):
    images, labels = pool
    fitted = fit(images, scores(labels, 0.2), ("a", "b"), replace(QUICK, members=2), 0)
    assert fitted.histories[0] != fitted.histories[1]
    pixels = to_pixels(images[:5])
    with torch.inference_mode():
        alone = [member(pixels).softmax(dim=1) for member in fitted.student.members]
    np.testing.assert_allclose(
        predict(fitted.student, images[:5]), np.mean(alone, axis=0), atol=1e-6
    )


def test_colour_and_three_classes():
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    images = rng.integers(0, 60, (90, 28, 28, 3), dtype=np.uint8)
    images[np.arange(90), :, :, labels] += 120
    recipe = replace(QUICK, epochs=8)
    fitted = fit(images, np.eye(3, dtype=np.float32)[labels], ("r", "g", "b"), recipe, 0)
    assert accuracy(fitted, images, labels) > 0.9


def test_the_paper_recipe_learns_from_hard_labels_the_robust_from_balanced_ones():
    from medlabel.fit import _targets

    skewed = np.array([[0.6, 0.4], [0.9, 0.1]], np.float32)
    np.testing.assert_array_equal(_targets(skewed, RECIPES["paper"]), [[1, 0], [1, 0]])
    soft = _targets(skewed, RECIPES["robust"])
    np.testing.assert_allclose(soft.mean(dim=0), 0.5, atol=1e-4)
    assert soft[0, 1] > soft[0, 0]


def test_generalised_cross_entropy_lies_between_cross_entropy_and_absolute_error():
    logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    wrong = 1 - float(logits.softmax(1)[0, 1])
    assert float(loss(logits, targets, 1.0)) == pytest.approx(wrong)
    assert float(loss(logits, targets, 1e-4)) == pytest.approx(
        float(loss(logits, targets)), abs=1e-3
    )


def test_augmentation_keeps_shape_range_and_mean_class():
    pixels = to_pixels(np.full((6, 28, 28), 200, np.uint8)).float()
    changed = augment(pixels, torch.Generator().manual_seed(0))
    assert changed.shape == pixels.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
    assert float((changed - pixels).abs().mean()) > 5


def test_a_pool_smaller_than_a_batch_can_be_learned():
    images = np.zeros((10, 28, 28), np.uint8)
    fitted = fit(images, scores(np.arange(10) % 2), ("a", "b"), QUICK, 0)
    assert predict(fitted.student, images).shape == (10, 2)


def test_augmentation_cuts_the_field_of_a_few_images_to_black():
    changed = augment(torch.full((400, 1, 28, 28), 200.0), torch.Generator().manual_seed(0))
    cut = (changed == 0).flatten(1).any(dim=1)
    assert 5 <= int(cut.sum()) <= 40
    assert float((changed[cut] == 0).float().mean()) < 0.65

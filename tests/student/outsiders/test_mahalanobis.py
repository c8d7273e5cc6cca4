"""The whitening of features, and how its cost is bounded."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.metrics import roc_auc_score

from medlabel.student.outsiders import mahalanobis as module
from medlabel.student.outsiders.mahalanobis import class_statistics, nearest_distance

RNG = np.random.default_rng(0)


def features(n, width, shift=0.0, seed=0):
    """Features of two classes that vary along forty directions, and a little along all others."""
    directions = np.random.default_rng(9).normal(0, 1, (40, width))
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    middle = labels[:, None] * directions[0] * 3
    noise = rng.normal(0, 1, (n, 40)) @ directions + rng.normal(0, 1, (n, width))
    return (middle + noise + shift).astype(np.float32), labels


def test_wide_features_have_a_narrow_whitening():
    made, labels = features(60, 12_288)
    centres, whitening = class_statistics(made, labels)
    assert centres.shape == (2, 12_288)
    assert whitening.shape[0] == 12_288
    assert 256 < whitening.shape[1] <= 512
    np.testing.assert_allclose(centres[1], made[1::2].mean(axis=0), atol=1e-4)
    assert whitening.dtype == np.float32


def test_wide_features_give_the_distances_of_their_whole_covariance(monkeypatch):
    made, labels = features(200, 700)
    others = np.concatenate([features(80, 700, seed=1)[0], features(80, 700, 1.5, seed=2)[0]])
    exact = nearest_distance(others, *class_statistics(made, labels))
    monkeypatch.setattr(module, "MOST_FEATURES", 600)
    found = nearest_distance(others, *class_statistics(made, labels))
    np.testing.assert_allclose(found, exact, rtol=0.12)
    assert np.corrcoef(exact, found)[0, 1] > 0.98
    outside = np.arange(160) >= 80
    assert roc_auc_score(outside, exact) > 0.99
    assert roc_auc_score(outside, found) > 0.99


def test_a_large_pool_of_wide_features_is_sampled(monkeypatch):
    monkeypatch.setattr(module, "MOST_FEATURES", 600)
    made, labels = features(150, 700)
    assert class_statistics(made, labels)[1].shape == (700, 148 + 256)  # two means are taken out
    monkeypatch.setattr(module, "_MOST_IMAGES", 50)
    centres, whitening = class_statistics(made, labels)
    assert whitening.shape == (700, 50 + 256)
    np.testing.assert_allclose(centres[0], made[::2].mean(axis=0), atol=1e-4)


def test_shrinkage_by_products_is_that_of_scikit_learn():
    deviations = RNG.normal(0, 1, (30, 200)) * RNG.random(200)
    found = module._ledoit_wolf(deviations @ deviations.T, 200)
    assert found == pytest.approx(ledoit_wolf_shrinkage(deviations, assume_centered=True))


def test_wide_features_that_do_not_vary_have_a_finite_whitening():
    centres, whitening = class_statistics(np.ones((8, 2049), np.float32), np.arange(8) % 2)
    assert not whitening.any()
    assert nearest_distance(np.ones((1, 2049), np.float32), centres, whitening) == 0


def test_as_many_features_as_are_allowed_are_whitened_as_they_are():
    made, labels = features(60, 64)
    whitening = class_statistics(made, labels)[1]
    white = (made - np.stack([made[labels == c].mean(axis=0) for c in (0, 1)])[labels]) @ whitening
    assert whitening.shape == (64, 64)
    assert 0.5 < white.var() < 1.5


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_distances_do_not_depend_on_how_many_are_computed_at_a_time(monkeypatch, rows):
    made = features(50, 30)[0]
    centres, whitening = RNG.normal(0, 1, (4, 30)), RNG.normal(0, 1, (30, 30))
    centres, whitening = centres.astype(np.float32), whitening.astype(np.float32)
    whole = np.linalg.norm((made @ whitening)[:, None] - (centres @ whitening)[None], axis=2)
    monkeypatch.setattr(module, "_AT_A_TIME", rows * 4 * 30)
    np.testing.assert_array_equal(nearest_distance(made, centres, whitening), whole.min(axis=1))

"""Images that are unlike a pool."""

import numpy as np
import pytest
import torch

from medlabel import phantoms
from medlabel.student.outsiders import CHROMA_LIMIT, OutsiderDetector, fit_detector


def _pool(n, seed):
    """Drawn chest films and breasts in turn, with their classes."""
    drawn = [phantoms.draw(flag, n // 2, seed) for flag in ("chestmnist", "breastmnist")]
    return np.concatenate(drawn), np.repeat([0, 1], n // 2)


@pytest.fixture(scope="module")
def detector():
    return fit_detector(*_pool(400, seed=0))


def _grey(images):
    return images if images.ndim == 3 else images.mean(axis=3).astype(np.uint8)


def test_few_images_like_the_pool_are_outsiders(detector):
    assert (detector.score(_pool(200, seed=9)[0]) > 1).mean() <= 0.06


@pytest.mark.parametrize(
    ("flag", "least"),
    [("bloodmnist", 0.9), ("organamnist", 0.9), ("tissuemnist", 0.85), ("octmnist", 0.8)],
)
def test_other_looks_are_outsiders(detector, flag, least):
    assert (detector.score(_grey(phantoms.draw(flag, 60, seed=9))) > 1).mean() >= least


@pytest.mark.parametrize("value", [0, 90, 255])
def test_plain_images_and_noise_are_outsiders(detector, value):
    rng = np.random.default_rng(value)
    noise = rng.integers(0, value + 1, (20, 28, 28), dtype=np.uint8)
    plain = np.full((2, 28, 28), value, np.uint8)
    assert (detector.score(np.concatenate([noise, plain])) > 1).all()


def test_colour_to_a_grey_pool_is_evidence_enough(detector):
    images = _pool(20, seed=9)[0]
    usual = detector.score(images)
    for chroma in (0.0, 0.5 * CHROMA_LIMIT, 4 * CHROMA_LIMIT):
        shown = detector.score(images, np.full(20, chroma, np.float32))
        np.testing.assert_allclose(shown, np.maximum(usual, chroma / CHROMA_LIMIT), rtol=1e-6)


def test_a_score_does_not_depend_on_the_batch(detector):
    images = _pool(40, seed=9)[0]
    one_by_one = [detector.score(images[n : n + 1])[0] for n in range(40)]
    np.testing.assert_allclose(detector.score(images), one_by_one, rtol=1e-3)


def test_same_pool_same_detector(detector):
    again = fit_detector(*_pool(400, seed=0))
    for name, value in detector.tensors().items():
        torch.testing.assert_close(again.tensors()[name], value)


def test_a_stored_detector_gives_the_same_scores_and_is_small(detector):
    stored = detector.tensors()
    images = _pool(40, seed=9)[0]
    found = OutsiderDetector.from_tensors(stored)
    np.testing.assert_allclose(found.score(images), detector.score(images), rtol=1e-5)
    assert sum(value.nbytes for value in stored.values()) < 600_000


def test_a_colour_pool_needs_no_chroma_to_miss_its_colours():
    pool = phantoms.draw("retinamnist", 200, seed=0)
    detector = fit_detector(pool, np.zeros(200, np.int64))
    others = phantoms.draw("retinamnist", 60, seed=9)
    faded = np.repeat(_grey(others)[..., None], 3, axis=3)
    assert (detector.score(others) > 1).mean() <= 0.1
    assert (detector.score(faded) > 1).mean() >= 0.9


@pytest.mark.parametrize("n", [4, 7])
def test_a_handful_of_images_is_enough_to_fit(n):
    images, labels = _pool(n + n % 2, seed=0)
    detector = fit_detector(images[:n], labels[:n])
    assert np.isfinite(detector.score(images)).all()


def test_a_single_class_is_enough(detector):
    images = _pool(100, seed=0)[0]
    found = fit_detector(images, np.ones(100, np.int64))
    assert found.centres.shape == (1, 370)
    assert (found.score(images) > 1).mean() < 0.1

"""Distorted images keep their shape, are the same every time, and are what their name says."""

import numpy as np
import pytest

from benchmarks.distortions import DISTORTIONS, EMPTY, HARMLESS, distort
from medlabel import phantoms
from medlabel.errors import MedlabelError

GREY = phantoms.draw("chestmnist", 6, seed=0)
COLOUR = phantoms.draw("bloodmnist", 6, seed=0)


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("how", DISTORTIONS)
def test_the_shape_stays_and_the_pixels_change_the_same_way_every_time(how, images):
    before = images.copy()
    changed = distort(images, how, seed=3)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(images, before)
    assert not np.array_equal(changed, images)
    assert np.array_equal(changed, distort(images, how, seed=3))


def test_names_of_groups_are_names_of_distortions():
    assert set(HARMLESS) | set(EMPTY) <= set(DISTORTIONS)


@pytest.mark.parametrize("how", EMPTY)
def test_nothing_is_left_of_an_emptied_image(how):
    assert np.array_equal(distort(GREY, how, seed=0), distort(255 - GREY, how, seed=0))


def test_shuffled_images_have_the_same_pixels_elsewhere():
    changed = distort(GREY, "shuffled", seed=0)
    assert np.array_equal(np.sort(changed.reshape(6, -1)), np.sort(GREY.reshape(6, -1)))


def test_contrast_and_detail_are_lost():
    spread = GREY.std(axis=(1, 2))
    assert (distort(GREY, "low contrast", seed=0).std(axis=(1, 2)) < 0.3 * spread).all()
    edges = np.abs(np.diff(GREY.astype(int))).mean()
    assert np.abs(np.diff(distort(GREY, "blur", seed=0).astype(int))).mean() < 0.5 * edges


def test_a_quarter_is_enlarged():
    images = np.zeros((1, 8, 8), np.uint8)
    images[0, :4, :4], images[0, :4, 4:], images[0, 4:, :4], images[0, 4:, 4:] = 10, 20, 30, 40
    assert len(np.unique(distort(images, "quarter", seed=0))) == 1


def test_an_unknown_distortion_is_refused():
    with pytest.raises(MedlabelError, match="no distortion 'melted'"):
        distort(GREY, "melted", seed=0)

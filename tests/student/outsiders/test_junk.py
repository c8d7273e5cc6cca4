"""Random images, and images of a pool made wrong."""

import numpy as np
import pytest

from medlabel.student.outsiders import junk as module
from medlabel.student.outsiders.junk import SIDE, altered, junk

POOL = np.random.default_rng(1).integers(0, 256, (5, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize(("colour", "shape"), [(False, ()), (True, (3,))])
def test_junk_is_of_many_kinds(colour, shape):
    images = junk(np.random.default_rng(0), 90, colour)
    assert (images.shape, images.dtype) == ((90, SIDE, SIDE, *shape), np.uint8)
    spreads = images.reshape(90, -1).std(axis=1)
    assert spreads.min() < 1  # a plain one
    assert spreads.max() > 60


def test_same_generator_same_images():
    one, other = (junk(np.random.default_rng(3), 10, colour=True) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(28, 28), (30, 30, 3)])
def test_altered_images_keep_their_shape_and_are_not_the_pools(shape):
    pool = np.random.default_rng(2).integers(0, 256, (4, *shape), dtype=np.uint8)
    made = altered(np.random.default_rng(0), pool, 40)
    assert (made.shape, made.dtype) == ((40, *shape), np.uint8)
    same = [(image == known).all() for image in made for known in pool]
    assert sum(same) <= 1  # four tiles in their own places, once in 24


def test_an_image_can_be_altered_in_each_way():
    rng, image = np.random.default_rng(0), POOL[0]
    np.testing.assert_array_equal(module._inverted(rng, image, POOL), 255 - image)
    np.testing.assert_array_equal(module._upside_down(rng, image, POOL), image[::-1])
    assert sorted(module._turned(rng, image, POOL).ravel()) == sorted(image.ravel())
    assert sorted(module._cut_up(rng, image, POOL).ravel()) == sorted(image.ravel())
    assert len(np.unique(module._enlarged(rng, image, POOL), axis=0)) < 18
    assert abs(module._blended(rng, image, POOL).astype(float) - 127).mean() < 60

"""Looks that no teacher has learned: drawn the same way every time, and known to no teacher."""

import numpy as np
import pytest

from benchmarks.unseen_looks import UNSEEN, unseen
from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.phantoms.parts import Canvas

FLAGS = sorted(UNSEEN)


def test_no_teacher_is_trained_on_them():
    assert not set(FLAGS) & set(phantoms.LOOKS)


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("size", [28, 64])
def test_images_are_bytes_of_the_size_asked_for(flag, size):
    images, kinds = unseen(flag, 3, seed=0, size=size)
    channels = (3,) if UNSEEN[flag].look.colour else ()
    assert images.shape == (3, size, size, *channels)
    assert images.dtype == np.uint8
    assert kinds.shape == (3,)
    assert kinds.dtype == np.int64


@pytest.mark.parametrize("flag", FLAGS)
def test_the_same_seed_draws_the_same_images_and_no_two_alike(flag):
    images, kinds = unseen(flag, 64, seed=1)
    again, same = unseen(flag, 64, seed=1)
    assert np.array_equal(images, again)
    assert np.array_equal(kinds, same)
    assert not np.array_equal(images, unseen(flag, 64, seed=2)[0])
    assert len(np.unique(images.reshape(64, -1), axis=0)) == 64
    assert np.median(images.reshape(64, -1).std(axis=1)) > 10


@pytest.mark.parametrize("flag", FLAGS)
def test_both_kinds_are_drawn_have_names_and_differ(flag):
    look = UNSEEN[flag].look
    assert set(unseen(flag, 64, seed=0)[1]) == {0, 1}
    assert len(set(UNSEEN[flag].kinds)) == len(look.kinds) == 2
    first, second = (kind.drawing(Canvas(np.random.default_rng(0), 16, 28)) for kind in look.kinds)
    assert np.abs(first - second).max(axis=(1, 2)).min() > 0.05


def test_an_unknown_look_is_refused():
    with pytest.raises(MedlabelError, match="no unseen look 'elbow'"):
        unseen("elbow", 1, seed=0)

"""The phantoms: twelve looks, drawn the same way every time."""

import re

import numpy as np
import pytest
from medmnist import INFO

from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.teacher.captions import CLASS_NAMES

FLAGS = sorted(phantoms.LOOKS)


def test_every_2d_set_has_a_look():
    assert set(FLAGS) == {flag for flag in INFO if not flag.endswith("3d")}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_look_has_the_channels_of_its_set(flag):
    assert phantoms.LOOKS[flag].colour == (INFO[flag]["n_channels"] == 3)


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_images_are_bytes_of_the_size_asked_for(flag, size):
    images = phantoms.draw(flag, 2, seed=0, size=size)
    channels = (3,) if phantoms.LOOKS[flag].colour else ()
    assert images.shape == (2, size, size, *channels)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("flag", FLAGS)
def test_the_same_seed_draws_the_same_images(flag):
    assert np.array_equal(phantoms.draw(flag, 5, seed=1), phantoms.draw(flag, 5, seed=1))


@pytest.mark.parametrize("flag", FLAGS)
def test_another_seed_draws_others(flag):
    assert not np.array_equal(phantoms.draw(flag, 5, seed=1), phantoms.draw(flag, 5, seed=2))


def test_an_image_does_not_depend_on_how_many_are_drawn():
    many = phantoms.draw("breastmnist", phantoms.chunk_size(28) + 7, seed=3)
    assert np.array_equal(many[:9], phantoms.draw("breastmnist", 9, seed=3))
    assert not np.array_equal(many[0], many[phantoms.chunk_size(28)])


@pytest.mark.parametrize("flag", FLAGS)
def test_images_of_a_look_differ_and_are_not_blank(flag):
    images = phantoms.draw(flag, 64, seed=0).reshape(64, -1).astype(float)
    assert len(np.unique(images, axis=0)) == 64
    assert np.median(images.std(axis=1)) > 5


@pytest.mark.parametrize(("dark", "bright"), [("tissue", "chest"), ("oct", "pneumonia")])
def test_dark_field_looks_are_darker_than_films(dark, bright):
    means = [phantoms.draw(f"{flag}mnist", 64, seed=0).mean() for flag in (dark, bright)]
    assert means[0] < 0.6 * means[1]


def test_the_same_scene_at_another_size_is_as_bright():
    means = [phantoms.draw("retinamnist", 64, seed=0, size=size).mean() for size in (28, 112)]
    assert means[0] == pytest.approx(means[1], rel=0.15)


@pytest.mark.parametrize("flag", FLAGS)
def test_kinds_are_numbered_as_the_labels_of_the_set(flag):
    look = phantoms.LOOKS[flag]
    names = tuple(kind.name for kind in look.kinds)
    assert names[: len(CLASS_NAMES[flag])] == CLASS_NAMES[flag]
    assert names[len(CLASS_NAMES[flag]) :] == (("no finding",) if look.findings else ())


@pytest.mark.parametrize("flag", FLAGS)
def test_every_kind_says_what_is_seen_and_who_says_so(flag):
    kinds = phantoms.LOOKS[flag].kinds
    assert len({kind.seen for kind in kinds}) == len(kinds)
    assert all(re.search(r"[A-Z]", kind.source) for kind in kinds)


@pytest.mark.parametrize("flag", FLAGS)
def test_evenly_drawn_every_kind_comes_up_and_images_agree_with_their_kinds(flag):
    look = phantoms.LOOKS[flag]
    images, kinds = phantoms.draw_look(look, 256, seed=0, even=True)
    assert np.bincount(kinds, minlength=len(look.kinds)).min() >= 3
    again, same = phantoms.draw_look(look, 40, seed=0, even=True)
    assert np.array_equal(again, images[:40])
    assert np.array_equal(same, kinds[:40])


def test_labels_are_a_number_or_a_column_a_finding():
    kinds = np.array([0, 13, 14])
    columns = phantoms.LOOKS["chestmnist"].labels(kinds)
    assert columns.shape == (3, 14)
    assert columns.sum(axis=1).tolist() == [1, 1, 0]
    assert phantoms.LOOKS["bloodmnist"].labels(np.array([3])).tolist() == [[3]]


def mean_of(flag, kind, part):
    images, kinds = phantoms.draw_look(phantoms.LOOKS[flag], 512, seed=0, even=True)
    return images[kinds == kind].astype(float)[:, *part].mean()


def test_findings_look_as_they_should():
    lungs = (slice(8, 18), slice(3, 25))
    assert mean_of("pneumoniamnist", 1, lungs) > mean_of("pneumoniamnist", 0, lungs) + 10
    assert mean_of("chestmnist", 10, lungs) < mean_of("chestmnist", 9, lungs) - 10
    middle = (slice(10, 18), slice(10, 18))
    assert mean_of("bloodmnist", 7, middle) > mean_of("bloodmnist", 0, middle) + 20
    assert mean_of("organamnist", 7, middle) < mean_of("organamnist", 6, middle) - 60


def test_no_images_are_an_empty_array():
    assert phantoms.draw("pathmnist", 0, seed=0).shape == (0, 28, 28, 3)


def test_an_unknown_look_is_named():
    with pytest.raises(MedlabelError, match="kneemnist"):
        phantoms.draw("kneemnist", 1, seed=0)

from types import SimpleNamespace

import numpy as np
import pytest

from medlabel.evaluation.evidence.reading import WORDINGS, Witness, changed_views, read_task
from medlabel.phantoms import LOOKS, draw_look

WORLD = SimpleNamespace(looks=("a",))


class Recorder:
    """Keeps what it is asked to embed."""

    logit_scale = 7.0

    def __init__(self):
        self.texts, self.images = [], []

    def embed_images(self, images):
        self.images.append(images)
        return np.tile(np.float32([1, 0]), (len(images), 1))

    def embed_texts(self, texts):
        self.texts.append(tuple(texts))
        return np.tile(np.float32([0, 1]), (len(texts), 1))


def test_images_captions_and_names_in_each_wording_are_read():
    clip, images = Recorder(), np.zeros((3, 28, 28), np.uint8)
    captions = {"hand": ("an X-ray of a hand", "bones of a hand"), "head": ("a head",)}
    found = read_task(Witness(clip, WORLD), images, captions)
    assert found.images.shape == (3, 2)
    assert found.classes.shape == (2, 2)
    assert found.wordings.shape == (len(WORDINGS), 2, 2)
    assert found.logit_scale == 7
    assert found.world is WORLD
    assert ("a photo of hand",) in clip.texts
    assert captions["hand"] in clip.texts


@pytest.mark.parametrize("flag", ["chestmnist", "bloodmnist"])
def test_views_change_every_image_a_little(flag):
    clip = Recorder()
    images = draw_look(LOOKS[flag], 8, 7)[0]
    assert len(changed_views(clip, images)) == 3
    for view in clip.images:
        assert view.shape == images.shape
        assert view.dtype == np.uint8
        difference = np.abs(view.astype(int) - images).reshape(8, -1).mean(axis=1)
        assert ((difference > 0.5) & (difference < 60)).all()
    assert np.array_equal(clip.images[2][:, 1:, 1:], images[:, :-1, :-1])


def test_views_are_the_same_at_every_call():
    first, second = Recorder(), Recorder()
    images = np.full((2, 28, 28), 120, np.uint8)
    changed_views(first, images)
    changed_views(second, images)
    for one, other in zip(first.images, second.images, strict=True):
        assert np.array_equal(one, other)

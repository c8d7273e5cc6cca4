import numpy as np
import pytest

from medlabel.evaluation.evidence.world import World, nearest_looks, world_of
from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import class_labels

A, B, C = np.eye(3, dtype=np.float32)
NEARNESS = np.array([0.5, 0.6, 0.7, 0.8], np.float32)


class TinyClip:
    """Embeds an image by its mean grey level, and any text as one vector."""

    def __init__(self):
        self.texts = []

    def embed_images(self, images):
        turn = images.reshape(len(images), -1).mean(axis=1) / 255
        return np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)

    def embed_texts(self, texts):
        self.texts += texts
        return np.tile(np.float32([1, 0]), (len(texts), 1))


def two_looks():
    images = np.repeat([A, B], 6, axis=0)
    captions, whole = np.stack([A, B]), np.ones(2, dtype=bool)
    looks = np.repeat([0, 1], 6)
    return World(("a", "b"), captions, np.arange(2), whole, images, looks, (NEARNESS,) * 2)


def test_the_nearest_look_and_how_near_it_is():
    between = np.array([0.75, 0, np.sqrt(1 - 0.75**2)], np.float32)
    looks, near = nearest_looks(np.stack([A, B, between, C]), two_looks())
    assert looks.tolist()[:3] == [0, 1, 0]
    # 0.75 is nearer than three of the four drawings, and nothing is farther than C
    assert near.tolist() == [1, 1, 0.75, 0]


@pytest.fixture(scope="module")
def left_out():
    clip = TinyClip()
    return clip, world_of(clip, ("octmnist", "breastmnist#0"))


def test_what_a_teacher_was_trained_without_is_not_in_its_world(left_out):
    clip, world = left_out
    assert world.looks == tuple(flag for flag in LOOKS if flag != "octmnist")
    assert not any("tomography" in text and "eye" in text for text in clip.texts)
    number = world.looks.index("breastmnist")
    kinds = len(class_labels("breastmnist"))
    assert np.sum(world.caption_looks == number) == 1 + kinds - 1
    assert np.sum(world.image_looks == number) < np.sum(world.image_looks == number + 1)


def test_each_look_has_one_caption_as_a_whole(left_out):
    world = left_out[1]
    assert world.caption_looks[world.whole].tolist() == list(range(len(world.looks)))
    assert len(world.captions) == len(world.caption_looks) == len(world.whole)


def test_nearness_is_sorted_and_has_a_figure_per_drawing(left_out):
    world = left_out[1]
    for number, values in enumerate(world.nearness):
        assert len(values) == np.sum(world.image_looks == number)
        assert (np.diff(values) >= 0).all()

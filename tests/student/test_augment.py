import numpy as np
import pytest
import torch

from medlabel.student.augment import AUGMENTATIONS, Augmentation, augment, augmentation_for
from medlabel.student.fit import to_pixels

STILL = {"contrast": 0.0, "brightness": 0.0}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("level", AUGMENTATIONS.values(), ids=list(AUGMENTATIONS))
@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 32, 32, 3)])
def test_augmentation_keeps_shape_and_range_and_follows_its_seed(level, shape):
    pixels = to_pixels(np.full(shape, 200, np.uint8)).float()
    changed, again, other = (augment(pixels, level, rng(seed)) for seed in (0, 0, 1))
    assert changed.shape == pixels.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
    assert float((changed - pixels).abs().mean()) > 3
    assert torch.equal(changed, again)
    assert not torch.equal(changed, other)


def test_films_cut_the_field_of_a_few_images_to_black():
    changed = augment(torch.full((400, 1, 28, 28), 200.0), AUGMENTATIONS["films"], rng())
    cut = (changed == 0).flatten(1).any(dim=1)
    assert 5 <= int(cut.sum()) <= 40
    assert float((changed[cut] == 0).float().mean()) < 0.65


def test_turns_and_a_mirror_reach_all_eight_positions():
    corner = torch.zeros(1, 1, 29, 29)
    corner[..., 6, 10] = 200.0
    changed = augment(
        corner.repeat(200, 1, 1, 1), Augmentation(**STILL, flip=True, turns=True), rng()
    )
    assert len({int(image.argmax()) for image in changed.flatten(1)}) == 8


def test_a_tint_changes_channels_apart():
    grey = torch.full((1, 3, 28, 28), 100.0)
    tinted = augment(grey, Augmentation(**STILL, tint=10.0), rng())
    assert len(torch.unique(tinted)) == 3


def test_auto_goes_by_colour_alone():
    colour = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
    grey = np.repeat(colour[..., :1], 3, axis=3)
    assert augmentation_for("auto", colour) is AUGMENTATIONS["cells"]
    assert augmentation_for("auto", grey) is AUGMENTATIONS["films"]
    assert augmentation_for("auto", grey[..., 0]) is AUGMENTATIONS["films"]
    assert augmentation_for("auto", np.concatenate([colour, grey])) is AUGMENTATIONS["films"]
    assert augmentation_for("none", colour) is None

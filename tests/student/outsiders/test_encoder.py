"""The encoder that comes with medlabel."""

import numpy as np
import pytest
import torch

from medlabel import phantoms
from medlabel.student.outsiders.encoder import Encoder, shipped_encoder
from medlabel.student.outsiders.training import _Net

GREY = phantoms.draw("breastmnist", 6, seed=0)


def test_grey_and_equal_channels_have_the_same_features():
    colour = np.repeat(GREY[..., None], 3, axis=3)
    grey = shipped_encoder(1)(GREY)
    assert (grey.shape, grey.dtype) == ((6, 370), np.float32)
    np.testing.assert_allclose(shipped_encoder(3)(colour)[:, 10:], grey[:, 2:], atol=5e-3)


def test_features_of_an_image_do_not_depend_on_the_others():
    encoder = shipped_encoder(1)
    np.testing.assert_allclose(encoder(GREY)[4:5], encoder(GREY[4:5]), atol=1e-5)


def test_larger_images_are_averaged_down():
    large = GREY.repeat(3, axis=1).repeat(3, axis=2)
    encoder = shipped_encoder(1)
    np.testing.assert_allclose(encoder(large), encoder(GREY), atol=1e-3)


def test_first_features_are_means_and_deviations_of_pixels_and_maps():
    encoder = shipped_encoder(1)
    pixels = (torch.from_numpy(GREY[:, None]).float() - 127.5) / 127.5
    weights = encoder.weights
    maps = torch.relu(
        torch.nn.functional.conv2d(
            pixels, weights["weight1"], weights["bias1"], stride=2, padding=1
        )
    )
    found = encoder(GREY)
    np.testing.assert_allclose(found[:, 0], pixels.mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], pixels.std((1, 2, 3), correction=0), atol=1e-4)
    np.testing.assert_allclose(found[:, 2:26], maps.mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(found[:, 26:50], maps.std((2, 3), correction=0), atol=1e-3)


def test_folded_weights_compute_what_the_trained_network_does():
    torch.manual_seed(0)
    net = _Net(kinds=4)
    pixels = torch.rand(16, 3, 28, 28) * 2 - 1
    net(pixels)  # moves the running statistics
    net.eval()
    seen = []
    net.heads[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(pixels)
    images = ((pixels * 127.5 + 127.5).round()).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    hidden = Encoder.of(net.folded())(images)[:, -96:]
    np.testing.assert_allclose(hidden, seen[0].detach(), atol=0.02)


@pytest.mark.parametrize("flag", ["organamnist", "octmnist", "tissuemnist"])
def test_kinds_of_images_lie_apart(flag):
    """A breast is closer to the mean of other breasts than an image of another look."""
    encoder = shipped_encoder(1)
    breasts, others = (encoder(phantoms.draw(name, 60, seed=1)) for name in ("breastmnist", flag))
    centres = breasts[30:].mean(axis=0), others[30:].mean(axis=0)
    for own, mine in enumerate((breasts[:30], others[:30])):
        far = [np.linalg.norm(mine - centre, axis=1) for centre in centres]
        assert (far[own] < far[1 - own]).mean() > 0.85

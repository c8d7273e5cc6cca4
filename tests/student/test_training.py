from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from medlabel.student.recipes import OPTIMISERS, RECIPES
from medlabel.student.training import TrainingData, predict_probabilities, train

PAPER = replace(RECIPES["paper"], epochs=4, patience=None)


@pytest.fixture
def pool():
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (60, 1, 8, 8), generator=rng, dtype=torch.uint8)
    targets = torch.eye(2)[torch.arange(60) % 2]
    return TrainingData(pixels, targets, None, torch.arange(48), torch.arange(48, 60))


class Scaled(nn.Module):
    def forward(self, pixels):
        return pixels.float() / 255


def network():
    torch.manual_seed(0)
    return nn.Sequential(Scaled(), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 2))


def trained(pool, recipe):
    made = network()
    history, best = train(made, pool, recipe, None, torch.Generator().manual_seed(0))
    return made, history, best


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_can_be_named(pool, name):
    _, history, _ = trained(pool, replace(PAPER, optimiser=name, epochs=2))
    assert np.isfinite(history[-1].train_loss)


def test_a_small_pool_is_gone_through_more_often(pool):
    recipe = replace(
        PAPER, batch_size=12, min_steps=40
    )  # 48 images to learn from: 4 steps per epoch
    assert [len(trained(pool, replace(recipe, min_steps=n))[1]) for n in (40, 15)] == [10, 4]


@pytest.mark.parametrize("optimiser", ["adagrad", "adadelta", "rprop", "rmsprop", "radam"])
def test_a_schedule_goes_with_optimisers_that_have_no_momentum(pool, optimiser):
    recipe = replace(PAPER, optimiser=optimiser, schedule="onecycle", epochs=1)
    assert len(trained(pool, recipe)[1]) == 1


def test_a_loss_is_the_mean_over_images(pool):
    """Also where the batches are of unequal size, here 24 and 23."""
    torch.manual_seed(0)
    made = nn.Sequential(Scaled(), nn.Flatten(), nn.Linear(64, 2))
    value = nn.functional.cross_entropy(made(pool.pixels[:47].float()), pool.targets[:47]).detach()
    recipe = replace(PAPER, epochs=1, learning_rate=1e-12, batch_size=20)
    odd = replace(pool, train_rows=torch.arange(47))
    history, _ = train(made, odd, recipe, None, torch.Generator().manual_seed(0))
    assert history[0].train_loss == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_schedule_ends_without_steps(pool, schedule):
    recipe = replace(PAPER, schedule=schedule, epochs=8, learning_rate=1e-2)
    before = trained(pool, replace(recipe, schedule="constant"))[1][-2:]
    after = trained(pool, recipe)[1][-2:]
    moved = [abs(a.validation_loss - b.validation_loss) for a, b in (before, after)]
    assert moved[1] < 0.5 * moved[0]


def test_the_average_is_of_the_weights_after_each_settled_epoch(pool):
    ends = [
        trained(pool, replace(PAPER, average="swa", epochs=n, average_from_epoch=n - 1))
        for n in (3, 4)
    ]
    both = trained(pool, replace(PAPER, average="swa", epochs=4, average_from_epoch=2))[0]
    mean = (ends[0][0][3].weight + ends[1][0][3].weight) / 2
    np.testing.assert_allclose(both[3].weight.detach(), mean.detach(), atol=1e-6)


@pytest.mark.parametrize("average", ["swa", "ema"])
def test_an_average_is_kept_and_its_validation_told(pool, average):
    made, history, best = trained(pool, replace(PAPER, average=average))
    assert best == len(history) - 1 == 3
    wanted = pool.targets[pool.validation_rows].argmax(dim=1)
    right = (
        (predict_probabilities(made, pool.pixels[pool.validation_rows]).argmax(dim=1) == wanted)
        .float()
        .mean()
    )
    assert history[-1].validation_accuracy == pytest.approx(float(right))


def test_an_image_of_no_weight_does_not_pull(pool):
    weights = torch.ones(60)
    weights[pool.train_rows[::2]], weights[pool.train_rows[1::2]] = 2.0, 0.0
    recipe = replace(PAPER, epochs=20, average_from_epoch=20, batch_size=8, learning_rate=1e-2)
    made, _, _ = trained(replace(pool, weights=weights), recipe)
    predicted = predict_probabilities(made, pool.pixels[pool.train_rows]).argmax(dim=1)
    assert float((predicted == 0).float().mean()) > 0.9  # only images of the first class counted

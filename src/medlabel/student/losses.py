"""Losses for labels that may be wrong: a value an image, so that images can be weighted.

| name | what it does with a wrong label |
| --- | --- |
| `cross-entropy` | learns it by heart, in the end |
| `generalised` | pulls less the more the network disagrees (Zhang & Sabuncu 2018, eq. 6) |
| `symmetric` | adds the reverse cross-entropy, which is bounded (Wang et al. 2019, eq. 7) |
| `early-learning` | holds on to what it thought of the image before (Liu et al. 2020, eq. 6) |
"""

import torch
from torch import Tensor
from torch.nn import functional

from medlabel.student.recipes import Recipe

__all__ = ["EarlyLearningRegulariser", "recipe_loss"]

_ALPHA, _BETA, _LOG_ZERO = 0.1, 1.0, -4.0  # Wang et al. 2019, for noisy CIFAR-10
_MEMORY, _PULL = 0.7, 3.0  # Liu et al. 2020, for symmetric noise on CIFAR-10


def recipe_loss(recipe: Recipe, logits: Tensor, targets: Tensor) -> Tensor:
    """What a recipe minimises, float32 [N], of logits [N, K] against soft targets [N, K]."""
    if recipe.loss == "generalised" and recipe.loss_exponent > 0:
        return _generalised(logits, targets, recipe.loss_exponent)
    if recipe.loss == "symmetric":
        return _symmetric(logits, targets)
    return functional.cross_entropy(logits, targets, reduction="none")


def _generalised(logits: Tensor, targets: Tensor, exponent: float) -> Tensor:
    chance = logits.softmax(dim=1).clamp_min(1e-6)
    return (targets * (1 - chance**exponent) / exponent).sum(dim=1)


def _symmetric(logits: Tensor, targets: Tensor) -> Tensor:
    forward = functional.cross_entropy(logits, targets, reduction="none")
    reverse = -(logits.softmax(dim=1) * targets.log().clamp_min(_LOG_ZERO)).sum(dim=1)
    return _ALPHA * forward + _BETA * reverse


class EarlyLearningRegulariser:
    """The regulariser of early learning: a memory of what the network said of each image.

    Args:
        targets: float32 [N, K] of the pool, for its shape and device.
    """

    def __init__(self, targets: Tensor) -> None:
        self._memory = torch.zeros_like(targets)

    def __call__(self, logits: Tensor, rows: Tensor) -> Tensor:
        """The term to add to cross-entropy, float32 [B], of logits [B, K] of images `rows` [B]."""
        chance = logits.softmax(dim=1).clamp(1e-4, 1 - 1e-4)
        said = chance.detach() / chance.detach().sum(dim=1, keepdim=True)
        self._memory[rows] = _MEMORY * self._memory[rows] + (1 - _MEMORY) * said
        agreement = (self._memory[rows] * chance).sum(dim=1)
        return _PULL * (1 - agreement).clamp_min(1e-4).log()

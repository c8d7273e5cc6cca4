"""Loss functions for noisy labels. They return one value per image, so images can be weighted.

| name | effect on a wrong label |
| --- | --- |
| `cross-entropy` | memorises it eventually |
| `generalised` | smaller gradients the more the network disagrees (Zhang & Sabuncu 2018, eq. 6) |
| `symmetric` | adds the reverse cross-entropy, which is bounded (Wang et al. 2019, eq. 7) |
| `early-learning` | pulls towards earlier predictions for the image (Liu et al. 2020, eq. 6) |
"""

import torch
from torch import Tensor
from torch.nn import functional

from medlabel.student.recipes import Recipe

__all__ = ["EarlyLearningRegulariser", "recipe_loss"]

_ALPHA, _BETA, _LOG_ZERO = 0.1, 1.0, -4.0  # Wang et al. 2019, for noisy CIFAR-10
_MEMORY, _PULL = 0.7, 3.0  # Liu et al. 2020, for symmetric noise on CIFAR-10


def recipe_loss(recipe: Recipe, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each image, float32 [N], by the loss function of a recipe.

    The term of `early-learning` is not included, because it needs a memory: add
    `EarlyLearningRegulariser`.

    Args:
        recipe: names the loss and its exponent.
        logits: [N, K].
        targets: soft targets, [N, K].
    """
    if recipe.loss == "generalised" and recipe.loss_exponent > 0:
        return _generalised(logits, targets, recipe.loss_exponent)
    if recipe.loss == "symmetric":
        return _symmetric(logits, targets)
    return functional.cross_entropy(logits, targets, reduction="none")


def _generalised(logits: Tensor, targets: Tensor, exponent: float) -> Tensor:
    probability = logits.softmax(dim=1).clamp_min(1e-6)
    return (targets * (1 - probability**exponent) / exponent).sum(dim=1)


def _symmetric(logits: Tensor, targets: Tensor) -> Tensor:
    forward = functional.cross_entropy(logits, targets, reduction="none")
    reverse = -(logits.softmax(dim=1) * targets.log().clamp_min(_LOG_ZERO)).sum(dim=1)
    return _ALPHA * forward + _BETA * reverse


class EarlyLearningRegulariser:
    """The regulariser of early-learning regularisation, ELR (Liu et al. 2020).

    It keeps a moving average of the network's predictions for each image.

    Args:
        targets: float32 [N, K] of the pool; only its shape and device are used.
    """

    def __init__(self, targets: Tensor) -> None:
        self._memory = torch.zeros_like(targets)

    def __call__(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the term to add to the cross-entropy, float32 [B], and update the memory.

        Args:
            logits: of a batch, [B, K].
            rows: which images of the pool these are, int64 [B].
        """
        probability = logits.softmax(dim=1).clamp(1e-4, 1 - 1e-4)
        prediction = probability.detach() / probability.detach().sum(dim=1, keepdim=True)
        self._memory[rows] = _MEMORY * self._memory[rows] + (1 - _MEMORY) * prediction
        agreement = (self._memory[rows] * probability).sum(dim=1)
        return _PULL * (1 - agreement).clamp_min(1e-4).log()

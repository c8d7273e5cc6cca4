"""Train one network: the training loop, optimiser, schedule, weight averaging, early stopping."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import (
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)

from medlabel.student.augment import Augmentation, augment
from medlabel.student.losses import EarlyLearningRegulariser, recipe_loss
from medlabel.student.recipes import Recipe

__all__ = ["Epoch", "TrainingData", "predict_probabilities", "train"]

_EMA_DECAY = 0.97  # per step: averages about the last two epochs of a pool of a thousand images
_PART = 512  # batch size for inference


@dataclass(frozen=True)
class Epoch:
    """Losses and agreement with the pseudo-labels (not the truth) after one epoch."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class TrainingData:
    """A pool on the device, split into training and validation rows.

    Attributes:
        pixels: uint8 [N, C, S, S].
        targets: float32 [N, K].
        weights: sample weights, float32 [N], of mean one over the training rows; None if equal.
        train_rows: rows to train on, int64.
        validation_rows: rows to validate on, int64.
        validation_weights: float32 [len(validation_rows)]; None if equal.
    """

    pixels: Tensor
    targets: Tensor
    weights: Tensor | None
    train_rows: Tensor
    validation_rows: Tensor
    validation_weights: Tensor | None = None


def train(
    network: nn.Module,
    pool: TrainingData,
    recipe: Recipe,
    augmentation: Augmentation | None,
    rng: torch.Generator,
) -> tuple[tuple[Epoch, ...], int]:
    """Train a network in place.

    It is left with the weights of the epoch with the lowest validation loss or, if the recipe
    averages weights, with the average after the last epoch.

    Args:
        network: maps pixels [B, C, S, S] to logits [B, K].
        pool: the data.
        recipe: how to train.
        augmentation: data augmentation, or None.
        rng: generator of the order of images and of augmentation.

    Returns:
        The history of epochs, and the index of the epoch that was kept.
    """
    recipe = recipe.scaled_to(len(pool.train_rows))
    step = _make_step(network, pool, recipe)
    average = _new_average(network, recipe)
    history: list[Epoch] = []
    best, best_weights = 0, deepcopy(network.state_dict())
    for epoch in range(recipe.epochs):
        seen = _run_epoch(network, pool, recipe, augmentation, rng, step, average)
        if recipe.average == "swa" and epoch >= recipe.average_from_epoch and average is not None:
            average.update_parameters(network)
        history.append(Epoch(epoch, *seen, *_validate(network, pool, recipe)))
        if (
            epoch <= recipe.average_from_epoch
            or history[-1].validation_loss < history[best].validation_loss
        ):
            best, best_weights = epoch, deepcopy(network.state_dict())
        elif recipe.patience is not None and epoch - best >= recipe.patience:
            break
    if average is None:
        network.load_state_dict(best_weights)
        return tuple(history), best
    return _keep_average(network, average, history, pool, recipe)


def _run_epoch(
    network: nn.Module,
    pool: TrainingData,
    recipe: Recipe,
    augmentation: Augmentation | None,
    rng: torch.Generator,
    step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    average: AveragedModel | None,
) -> tuple[float, float]:
    """Run one epoch; return the mean loss and the agreement with the pseudo-labels.

    Totals stay on the device until the end, so that the epoch synchronises only once.
    """
    network.train()
    totals = []
    for rows, batch in _batches(pool, recipe, rng):
        changed = batch if augmentation is None else augment(batch, augmentation, rng)
        totals.append(torch.stack(step(changed, rows)))
        if recipe.average == "ema" and average is not None:
            average.update_parameters(network)
    value, hits = torch.stack(totals).sum(dim=0).tolist()
    return value / len(pool.train_rows), hits / len(pool.train_rows)


def _batches(
    pool: TrainingData, recipe: Recipe, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and float pixels in batches of nearly equal size, in random order."""
    rows = pool.train_rows[
        torch.randperm(len(pool.train_rows), generator=rng).to(pool.train_rows.device)
    ]
    parts = recipe.steps_per_epoch(len(rows))
    pixels = pool.pixels[rows].float()
    yield from zip(rows.tensor_split(parts), pixels.tensor_split(parts), strict=True)


def _make_step(
    network: nn.Module, pool: TrainingData, recipe: Recipe
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a function that takes one optimiser step on a batch and its rows.

    It returns the summed loss and the number of agreements with the pseudo-labels.
    """
    optimiser = _optimiser(network, recipe)
    schedule = _schedule(
        optimiser, recipe, recipe.epochs * recipe.steps_per_epoch(len(pool.train_rows))
    )
    memory = None
    if recipe.loss == "early-learning":
        memory = EarlyLearningRegulariser(pool.targets)

    def step(batch: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        optimiser.zero_grad(set_to_none=True)
        logits, wanted = network(batch), pool.targets[rows]
        each = recipe_loss(recipe, logits, wanted)
        each = each if memory is None else each + memory(logits, rows)
        value = (each if pool.weights is None else each * pool.weights[rows]).mean()
        torch.autograd.backward(value)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        return value.detach() * len(rows), _count_agreements(logits, wanted)

    return step


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser, fused if torch offers that."""
    kind = next(k for name, k in vars(torch.optim).items() if name.lower() == recipe.optimiser)
    extra = {"momentum": 0.9} if recipe.optimiser == "sgd" else {}
    if recipe.optimiser in ("sgd", "adam", "adamw", "adagrad"):
        extra |= {"fused": True}
    optimiser: torch.optim.Optimizer = kind(network.parameters(), lr=recipe.learning_rate, **extra)
    return optimiser


def _schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler | None:
    if recipe.schedule == "onecycle":
        cycled = any(name in optimiser.defaults for name in ("momentum", "betas"))
        return OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps, cycle_momentum=cycled)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimiser, T_max=steps)
    return None


def _new_average(network: nn.Module, recipe: Recipe) -> AveragedModel | None:
    if recipe.average == "none":
        return None
    mean = get_ema_multi_avg_fn(_EMA_DECAY) if recipe.average == "ema" else get_swa_multi_avg_fn()
    return AveragedModel(network, multi_avg_fn=mean)


def _keep_average(
    network: nn.Module,
    average: AveragedModel,
    history: list[Epoch],
    pool: TrainingData,
    recipe: Recipe,
) -> tuple[tuple[Epoch, ...], int]:
    """Load the averaged weights and recompute the statistics of batch normalisation."""
    network.load_state_dict(average.module.state_dict())
    with torch.no_grad():
        update_bn((pool.pixels[part] for part in pool.train_rows.split(_PART)), network)
    last = history[-1]
    seen = _validate(network, pool, recipe)
    kept = Epoch(last.epoch, last.train_loss, last.train_accuracy, *seen)
    return (*history[:-1], kept), len(history) - 1


@torch.inference_mode()
def predict_probabilities(network: nn.Module, pixels: Tensor) -> Tensor:
    """Return probabilities float32 [N, K] of pixels [N, C, S, S]."""
    network.eval()
    return torch.cat([network(part).softmax(dim=1) for part in pixels.split(_PART)])


@torch.inference_mode()
def _validate(network: nn.Module, pool: TrainingData, recipe: Recipe) -> tuple[float, float]:
    """Return the loss and the agreement on the validation rows."""
    network.eval()
    logits = torch.cat([network(pool.pixels[part]) for part in pool.validation_rows.split(_PART)])
    wanted = pool.targets[pool.validation_rows]
    each = recipe_loss(recipe, logits, wanted)
    if pool.validation_weights is None or not pool.validation_weights.any():
        value = each.mean()
    else:
        value = (each * pool.validation_weights).sum() / pool.validation_weights.sum()
    return float(value), float(_count_agreements(logits, wanted)) / len(wanted)


def _count_agreements(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the number of rows of [N, K] that agree on the likeliest class, float32 []."""
    return (logits.argmax(dim=1) == targets.argmax(dim=1)).sum().float()

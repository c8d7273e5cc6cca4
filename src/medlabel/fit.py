"""Fit one student on one pool: pixels and scores in, a trained CNN and its history out.

Nothing here could know a true label: a pool comes without ids, and its scores are a teacher's.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medlabel.recipes import Recipe
from medlabel.students import Student
from medlabel.teacher import balance

__all__ = ["Epoch", "Fitted", "fit", "predict"]

VALIDATION_SHARE = 0.2
_SHIFT, _CONTRAST, _BRIGHTNESS, _NOISE = 2 / 28, 0.2, 20.0, 6.0  # of the side; of 0..255
_COLLIMATED, _MARGIN = 0.05, 0.3  # share of the images; of the side, at most


@dataclass(frozen=True)
class Epoch:
    """Losses and agreement with the pseudo-labels (not with truth) after one epoch."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Fitted:
    """A trained student, what each of its members went through, and the epochs that were kept."""

    student: Student
    histories: tuple[tuple[Epoch, ...], ...]
    best_epochs: tuple[int, ...]

    @property
    def validation_loss(self) -> float:
        """Loss on held-back pseudo-labels, mean over members: the truth-free measure of a fit."""
        kept = zip(self.histories, self.best_epochs, strict=True)
        return float(np.mean([history[best].validation_loss for history, best in kept]))

    def history_rows(self) -> list[dict[str, float]]:
        """The histories as rows for a table, with the member's number."""
        return [
            {"member": member, **asdict(epoch)}
            for member, history in enumerate(self.histories)
            for epoch in history
        ]


@dataclass(frozen=True)
class _Pool:
    """A pool on the device: pixels [N, C, S, S], targets [N, K], rows to train on and to hold."""

    pixels: Tensor
    targets: Tensor
    train: Tensor
    held: Tensor


def fit(
    images: NDArray[np.uint8],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    recipe: Recipe,
    seed: int,
    *,
    architecture: str | None = None,
    device: str = "cpu",
) -> Fitted:
    """Train a student on a pool; each member has an 80/20 split and keeps its best epoch.

    Args:
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        scores: the teacher's, float32 [N, K], rows sum to one.
        classes: K names.
        recipe: how to train.
        seed: decides splits, first weights, order and augmentation.
        architecture: a student by name; the recipe's own when None.
        device: where torch computes.
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    pixels, targets = to_pixels(images, device), _targets(scores, recipe).to(device)
    student = Student(
        architecture or recipe.student,
        pixels.shape[1],
        list(classes),
        int(pixels.shape[-1]),
        recipe.members,
    )
    student = student.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    histories, bests = [], []
    for member in student.members:
        order = torch.randperm(len(images), generator=rng).to(device)
        cut = len(order) - int(len(order) * VALIDATION_SHARE)
        pool = _Pool(pixels, targets, order[:cut], order[cut:])
        history, best = _train(member, pool, recipe, rng)
        histories.append(history)
        bests.append(best)
    return Fitted(student.cpu().eval(), tuple(histories), tuple(bests))


def to_pixels(images: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """Images as the tensor students read: uint8 [N, C, S, S], channels last in memory."""
    stack = images if images.ndim == 4 else images[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(stack)).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict(
    student: Student, images: NDArray[np.uint8], batch_size: int = 512
) -> NDArray[np.float32]:
    """Probabilities float32 [N, K] of uint8 images [N, S, S] or [N, S, S, 3]."""
    device = str(next(student.parameters()).device)
    parts = [
        student(to_pixels(images[start : start + batch_size], device)).softmax(dim=1).cpu()
        for start in range(0, len(images), batch_size)
    ]
    return np.asarray(torch.cat(parts))


def _targets(scores: NDArray[np.float32], recipe: Recipe) -> Tensor:
    """What is learned from, float32 [N, K]: balanced soft targets, or hard labels."""
    if recipe.balanced:
        return torch.from_numpy(balance(scores))
    labels = torch.from_numpy(scores).argmax(dim=1)
    return functional.one_hot(labels, scores.shape[1]).float()


def _train(
    member: nn.Module, pool: _Pool, recipe: Recipe, rng: torch.Generator
) -> tuple[tuple[Epoch, ...], int]:
    """Train a member in place, and leave it with the weights of its best epoch."""
    step = _stepper(member, recipe, steps=recipe.epochs * _batches(len(pool.train), recipe))
    history: list[Epoch] = []
    best, best_weights = 0, deepcopy(member.state_dict())
    for epoch in range(recipe.epochs):
        member.train()
        losses, hits = 0.0, 0.0
        for rows in _shuffled(pool.train, recipe, rng):
            batch = pool.pixels[rows].float()
            batch = augment(batch, rng) if recipe.augment else batch
            value, hit = step(batch, pool.targets[rows])
            losses, hits = losses + value * len(rows), hits + hit
        n = len(pool.train)
        history.append(Epoch(epoch, losses / n, hits / n, *_validate(member, pool, recipe)))
        if epoch <= recipe.settle or history[-1].validation_loss < history[best].validation_loss:
            best, best_weights = epoch, deepcopy(member.state_dict())
        elif recipe.patience is not None and epoch - best >= recipe.patience:
            break
    member.load_state_dict(best_weights)
    return tuple(history), best


def _batches(n: int, recipe: Recipe) -> int:
    return max(1, n // recipe.batch_size)


def _shuffled(rows: Tensor, recipe: Recipe, rng: torch.Generator) -> Iterator[Tensor]:
    """Batches of nearly equal size in random order, every row once."""
    order = torch.randperm(len(rows), generator=rng).to(rows.device)
    yield from rows[order].tensor_split(_batches(len(rows), recipe))


def _stepper(
    member: nn.Module, recipe: Recipe, steps: int
) -> Callable[[Tensor, Tensor], tuple[float, float]]:
    """One step of the recipe's optimiser, schedule and loss: a batch in, its loss and hits out."""
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(member.parameters(), lr=recipe.learning_rate, momentum=0.9)
    else:
        optimiser = torch.optim.AdamW(member.parameters(), lr=recipe.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=steps
        )

    def step(batch: Tensor, targets: Tensor) -> tuple[float, float]:
        optimiser.zero_grad(set_to_none=True)
        logits = member(batch)
        value = loss(logits, targets, recipe.loss_exponent)
        torch.autograd.backward(value)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        return float(value.detach()), _hits(logits, targets)

    return step


def _hits(logits: Tensor, targets: Tensor) -> float:
    """How many rows of [N, K] agree on the likeliest class."""
    return float((logits.argmax(dim=1) == targets.argmax(dim=1)).sum())


def loss(logits: Tensor, targets: Tensor, exponent: float = 0.0) -> Tensor:
    """Mean (generalised) cross-entropy of logits [N, K] against soft targets [N, K], a scalar."""
    if exponent == 0:
        return functional.cross_entropy(logits, targets)
    chance = logits.softmax(dim=1).clamp_min(1e-6)
    return (targets * (1 - chance**exponent) / exponent).sum(dim=1).mean()


def augment(batch: Tensor, rng: torch.Generator) -> Tensor:
    """Randomly shifted, flipped, brightened, noisy and cut copies of float pixels [N, C, S, S]."""
    n, device = len(batch), batch.device
    reach = max(1, round(batch.shape[-1] * _SHIFT))
    shift = torch.randint(-reach, reach + 1, (2,), generator=rng).tolist()
    moved = torch.roll(batch, shift, dims=(2, 3))
    flip = (torch.rand(n, 1, 1, 1, generator=rng) < 0.5).to(device)
    moved = torch.where(flip, moved.flip(3), moved)
    contrast = 1 + _CONTRAST * torch.randn(n, 1, 1, 1, generator=rng).to(device)
    brightness = _BRIGHTNESS * torch.randn(n, 1, 1, 1, generator=rng).to(device)
    noise = _NOISE * torch.randn(batch.shape, generator=rng).to(device)
    changed = ((moved - 127.5) * contrast + 127.5 + brightness + noise).clamp(0, 255)
    changed = changed * _field(n, batch.shape[-1], rng).to(device)
    return changed.contiguous(memory_format=torch.channels_last)


def _field(n: int, side: int, rng: torch.Generator) -> Tensor:
    """Where light falls, bool [n, 1, side, side]: all of most images, of some a smaller rectangle.

    Films are collimated and scans have margins, some far wider than the rest of their set.
    """
    margins = torch.randint(0, int(side * _MARGIN) + 1, (4, n, 1), generator=rng)
    margins = margins * (torch.rand(n, 1, generator=rng) < _COLLIMATED)
    top, bottom, left, right = margins
    at = torch.arange(side)
    rows, columns = (at >= top) & (at < side - bottom), (at >= left) & (at < side - right)
    field: Tensor = rows[:, :, None] & columns[:, None, :]
    return field[:, None]


@torch.inference_mode()
def _validate(member: nn.Module, pool: _Pool, recipe: Recipe) -> tuple[float, float]:
    """Loss on, and agreement with, the pseudo-labels that were held back."""
    member.eval()
    logits = torch.cat([member(pool.pixels[part]) for part in pool.held.split(512)])
    targets = pool.targets[pool.held]
    value = float(loss(logits, targets, recipe.loss_exponent))
    return value, _hits(logits, targets) / len(targets)

"""Fit one student on one pool: images and teacher scores in, a trained CNN and its history out.

No true label can get here: the pool has no image ids, and the scores are a teacher's. Labels that
people gave to some of the images are passed separately, as `HumanLabels`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medlabel.errors import MedlabelError
from medlabel.student.augment import Augmentation, augmentation_for
from medlabel.student.human_labels import HumanLabels
from medlabel.student.networks import Student
from medlabel.student.recipes import Recipe
from medlabel.student.targets import find_label_errors, sample_weights, training_targets
from medlabel.student.training import Epoch, TrainingData, predict_probabilities, train

__all__ = ["Epoch", "FitResult", "fit", "predict_proba", "to_pixels"]

VALIDATION_SHARE = 0.2
_FOLDS = 3  # of the cross-validation that relabels or prunes a pool out of sample


@dataclass(frozen=True)
class FitResult:
    """A trained student with the training history of each member of its ensemble.

    Attributes:
        student: in evaluation mode, on the CPU.
        histories: the epochs of each member.
        best_epochs: index of the epoch whose weights each member has.
    """

    student: Student
    histories: tuple[tuple[Epoch, ...], ...]
    best_epochs: tuple[int, ...]

    @property
    def validation_loss(self) -> float:
        """Loss on the held-out pseudo-labels (not the truth), mean over members."""
        kept = zip(self.histories, self.best_epochs, strict=True)
        return float(np.mean([history[best].validation_loss for history, best in kept]))

    def history_rows(self) -> list[dict[str, float]]:
        """Return the histories as rows of a table, one per member and epoch."""
        return [
            {"member": member, **asdict(epoch)}
            for member, history in enumerate(self.histories)
            for epoch in history
        ]


def fit(
    images: NDArray[np.uint8],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    recipe: Recipe,
    seed: int,
    *,
    architecture: str | None = None,
    device: str = "cpu",
    human_labels: HumanLabels | None = None,
) -> FitResult:
    """Train a student on a pool. Each member of its ensemble has an 80/20 split of its own.

    Args:
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        scores: of the teacher, float32 [N, K]; rows sum to one.
        classes: K names.
        recipe: how to train.
        seed: of splits, initial weights, order and augmentation.
        architecture: name of a network, in place of the recipe's.
        device: for torch.
        human_labels: labels by people, which replace the pseudo-labels of their images.

    Raises:
        MedlabelError: the recipe leaves no image to train on.
    """
    torch.manual_seed(seed)
    data = _FitData(
        to_pixels(images, device),
        classes,
        recipe,
        architecture or recipe.student,
        augmentation_for(recipe.augment, images),
        torch.Generator().manual_seed(seed),
        human_labels,
    )
    for _ in range(recipe.self_training_rounds - 1):
        scores = _out_of_sample(data, scores)
    keep = data.weights(scores)
    if recipe.prune:
        labels = data.targets(scores).argmax(axis=1)
        keep = data.with_human_weights(
            keep * ~find_label_errors(labels, _out_of_sample(data, scores))
        )
    student = _new_student(data, recipe.ensemble_size)
    splits = [_split(data) for _ in student.members]
    histories, bests = _train(data, student, scores, keep, splits)
    return FitResult(student.cpu().eval(), histories, bests)


@dataclass(frozen=True)
class _FitData:
    """What all networks of one fit share; `rng` is the generator of their random numbers."""

    pixels: Tensor
    classes: tuple[str, ...]
    recipe: Recipe
    architecture: str
    augmentation: Augmentation | None
    rng: torch.Generator
    human_labels: HumanLabels | None = None

    def targets(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the recipe's training targets [N, K], with human labels in place."""
        wanted = training_targets(scores, self.recipe)
        return wanted if self.human_labels is None else self.human_labels.apply_to_targets(wanted)

    def weights(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the recipe's sample weights [N], with those of human labels in place."""
        return self.with_human_weights(sample_weights(scores, self.recipe))

    def with_human_weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put the weight of human labels into sample weights [N]."""
        return weight if self.human_labels is None else self.human_labels.apply_to_weights(weight)


def _new_student(data: _FitData, members: int) -> Student:
    """Return an untrained student for the pool's channels and image size, on its device."""
    channels, side = data.pixels.shape[1], int(data.pixels.shape[-1])
    student = Student(data.architecture, channels, list(data.classes), side, members)
    # torch's stubs have no overload of Module.to with a memory format beside a device
    return student.to(data.pixels.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _split(data: _FitData) -> tuple[Tensor, Tensor]:
    """Return random rows for training and for validation."""
    order = torch.randperm(len(data.pixels), generator=data.rng).to(data.pixels.device)
    cut = len(order) - int(len(order) * VALIDATION_SHARE)
    return order[:cut], order[cut:]


def _folds(data: _FitData) -> list[tuple[Tensor, Tensor]]:
    """Return the splits of a k-fold cross-validation: each row is held out once."""
    order = torch.randperm(len(data.pixels), generator=data.rng).to(data.pixels.device)
    held = order.tensor_split(_FOLDS)
    return [(torch.cat([*held[:i], *held[i + 1 :]]), held[i]) for i in range(_FOLDS)]


def _train(
    data: _FitData,
    student: Student,
    scores: NDArray[np.float32],
    keep: NDArray[np.float32],
    splits: Sequence[tuple[Tensor, Tensor]],
) -> tuple[tuple[tuple[Epoch, ...], ...], tuple[int, ...]]:
    """Train the members in place, each on the rows of its split with a positive weight."""
    device = data.pixels.device
    wanted = torch.from_numpy(data.targets(scores)).to(device)
    weight = torch.from_numpy(keep).to(device)
    outcomes = []
    for member, (rows, held) in zip(student.members, splits, strict=True):
        rows = rows[weight[rows] > 0]
        if not len(rows):
            raise MedlabelError(
                "the recipe leaves no image to train on: raise `top_k_per_class` or remove it"
            )
        counts = None if bool((weight[rows] == 1).all()) else weight / weight[rows].mean()
        # Without weights, pseudo-labels would outvote human labels in the choice of the best epoch.
        validation_weights = None if data.human_labels is None else weight[held]
        pool = TrainingData(data.pixels, wanted, counts, rows, held, validation_weights)
        outcomes.append(train(member, pool, data.recipe, data.augmentation, data.rng))
    histories, bests = zip(*outcomes, strict=True)
    return histories, bests


def _out_of_sample(data: _FitData, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities [N, K] of the pool, each by a network not trained on its image."""
    student, splits = _new_student(data, _FOLDS), _folds(data)
    _train(data, student, scores, data.weights(scores), splits)
    out = torch.empty(scores.shape, device=data.pixels.device)
    for member, (_, held) in zip(student.members, splits, strict=True):
        out[held] = predict_probabilities(member, data.pixels[held])
    return np.asarray(out.cpu())


def to_pixels(images: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """Convert images to a tensor uint8 [N, C, S, S], in channels-last memory format.

    >>> tuple(to_pixels(np.zeros((2, 28, 28), np.uint8)).shape)
    (2, 1, 28, 28)
    """
    stack = images if images.ndim == 4 else images[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(stack)).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_proba(
    student: Student, images: NDArray[np.uint8], batch_size: int = 512
) -> NDArray[np.float32]:
    """Return uncalibrated probabilities float32 [N, K] of uint8 [N, S, S] or [N, S, S, 3]."""
    device = str(next(student.parameters()).device)
    parts = [
        student(to_pixels(images[start : start + batch_size], device)).softmax(dim=1).cpu()
        for start in range(0, len(images), batch_size)
    ]
    return np.asarray(torch.cat(parts))

"""Fit one student on one pool: pixels and scores in, a trained CNN and its history out.

Nothing here could know a true label: a pool comes without ids, and its scores are a teacher's. What
people have answered about some of its images comes apart from them, as `HumanLabels`.
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
_FOLDS = 3  # of a pool that is relabelled or pruned out of sample


@dataclass(frozen=True)
class FitResult:
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
    """Train a student on a pool; each member has an 80/20 split and keeps its best epoch.

    Args:
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        scores: the teacher's, float32 [N, K], rows sum to one.
        classes: K names.
        recipe: how to train.
        seed: decides splits, first weights, order and augmentation.
        architecture: a student by name; the recipe's own when None.
        device: where torch computes.
        human_labels: human labels of some of the images; no teacher and no network overrules them.
    """
    torch.manual_seed(seed)
    bench = _FitData(
        to_pixels(images, device),
        classes,
        recipe,
        architecture or recipe.student,
        augmentation_for(recipe.augment, images),
        torch.Generator().manual_seed(seed),
        human_labels,
    )
    for _ in range(recipe.self_training_rounds - 1):
        scores = _out_of_sample(bench, scores)
    keep = bench.weights(scores)
    if recipe.prune:
        labels = bench.targets(scores).argmax(axis=1)
        keep = bench.weigh(keep * ~find_label_errors(labels, _out_of_sample(bench, scores)))
    student = _new_student(bench, recipe.ensemble_size)
    splits = [_split(bench) for _ in student.members]
    histories, bests = _train(bench, student, scores, keep, splits)
    return FitResult(student.cpu().eval(), histories, bests)


@dataclass(frozen=True)
class _FitData:
    """What all networks of one fit share; `rng` is where their chance comes from."""

    pixels: Tensor
    classes: tuple[str, ...]
    recipe: Recipe
    architecture: str
    level: Augmentation | None
    rng: torch.Generator
    human_labels: HumanLabels | None = None

    def targets(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is learned from [N, K]: the recipe's targets, and what people said."""
        wanted = training_targets(scores, self.recipe)
        return wanted if self.human_labels is None else self.human_labels.into(wanted)

    def weights(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much each image counts [N]."""
        return self.weigh(sample_weights(scores, self.recipe))

    def weigh(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same with what people said at its own weight."""
        return weight if self.human_labels is None else self.human_labels.weigh(weight)


def _new_student(bench: _FitData, members: int) -> Student:
    """An untrained student for the pool's channels and size, on its device."""
    channels, side = bench.pixels.shape[1], int(bench.pixels.shape[-1])
    student = Student(bench.architecture, channels, list(bench.classes), side, members)
    # torch's stubs have no overload of Module.to with a memory format beside a device
    return student.to(bench.pixels.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _split(bench: _FitData) -> tuple[Tensor, Tensor]:
    """Rows to train on and to hold back, at random."""
    order = torch.randperm(len(bench.pixels), generator=bench.rng).to(bench.pixels.device)
    cut = len(order) - int(len(order) * VALIDATION_SHARE)
    return order[:cut], order[cut:]


def _folds(bench: _FitData) -> list[tuple[Tensor, Tensor]]:
    """Splits of which each row is held back once."""
    order = torch.randperm(len(bench.pixels), generator=bench.rng).to(bench.pixels.device)
    held = order.tensor_split(_FOLDS)
    return [(torch.cat([*held[:i], *held[i + 1 :]]), held[i]) for i in range(_FOLDS)]


def _train(
    bench: _FitData,
    student: Student,
    scores: NDArray[np.float32],
    keep: NDArray[np.float32],
    splits: Sequence[tuple[Tensor, Tensor]],
) -> tuple[tuple[tuple[Epoch, ...], ...], tuple[int, ...]]:
    """Train the members in place, each on its split of the rows whose weight is not zero."""
    device = bench.pixels.device
    wanted = torch.from_numpy(bench.targets(scores)).to(device)
    weight = torch.from_numpy(keep).to(device)
    outcomes = []
    for member, (rows, held) in zip(student.members, splits, strict=True):
        rows = rows[weight[rows] > 0]
        if not len(rows):
            raise MedlabelError(
                "the recipe leaves no image to learn from: raise `top_k_per_class`, or drop it"
            )
        counts = None if bool((weight[rows] == 1).all()) else weight / weight[rows].mean()
        # Without this the epoch that is kept would be the teacher's choice, against people's word.
        said = None if bench.human_labels is None else weight[held]
        pool = TrainingData(bench.pixels, wanted, counts, rows, held, said)
        outcomes.append(train(member, pool, bench.recipe, bench.level, bench.rng))
    histories, bests = zip(*outcomes, strict=True)
    return histories, bests


def _out_of_sample(bench: _FitData, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [N, K] of the pool, each by a network that did not learn from its image."""
    student, splits = _new_student(bench, _FOLDS), _folds(bench)
    _train(bench, student, scores, bench.weights(scores), splits)
    out = torch.empty(scores.shape, device=bench.pixels.device)
    for member, (_, held) in zip(student.members, splits, strict=True):
        out[held] = predict_probabilities(member, bench.pixels[held])
    return np.asarray(out.cpu())


def to_pixels(images: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """Images as the tensor students read: uint8 [N, C, S, S], channels last in memory."""
    stack = images if images.ndim == 4 else images[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(stack)).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_proba(
    student: Student, images: NDArray[np.uint8], batch_size: int = 512
) -> NDArray[np.float32]:
    """Probabilities float32 [N, K] of uint8 images [N, S, S] or [N, S, S, 3]."""
    device = str(next(student.parameters()).device)
    parts = [
        student(to_pixels(images[start : start + batch_size], device)).softmax(dim=1).cpu()
        for start in range(0, len(images), batch_size)
    ]
    return np.asarray(torch.cat(parts))

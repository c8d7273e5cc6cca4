"""Train a student on a pool and calibrate it: the one way of the jobs and of the Python API."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.student.calibration import Calibration, calibrate
from medlabel.student.fit import FitResult, fit, predict_proba
from medlabel.student.human_labels import HumanLabels
from medlabel.student.recipes import Recipe
from medlabel.student.targets import training_targets

__all__ = ["TrainedStudent", "train_student"]


@dataclass(frozen=True)
class TrainedStudent:
    """A student after its training.

    Attributes:
        fit: the networks and the history of their training.
        pool: its probabilities of the images that it was trained on, float32 [N, K], uncalibrated.
        calibration: see `medlabel.student.calibration`; None where it cannot be had.
    """

    fit: FitResult
    pool: NDArray[np.float32]
    calibration: Calibration | None


def train_student(
    images: NDArray[np.uint8],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    recipe: Recipe,
    seed: int,
    *,
    architecture: str | None = None,
    device: str = "cpu",
    human_labels: HumanLabels | None = None,
    calibrated: bool = True,
) -> TrainedStudent:
    """Train a student, label the pool with it, and calibrate it by both.

    Args:
        images: the pool, uint8 [N, S, S] or [N, S, S, 3].
        scores: of a teacher, float32 [N, K]; rows sum to one.
        classes: K names.
        recipe: how the student is trained.
        seed: seed for the initial weights, splits, order and augmentation.
        architecture: a student by name; the recipe's own when None.
        device: torch device.
        human_labels: human labels of some of the images.
        calibrated: whether to calibrate.

    Raises:
        MedlabelError: training diverged.
    """
    fitted = fit(
        images, scores, classes, recipe, seed,
        architecture=architecture, device=device, human_labels=human_labels,
    )  # fmt: skip
    targets = training_targets(scores, recipe)
    targets = targets if human_labels is None else human_labels.apply_to_targets(targets)
    pool = predict_proba(fitted.student, images)
    if not np.isfinite(pool).all():
        raise MedlabelError(
            f"training with the recipe {recipe.name} diverged: its probabilities are not finite; "
            "choose a lower learning_rate"
        )
    calibration = calibrate(fitted.student, images, targets) if calibrated else None
    return TrainedStudent(fitted, pool, calibration)

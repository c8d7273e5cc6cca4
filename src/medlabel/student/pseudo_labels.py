"""What a caller gives a student to learn from, soft scores or hard labels, as one matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from medlabel.data.class_names import refuse_alike
from medlabel.errors import InvalidArgumentError

__all__ = ["PseudoLabels", "read_pseudo_labels"]

_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class PseudoLabels:
    """Scores of N images for K classes.

    Attributes:
        scores: float32 [N, K]; rows sum to one.
        classes: K values of any one type: what `predict` gives.
        teacher: name, model and captions of the teacher whose scores they are, if it is known.
    """

    scores: NDArray[np.float32]
    classes: NDArray[Any]
    teacher: Mapping[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(str, self.classes))


def read_pseudo_labels(
    proba: ArrayLike | pd.DataFrame, classes: Sequence[Any] | None, n: int
) -> PseudoLabels:
    """Scores [N, K] or labels [N], checked against the number of images.

    Args:
        proba: soft scores or hard labels; see `Student.fit`.
        classes: K values, or None.
        n: number of images.

    Raises:
        ValueError: `proba` or `classes` does not match the images or each other.
    """
    if proba is None:
        raise InvalidArgumentError("requires y to be passed, but the target y is None")
    values = np.asarray(proba)
    if len(np.shape(values)) == 0 or len(values) != n:
        raise InvalidArgumentError(f"{n} images, but labels of the shape {list(values.shape)}")
    if values.ndim == 2 and values.shape[1] > 1:
        if classes is None and isinstance(proba, pd.DataFrame):
            classes = list(proba.columns)
        names = np.arange(values.shape[1]) if classes is None else np.asarray(classes)
        teacher = getattr(proba, "attrs", {}).get("teacher")
        found = PseudoLabels(_checked(values), names, teacher)
    else:
        found = _one_hot(values, classes)
    names = found.classes
    if names.ndim != 1 or len(names) != found.scores.shape[1] or len(set(found.names)) < len(names):
        raise InvalidArgumentError(
            f"classes {names.tolist()} for {found.scores.shape[1]} columns: give each its own name"
        )
    refuse_alike(found.names)
    return found


def _one_hot(values: NDArray[Any], classes: Sequence[Any] | None) -> PseudoLabels:
    labels = column_or_1d(values, warn=True)
    check_classification_targets(labels)
    names = np.unique(labels) if classes is None else np.asarray(classes)
    if len(names) < 2:
        raise InvalidArgumentError(f"labels of one class alone, {names.tolist()}: two are required")
    place = {name: number for number, name in enumerate(names.tolist())}
    unknown = sorted({str(label) for label in labels.tolist() if label not in place})
    if unknown:
        raise InvalidArgumentError(f"label {unknown[0]!r} is none of the classes {names.tolist()}")
    rows = [place[label] for label in labels.tolist()]
    return PseudoLabels(np.eye(len(names), dtype=np.float32)[rows], names)


def _checked(values: NDArray[Any]) -> NDArray[np.float32]:
    try:
        scores = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError("scores that are not numbers") from error
    for reason, bad in (
        ("contain NaN or infinity", ~np.isfinite(scores)),
        ("are negative", scores < 0),
        ("do not sum to one in each row", np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE),
    ):
        if bad.any():
            raise InvalidArgumentError(
                f"scores [N, K] {reason}, first in row {int(np.argwhere(bad)[0][0])}"
            )
    return np.array(values, dtype=np.float32)  # a copy: a data frame gives a read-only array

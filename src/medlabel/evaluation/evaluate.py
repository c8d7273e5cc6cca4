"""How well a student or a teacher does on images whose labels a person knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from medlabel.data.images import ImagesLike, as_images
from medlabel.errors import InvalidArgumentError
from medlabel.evaluation.metrics import compute_metrics
from medlabel.student.estimator import Student
from medlabel.teacher.classifier import Teacher

__all__ = ["Evaluation", "evaluate"]


class Evaluation(pd.DataFrame):
    """A data frame with one row: the metrics of one student or teacher.

    | column | what it is |
    | --- | --- |
    | `n` | number of images |
    | `accuracy` | share of images with the right label |
    | `balanced_accuracy` | mean of the recalls of the classes |
    | `macro_f1` | mean of the F1 scores of the classes |
    | `auc` | mean over the classes of the area under the ROC curve, one class against the rest |
    | `recall_CLASS` | share of the images of a class that got its label, one column per class |

    All of them but `n` are between 0 and 1. `auc` and a recall are NaN where a class has no image.

    Attributes:
        confusion: a data frame of counts [K, K]: one row per true class, one column per label.

    `plot()` draws `confusion` with matplotlib and returns the axes.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    @property
    def confusion(self) -> pd.DataFrame:
        """Counts [K, K]: one row per true class, one column per label."""
        names = self.attrs["classes"]
        return pd.DataFrame(self.attrs["confusion"], index=names, columns=names)

    def plot(self, ax: Axes | None = None) -> Axes:  # type: ignore[override]  # one picture, no kinds
        """Draw the confusion matrix with matplotlib: true classes as rows, labels as columns.

        Args:
            ax: axes to draw on; by default those of a new figure.

        Returns:
            The axes; `evaluation.plot().figure.savefig("confusion.png")` saves the figure.
        """
        shown = ConfusionMatrixDisplay(self.confusion.to_numpy(), display_labels=[*self.confusion])
        shown.plot(ax=ax, cmap="Blues", colorbar=False)
        shown.ax_.set(xlabel="label given", ylabel="true class", title=str(self.index[0]))
        return cast(Axes, shown.ax_)


def evaluate(
    predictor: Student | Teacher,
    images: ImagesLike,
    labels: ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    captions: str | Mapping[str, Sequence[str]] = "table",
) -> Evaluation:
    """Compare the labels of a student or a teacher with true labels.

    The result is a data frame with one row and the columns `n`, `accuracy`, `balanced_accuracy`,
    `macro_f1`, `auc` and one `recall_CLASS` per class, as `Evaluation` defines them.
    `result.confusion` is the confusion matrix, and `result.plot()` draws it.

    Args:
        predictor: a trained `Student`, or a `Teacher`.
        images: N `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them. For an
            honest estimate, none should have been used for training.
        labels: N true classes, each one of the student's `classes_`, or of `classes`.
        classes: the K names that a teacher chooses from. Required for a teacher; ignored for a
            student, which has its own.
        captions: for a teacher: names of caption sets, or a dict of lists of captions by class
            name; see `Teacher.predict_proba`.

    Returns:
        A data frame with one row, named `student` or after the teacher. Combine several with
        `pd.concat`.

    Raises:
        ValueError: a label is not one of the classes, there are no images, or their number is not
            that of the labels.
        sklearn.exceptions.NotFittedError: the student is neither fitted nor loaded.

    Examples:
        >>> import medlabel as ml
        >>> images = ml.Images([*ml.load_images("phantom:breastmnist", split="test")[:60],
        ...                     *ml.load_images("phantom:pneumoniamnist", split="test")[:60]])
        >>> labels = ["breast"] * 60 + ["chest"] * 60
        >>> student = ml.Student(recipe="adam").fit(images[::2], labels[::2])
        >>> result = ml.evaluate(student, images[1::2], labels[1::2])
        >>> list(result)
        ['n', 'accuracy', 'balanced_accuracy', 'macro_f1', 'auc', 'recall_breast', 'recall_chest']
        >>> int(result.confusion.loc["breast"].sum())  # images of breasts, whatever their label
        30
    """
    found = as_images(images)
    if isinstance(predictor, Teacher):
        teacher: Teacher = predictor
        if classes is None:
            raise InvalidArgumentError("a teacher has no classes of its own: give classes=[…]")
        names: list[Any] = list(classes)
        chances = teacher.predict_proba(found, names, captions=captions).to_numpy()
        title = teacher.name
    else:
        chances, names = predictor.predict_proba(found), predictor.classes_.tolist()
        title = "student"
    truth = _places(labels, names, len(found))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class without images: that is NaN
        metrics = asdict(compute_metrics(chances, truth))
    counts = confusion_matrix(truth, chances.argmax(axis=1), labels=range(len(names)))
    return _frame(title, names, metrics, counts)


def _places(labels: ArrayLike, names: Sequence[Any], n: int) -> NDArray[np.int64]:
    """The number of each label's class, int64 [N]."""
    given = np.asarray(labels)
    if given.shape != (n,):
        raise InvalidArgumentError(f"{n} images, but labels of the shape {list(given.shape)}")
    place = {name: number for number, name in enumerate(names)}
    unknown = [label for label in given.tolist() if label not in place]
    if unknown:
        raise InvalidArgumentError(f"label {unknown[0]!r} is none of the classes {list(names)}")
    return np.array([place[label] for label in given.tolist()], dtype=np.int64)


def _frame(
    title: str, names: Sequence[Any], metrics: dict[str, float], counts: NDArray[np.int64]
) -> Evaluation:
    totals = counts.sum(axis=1)
    recalls = {
        f"recall_{name}": float(right / total) if total else float("nan")
        for name, right, total in zip(names, counts.diagonal(), totals, strict=True)
    }
    frame = Evaluation([{"n": int(totals.sum()), **metrics, **recalls}], index=[title])
    frame.attrs |= {"classes": list(names), "confusion": counts.tolist()}
    return frame

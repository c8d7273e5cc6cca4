"""The student as an estimator in scikit-learn's sense: `fit`, `predict`, `predict_proba`.

It needs no Ray. The jobs train by the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from medlabel.data.framing import chroma_of
from medlabel.data.images import ImagesLike, as_images
from medlabel.errors import InvalidArgumentError
from medlabel.storage.device import default_device, one_thread
from medlabel.storage.digests import digest_image, to_digests
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, find_bundle, load_bundle, save_bundle
from medlabel.student.decision import AUTO_ABOVE, Assessment, check_auto_above, review_reasons
from medlabel.student.provenance import digest_scores, learned_from, pool_provenance
from medlabel.student.pseudo_labels import PseudoLabels, read_pseudo_labels
from medlabel.student.recipes import RECIPES, Recipe, get_recipe
from medlabel.student.trained import train_student
from medlabel.student.verdict import Verdict

__all__ = ["Student"]

_MIN_IMAGES = 5  # an 80/20 split of fewer holds nothing out
_FORMER_FIELDS = {  # of recipes, by the names that bundles of before version 0.2 have
    "settle": "average_from_epoch",
    "members": "ensemble_size",
    "rounds": "self_training_rounds",
    "top": "top_k_per_class",
    "steps": "min_steps",
}


class Student(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A small CNN that learns from a teacher's noisy labels, and says which images to review.

    A scikit-learn classifier of images: `get_params`, `clone`, `cross_val_predict` and the like
    work, with images in place of a table of features. Save a trained one with `save_pretrained`;
    `medlabel serve` and `medlabel annotate` accept the folder.

    Args:
        recipe: how it is trained: `"robust"` (made for labels of which many are wrong), `"paper"`,
            `"adam"`, the path of a YAML file, or a `Recipe`.
        seed: seed for the initial weights, the splits, the order of the images and the
            augmentation. With the same seed, images and scores the student is the same, bit for
            bit, on the same kind of machine.
        architecture: the network: `"small"`, `"paper"`, `"cnn:16-32-64"`, `"resnet18"`,
            `"timm:NAME"`, …; the recipe's own by default.
        device: torch device, such as `"cuda"`; by default a GPU if there is one.
        size: side in pixels of the network's input, 28 by default. The centre square of every
            image is resized to it, for training and for prediction. Larger images therefore lose
            detail without a warning: set `size` to 64, 128 or 224 if the classes differ in it.
        balanced: whether the training images are about equally many per class. If so, the scores
            are first adjusted so that each class has the same mean. This replaces the recipe's own
            `balanced`, which is True for `"robust"` in `medlabel run`, where the pool is sampled
            with equal numbers per class. The default is False, as in `medlabel label`, because the
            shares of the classes in a user's images are unknown.

    Attributes:
        classes_: the K classes, in the order of the columns of `predict_proba`.
        bundle_: the trained network with its calibration and its provenance.
        history_: a data frame with one row per epoch and ensemble member: losses, and agreement
            with the labels that it was trained on; missing after `from_pretrained`.

    Notes:
        Training and prediction on a CPU use one thread: sums over several threads differ in their
        last bits from machine to machine. With `"robust"`, training on 1,092 grey images of 28
        pixels takes about eleven seconds of one CPU core; the time grows with the number of images
        and of pixels. Nothing is printed meanwhile.

        `cross_val_predict(student, images, labels, method="predict_proba")` needs hard labels; with
        soft scores [N, K] in their place, scikit-learn supports `method="predict"` alone.

    Examples:
        >>> import medlabel as ml
        >>> images = ml.Images([*ml.load_images("phantom:breastmnist", split="test")[:60],
        ...                     *ml.load_images("phantom:pneumoniamnist", split="test")[:60]])
        >>> labels = ["breast"] * 60 + ["chest"] * 60   # a list of labels, or scores [N, K]
        >>> student = ml.Student(recipe="adam", seed=0).fit(images, labels)
        >>> student.classes_
        array(['breast', 'chest'], dtype='<U6')
        >>> student.predict(images[:2])
        array(['breast', 'breast'], dtype='<U6')
    """

    # Images and scores are what is learned from, no metadata that scikit-learn should route.
    __metadata_request__fit: ClassVar = dict.fromkeys(("images", "proba", "classes"), UNUSED)
    __metadata_request__predict: ClassVar = {"images": UNUSED}
    __metadata_request__predict_proba: ClassVar = {"images": UNUSED}

    def __init__(
        self,
        recipe: str | Recipe = "robust",
        seed: int = 0,
        architecture: str | None = None,
        device: str | None = None,
        size: int = 28,
        balanced: bool = False,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.architecture = architecture
        self.device = device
        self.size = size
        self.balanced = balanced

    def fit(
        self,
        images: ImagesLike,
        proba: ArrayLike | pd.DataFrame,
        classes: Sequence[Any] | None = None,
    ) -> Student:
        """Train on images and their pseudo-labels.

        `proba` plays the role of scikit-learn's `y`; pass it by position, as `cross_val_predict`
        and other functions of scikit-learn do.

        Args:
            images: N `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.
            proba: soft scores float [N, K] whose rows sum to one, such as `Teacher.predict_proba`
                returns; or hard labels [N], one class per image.
            classes: the K classes; by default the columns of `proba` if it is a data frame, the
                sorted distinct labels if it is hard labels, and 0, …, K-1 otherwise.

        Returns:
            The student itself.

        Raises:
            ValueError: `images` is not a valid collection of images, `proba` does not match them in
                length or its rows do not sum to one, or there are fewer than five images or two
                classes.
            medlabel.MedlabelError: the recipe or architecture is unknown, or training diverged.
        """
        found = as_images(images)
        if len(found) < _MIN_IMAGES:
            raise InvalidArgumentError(
                f"{len(found)} samples are too few to learn from: {_MIN_IMAGES} are required"
            )
        labels = read_pseudo_labels(proba, classes, len(found))
        _check_order(proba, found.ids)
        recipe = replace(_as_recipe(self.recipe), balanced=self.balanced)
        device = self.device or default_device()
        pool, seed = found.squares(self.size), int(self.seed)
        with one_thread(), _own_random_numbers(device):
            trained = train_student(
                pool, labels.scores, labels.names, recipe, seed,
                architecture=self.architecture, device=device,
            )  # fmt: skip
        provenance = self._provenance(labels, recipe, pool) | _drawn(found.ids)
        self.classes_ = labels.classes
        self.history_ = pd.DataFrame(trained.fit.history_rows())
        network: Any = trained.fit.student
        self.bundle_ = Bundle(
            str(provenance["bundle_id"]),
            network.to(device, memory_format=torch.contiguous_format),  # as a loaded one has it
            provenance,
            trained.calibration,
        )
        return self

    @property
    def verdict(self) -> Verdict | None:
        """Whether the student's labels can be believed, and why; None if nothing is known.

        `decide` follows it, and `save_pretrained` keeps it. Assign the verdict on the labels that
        the student was trained on.

        Raises:
            sklearn.exceptions.NotFittedError: neither fitted nor loaded.
        """
        check_is_fitted(self)
        verdict: Verdict | None = self.bundle_.verdict
        return verdict

    @verdict.setter
    def verdict(self, verdict: Verdict | None) -> None:
        check_is_fitted(self)
        facts: dict[str, Any] = {
            "verdict": None if verdict is None else verdict.to_json(),
            "warnings": [],
        }
        self.bundle_ = replace(self.bundle_, provenance={**self.bundle_.provenance, **facts})

    def predict(self, images: ImagesLike) -> NDArray[Any]:
        """The most probable class of each image.

        Args:
            images: N `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.

        Returns:
            An array [N] of the values in `classes_`.

        Raises:
            sklearn.exceptions.NotFittedError: neither fitted nor loaded.
            ValueError: `images` is not a valid collection of images.
        """
        chances = self.predict_proba(images)
        return np.asarray(self.classes_[chances.argmax(axis=1)])

    def predict_proba(self, images: ImagesLike) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 [N, K], in the order of `classes_`; rows sum to one.

        A calibrated 0.9 means that nine in ten such images have the label that the teacher would
        give them (Guo et al. 2017). How often the teacher is right remains unknown.

        Args:
            images: N `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.

        Raises:
            sklearn.exceptions.NotFittedError: neither fitted nor loaded.
            ValueError: `images` is not a valid collection of images.
        """
        return self._assess(images).probabilities

    def decide(self, images: ImagesLike, auto_above: float = AUTO_ABOVE) -> pd.DataFrame:
        """Label images, and decide which labels a person should review.

        | column | what it is |
        | --- | --- |
        | `label` | the most probable class |
        | `confidence` | its calibrated probability, float32 |
        | `decision` | `auto`, or `review` where there is a reason for it |
        | `review_reasons` | joined by commas, empty where there is none; see below |
        | `ood_score` | how unlike the training images it is (see `student.outsiders`), above 1 |
        | | where it is larger than for nearly all of them; NaN if unknown |

        | reason | when |
        | --- | --- |
        | `low_confidence` | `confidence` is below `auto_above` |
        | `out_of_distribution` | `ood_score` is above 1: the image is unlike the training images |
        | `uncalibrated` | no calibration and no `ood_score` are available for this network |
        | `guessing` | the verdict on the student's labels is that its teacher was guessing |
        | `doubtful` | that verdict is doubtful, and supports only labels of a higher `confidence` |

        `medlabel annotate` and `medlabel serve` use the same rule. It does not guarantee any label:
        `medlabel audit` determines how many are right.

        Args:
            images: N `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.
            auto_above: the lowest confidence at which a label needs no review, 0 to 1.

        Returns:
            A data frame with N rows, named by the ids of the images.

        Raises:
            sklearn.exceptions.NotFittedError: neither fitted nor loaded.
            ValueError: `images` is not a valid collection of images.
            medlabel.MedlabelError: `auto_above` is not between 0 and 1.
        """
        check_auto_above(auto_above)
        found = as_images(images)
        assessment = self._assess(found)
        why = review_reasons(assessment, auto_above)
        return pd.DataFrame(
            {
                "label": self.classes_[assessment.probabilities.argmax(axis=1)],
                "confidence": assessment.confidence,
                "decision": ["review" if reasons else "auto" for reasons in why],
                "review_reasons": [",".join(reasons) for reasons in why],
                "ood_score": assessment.ood_score,
            },
            index=pd.Index(found.ids, name="image_id"),
        )

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the trained student as a bundle, into a folder or bucket.

        The bundle holds `config.json`, `model.safetensors`, `calibration.safetensors`,
        `provenance.json` and a model card; no code and no pickle. `Student.from_pretrained`,
        `medlabel serve` and `medlabel annotate --model` read it. Names of the classes become text.

        Args:
            folder: path or URI; what it holds of an earlier bundle is replaced.

        Raises:
            sklearn.exceptions.NotFittedError: neither fitted nor loaded.
            medlabel.MedlabelError: the folder cannot be written.
        """
        check_is_fitted(self)
        store = Store(str(folder))
        store.check_writable()
        bundle = self.bundle_
        save_bundle(store, bundle.student, bundle.provenance, bundle.calibration)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], *, device: str | None = None
    ) -> Student:
        """Load a student from its bundle, or from the folder of a finished run.

        Recipe, seed, architecture, size and `balanced` are restored as well, so `clone(loaded)` is
        trained in the same way. Not restored: the device, answers of people that `medlabel retrain`
        trained on, and a recipe with unknown fields (`"robust"` takes its place).

        Args:
            folder: path or URI of a bundle, or of the `--out` of `run` or `label`.
            device: torch device, such as `"cuda"`; by default a GPU if there is one.

        Raises:
            medlabel.MedlabelError: there is no bundle, or it is damaged.
        """
        bundle = load_bundle(find_bundle(str(folder)))
        facts = bundle.provenance.get("recipe") or {}
        recipe, architecture = _known_recipe(facts), bundle.student.architecture
        made = cls(
            recipe,
            int(bundle.provenance.get("seed", 0)),
            None if architecture == _as_recipe(recipe).student else architecture,
            device,
            bundle.size,
            bool(facts.get("balanced", False)),
        )
        bundle.student.to(device or default_device())
        made.classes_, made.bundle_ = np.asarray(bundle.classes), bundle
        return made

    def _assess(self, images: ImagesLike) -> Assessment:
        check_is_fitted(self)
        bundle = self.bundle_
        given = as_images(images)
        pixels = given.squares(bundle.size, bundle.student.channels)
        chroma = np.array([chroma_of(image) for image in given], dtype=np.float32)
        with one_thread():
            return bundle.assess(pixels, chroma)

    def _provenance(
        self, labels: PseudoLabels, recipe: Recipe, pool: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Where the student comes from: what `medlabel label` writes, too."""
        teacher = labels.teacher or {"name": "", "scores": digest_scores(labels.scores)}
        digests = to_digests([digest_image(image) for image in pool])
        facts = pool_provenance(teacher, recipe, digests, self.architecture)
        seed = int(self.seed)
        own = {"seed": seed, "bundle_id": f"{facts['key']}-seed-{seed:04d}"}
        return {**facts, **own}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


def _check_order(proba: Any, ids: tuple[str, ...]) -> None:
    """Raise if the rows of a teacher's data frame are of these images in another order."""
    if isinstance(proba, pd.DataFrame) and proba.index.name == "image_id":
        given = [*map(str, proba.index)]
        if given != [*ids] and sorted(given) == sorted(ids):
            raise InvalidArgumentError(
                "the scores have the images in another order: pass proba.loc[list(images.ids)]"
            )


def _drawn(ids: Sequence[str]) -> dict[str, str]:
    """That some images were drawn; nothing if their ids do not show where they come from."""
    found = learned_from(ids)
    return {} if found == "real" else {"learned_from": found}


def _own_random_numbers(device: str) -> Any:
    """Leave torch's random numbers outside the block as they are."""
    cuda = torch.device(device).type == "cuda"
    return torch.random.fork_rng([device] if cuda else [])


def _as_recipe(recipe: str | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else get_recipe(recipe)


def _known_recipe(facts: Mapping[str, Any]) -> str | Recipe:
    """The recipe of a bundle, by its name where that says it all; `robust` where it is unknown."""
    try:
        recipe = Recipe(**{_FORMER_FIELDS.get(name, name): value for name, value in facts.items()})
    except (TypeError, ValidationError):  # of a bundle with other fields than any version had
        return "robust"
    named = RECIPES.get(recipe.name, recipe)
    same = recipe.name in RECIPES and named == replace(recipe, balanced=named.balanced)
    return recipe.name if same else recipe

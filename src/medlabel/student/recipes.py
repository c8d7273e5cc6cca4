"""How a student is trained on pseudo-labels: named recipes, and YAML files that modify them.

| name | recipe |
| --- | --- |
| `paper` | the paper's: hard labels, cross-entropy, SGD, at most 20 epochs, patience 10 |
| `adam` | `paper` with Adam at a learning rate of 0.001 |
| `robust` | the default; it assumes that many pseudo-labels are wrong |
| `mine.yaml` | the recipe named by `base`, with the fields of the file changed |

```yaml
base: robust
loss: symmetric
self_training_rounds: 2
```
"""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from medlabel.errors import MedlabelError
from medlabel.storage.yaml_files import read_mapping

__all__ = ["RECIPES", "Recipe", "get_recipe"]

_WORDS = {
    "name", "student", "optimiser", "schedule", "loss", "targets", "weights", "augment", "average"
}  # fmt: skip
"""Fields whose values are texts; in a recipe's file all others are numbers, booleans or null."""

_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
OPTIMISERS = tuple(
    sorted(
        name.lower()
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")  # need closures or matrices
    )
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Recipe:
    """How to fit a student.

    Attributes:
        name: of the recipe.
        student: default architecture.
        optimiser: `sgd` (with momentum 0.9), `adam`, `adamw`, or another of torch.optim.
        learning_rate: the constant or, with a schedule, the highest learning rate.
        schedule: of the learning rate: `constant`, `onecycle` (Smith & Topin 2019) or `cosine`.
        epochs: maximal number of epochs.
        min_steps: minimal number of optimiser steps, or None. For small pools `epochs`, `patience`
            and `average_from_epoch` are scaled up to reach it.
        patience: stop after this number of epochs without a lower validation loss; if None, run
            all epochs. The epoch with the lowest validation loss is kept in either case.
        average_from_epoch: weights of earlier epochs, when the learning rate is still high, are
            neither kept nor averaged.
        batch_size: images per step.
        loss: `cross-entropy`; `generalised` (Zhang & Sabuncu 2018); `symmetric` (Wang et al.
            2019); `early-learning` (Liu et al. 2020).
        loss_exponent: q of the generalised loss (1 - p^q) / q: cross-entropy at 0, the mean
            absolute error, which is most robust to wrong labels, at 1.
        targets: `hard` (the likeliest class) or `soft` (the probabilities).
        balanced: rescale the scores so that the pseudo-labels are balanced, as the pool is.
        weights: `none`, or `margin`: the difference of the two highest probabilities.
        top_k_per_class: train only on this number of the likeliest images of each class, or on
            all if None.
        prune: leave out the labels that confident learning finds wrong (Northcutt et al. 2021).
        augment: data augmentation: `none`, `light`, `films`, `cells`, or `auto`: `cells` for
            colour images, `films` for others.
        average: `none`; `swa`: the mean of the weights after each epoch from `average_from_epoch`
            (Izmailov et al. 2018); `ema`: an exponential moving average over steps. An average
            is taken after the last epoch.
        ensemble_size: number of networks, each with its own split; the student averages their
            probabilities.
        self_training_rounds: in each round but the last, the pool is relabelled out of sample by
            the student of that round.
    """

    name: str
    student: str
    optimiser: str = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "onecycle", "cosine"] = "constant"
    epochs: _Count = 20
    min_steps: _Count | None = None
    patience: _Count | None = None
    average_from_epoch: Annotated[int, Field(ge=0)] = 0
    batch_size: _Count = 32
    loss: Literal["cross-entropy", "generalised", "symmetric", "early-learning"] = "cross-entropy"
    loss_exponent: _Share = 0.7
    targets: Literal["hard", "soft"] = "hard"
    balanced: bool = False
    weights: Literal["none", "margin"] = "none"
    top_k_per_class: _Count | None = None
    prune: bool = False
    augment: Literal["none", "light", "films", "cells", "auto"] = "none"
    average: Literal["none", "swa", "ema"] = "none"
    ensemble_size: _Count = 1
    self_training_rounds: _Count = 1

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(
                f"unknown optimiser {self.optimiser!r}: choose from {', '.join(OPTIMISERS)}"
            )
        if self.average == "swa" and self.average_from_epoch >= self.epochs:
            raise ValueError(
                "no epoch is left to average: `average_from_epoch` is "
                f"{self.average_from_epoch} of {self.epochs} epochs"
            )

    def steps_per_epoch(self, n: int) -> int:
        """Return the number of batches per epoch for `n` training images."""
        return max(1, n // self.batch_size)

    def scaled_to(self, n: int) -> "Recipe":
        """Return this recipe with enough epochs to reach `min_steps` on `n` training images."""
        if self.min_steps is None or self.min_steps <= self.epochs * self.steps_per_epoch(n):
            return self
        grown = math.ceil(self.min_steps / self.steps_per_epoch(n)) / self.epochs
        return replace(
            self,
            epochs=round(grown * self.epochs),
            patience=None if self.patience is None else round(grown * self.patience),
            average_from_epoch=min(
                round(grown * self.average_from_epoch), round(grown * self.epochs) - 1
            ),
        )


_PAPER = Recipe("paper", "paper", "sgd", learning_rate=1e-3, patience=10)
RECIPES = {
    "paper": _PAPER,
    "adam": Recipe("adam", "paper", "adam", learning_rate=1e-3, patience=10),
    "robust": Recipe(
        "robust",
        "small",
        "adamw",
        learning_rate=1e-2,
        schedule="onecycle",
        epochs=10,
        min_steps=110,
        average_from_epoch=4,
        batch_size=64,
        loss="generalised",
        targets="soft",
        balanced=True,
        augment="auto",
        average="swa",
        ensemble_size=3,
        self_training_rounds=2,
    ),
}


def get_recipe(name: str) -> Recipe:
    """Return a recipe by name or from a YAML file.

    >>> get_recipe("robust").ensemble_size
    3

    Raises:
        MedlabelError: the name is unknown or the file is invalid.
    """
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name))
    if name not in RECIPES:
        raise MedlabelError(
            f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}, or a .yaml file"
        )
    return RECIPES[name]


def _from_file(path: Path) -> Recipe:
    """Return the recipe that `base` names, with the fields of the file, named after the file."""
    advice = f"{path}: write `base: robust` and the fields to change"
    names = [field.name for field in fields(Recipe)]
    changes = read_mapping(path, "recipe", advice, typed={*names} - _WORDS)
    base = changes.pop("base", "robust")
    if not isinstance(base, str) or base not in RECIPES:
        raise MedlabelError(f"{path}: unknown base {base!r}: choose from {', '.join(RECIPES)}")
    if unknown := [key for key in changes if key not in names]:
        raise MedlabelError(
            f"{path}: no such field {', '.join(unknown)}; there are base, {', '.join(names)}"
        )
    try:
        return replace(RECIPES[base], **{"name": path.stem, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"][:1])
        reason = first["msg"].removeprefix("Value error, ")
        raise MedlabelError(f"{path}: {where}{reason}") from error

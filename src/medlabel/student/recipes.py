"""How a student is trained on pseudo-labels: named recipes, and a YAML that changes one of them.

| name | what it is |
| --- | --- |
| `paper` | the paper's: hard labels, cross-entropy, SGD, at most 20 epochs, patience 10 |
| `adam` | the paper's with Adam at a rate of 0.001 and nothing else changed |
| `robust` | the default: it assumes that many labels are wrong and that nobody will say which |
| `mine.yaml` | a recipe named by `base`, with the fields that the file gives changed |

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

__all__ = ["RECIPES", "Recipe", "recipe_named"]

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
        name: what the user types.
        student: the architecture unless the user names another.
        optimiser: `sgd` (with momentum 0.9), `adam`, `adamw`, or another of torch.optim.
        learning_rate: the constant, or the highest, rate.
        schedule: of the rate: `constant`, `onecycle` (Smith & Topin 2019) or `cosine`.
        epochs: at most so many.
        min_steps: at least so many (None: no matter): a small pool is gone through more often, and
            `epochs`, `patience` and `average_from_epoch` grow alike.
        patience: epochs without a lower validation loss before it stops early (None: it goes to
            the end of its schedule; either way the epoch of the lowest loss is kept).
        average_from_epoch: epochs whose weights are not kept, while the learning rate is still
        high. batch_size: images a step. loss: `cross-entropy`; `generalised` (Zhang & Sabuncu
        2018); `symmetric` (Wang et al.
            2019); `early-learning` (Liu et al. 2020), which remembers what it thought of each
            image.
        loss_exponent: q of the generalised loss (1 - p^q) / q: at 0 it is cross-entropy, at 1 the
            absolute error, which wrong labels pull least.
        targets: `hard`, the likeliest class, or `soft`, the probabilities.
        balanced: the pool is drawn balanced, so let the pseudo-labels be so too.
        weights: `none`, or `margin`: an image counts as much as its two likeliest classes differ.
        top_k_per_class: of each class only so many of its likeliest images are trained on (None:
        all). prune: leave out what confident learning takes for wrong (Northcutt et al. 2021;
        cleanlab). augment: random changes of the images: `none`, `light`, `films`, `cells`, or
        `auto`, which
            takes `cells` where all images are in colour and `films` elsewhere.
        average: `none`; `swa`, the mean of the weights after each epoch from `average_from_epoch`
            on (Izmailov et al. 2018); `ema`, a moving mean of them after each step. Then the last
            epoch is kept.
        ensemble_size: networks fitted on splits of their own; the student is the mean of their
            probabilities.
        self_training_rounds: after each but the last, the student relabels the pool, out of
            sample, and a new one learns from that.
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

    def steps_an_epoch(self, n: int) -> int:
        """So many batches are `n` images."""
        return max(1, n // self.batch_size)

    def sized(self, n: int) -> "Recipe":
        """This recipe for `n` images to learn from: with the epochs that make `min_steps`."""
        if self.min_steps is None or self.min_steps <= self.epochs * self.steps_an_epoch(n):
            return self
        grown = math.ceil(self.min_steps / self.steps_an_epoch(n)) / self.epochs
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


def recipe_named(name: str) -> Recipe:
    """The recipe of that name or YAML file, or a `MedlabelError` that lists what there is."""
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name))
    if name not in RECIPES:
        raise MedlabelError(
            f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}, or a .yaml file"
        )
    return RECIPES[name]


def _from_file(path: Path) -> Recipe:
    """The recipe that `base` names, with the file's fields changed, called like the file."""
    advice = f"{path}: write `base: robust` and the fields to change"
    changes = read_mapping(path, "recipe", advice)
    base = changes.pop("base", "robust")
    if base not in RECIPES:
        raise MedlabelError(f"{path}: unknown base {base!r}: choose from {', '.join(RECIPES)}")
    names = [field.name for field in fields(Recipe)]
    if unknown := [str(key) for key in changes if key not in names]:
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

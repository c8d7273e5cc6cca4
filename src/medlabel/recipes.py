"""How a student is trained on pseudo-labels. A recipe is a point in a small space; two are named.

| name | what it is |
| --- | --- |
| `paper` | the paper's: hard labels, cross-entropy, SGD, at most 20 epochs, patience 10 |
| `robust` | the default: it assumes that many labels are wrong and that nobody will say which |
"""

from dataclasses import dataclass
from typing import Literal

from medlabel.errors import MedlabelError

__all__ = ["RECIPES", "Recipe", "recipe_named"]


@dataclass(frozen=True)
class Recipe:
    """How to fit a student.

    Attributes:
        name: what the user types.
        student: the architecture unless the user names another.
        optimiser: `sgd` with momentum 0.9, or `adamw` with a one-cycle schedule.
        learning_rate: the constant, or the highest, rate.
        epochs: at most so many.
        patience: epochs without a lower validation loss before it stops early (None: it goes to
            the end of its schedule; either way the epoch of the lowest loss is kept).
        settle: epochs whose weights are not kept, while the learning rate is still high.
        batch_size: images a step.
        loss_exponent: q of generalised cross-entropy (1 - p^q) / q, which wrong labels pull less
            (Zhang & Sabuncu 2018, eq. 6); 0 is cross-entropy.
        balanced: the pool is drawn balanced, so let the pseudo-labels be so too, and keep their
            probabilities as soft targets; otherwise the likeliest class is a hard label.
        augment: shift, flip, change brightness, contrast and noise, and cut the field of a few
            images, all at random.
        members: networks fitted on splits of their own; the student is the mean of their
            probabilities.
    """

    name: str
    student: str
    optimiser: Literal["sgd", "adamw"]
    learning_rate: float
    epochs: int
    patience: int | None
    batch_size: int
    settle: int = 0
    loss_exponent: float = 0.0
    balanced: bool = False
    augment: bool = False
    members: int = 1


RECIPES = {
    "paper": Recipe(
        "paper", "paper", "sgd", learning_rate=1e-3, epochs=20, patience=10, batch_size=32
    ),
    "robust": Recipe(
        "robust",
        "small",
        "adamw",
        learning_rate=1e-2,
        epochs=10,
        patience=None,
        batch_size=64,
        settle=5,
        loss_exponent=0.7,
        balanced=True,
        augment=True,
        members=3,
    ),
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name, or a `MedlabelError` that lists what there is."""
    if name not in RECIPES:
        raise MedlabelError(f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name]

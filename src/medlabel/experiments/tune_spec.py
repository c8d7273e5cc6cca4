"""The search for a student and a recipe without true labels: specification, space and objective.

```yaml
sources: [chestmnist, breastmnist]
trials: 64
search: optuna               # or random, or both: [optuna, random]
seeds: 8                     # largest number of seeds per trial
recipes: robust              # the recipe that trials change, and the winner is compared with
space:                       # default: SPACE
  learning_rate: {low: 0.001, high: 0.03, log: true}
  loss: [generalised, symmetric]
  maps: [16-32, 16-32-64]    # composes a student: cnn:16-32,kernel=3
  kernel: [3, 5]
```

All other fields are those of a sweep (see `medlabel.experiments.sweep_spec`), with one teacher and
one student to start from. The space names fields of a recipe, including `student`, or `maps` and
the other keys of `medlabel.student.networks.cnn`, which compose a student. A list is a choice;
`low` and `high` are a range, of whole numbers if both are whole.

**The objective** is `agreement`: the mean of three measures on images that the student did not
learn from, each 1 at best and 0 by chance. Students of different seeds give the same labels
(`students`); similar images get the same label (`neighbours`); each class gets as many labels as
it has images in the sample (`balance`). These three rank recipes best (docs/students.md). They need
at least two seeds, so a trial is not stopped before it has two.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice, product
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from medlabel.data.tasks import first_validation_error
from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import Signals, student_agreement
from medlabel.experiments.sweep_spec import OWN, SweepSpec, listed
from medlabel.storage.digests import hex_digest
from medlabel.student.networks import Cnn, check_student
from medlabel.student.recipes import RECIPES, Recipe, get_recipe

__all__ = [
    "FAILED_AGREEMENT",
    "MIN_SEEDS",
    "SPACE",
    "Range",
    "TaskSignals",
    "TuneSpec",
    "agreement",
    "best_trial",
    "changed_fields",
    "check_tune",
    "plain",
    "recipe_of",
]

Plain = bool | int | float | str | None
Choices = Annotated[tuple[Plain, ...], Field(min_length=1)]

MIN_SEEDS = 2  # per trial before its agreement is reported: `students` compares two
FAILED_AGREEMENT = -1.0  # of a trial that cannot be fitted: no kappa is lower
_MOST_TRIED = 1000  # combinations of a student's parts that are tried to find a valid network
_START = "robust"  # the `base` of the recipe files that are written
_MAPS = "maps"
_CNN_KEYS = tuple(field.name for field in fields(Cnn) if field.name != _MAPS)
_RECIPE_FIELDS = {field.name for field in fields(Recipe)} - {"name"}


class Range(BaseModel):
    """Numbers from `low` to `high`, uniformly distributed; with `log`, uniform in the logarithm."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if self.low >= self.high:
            raise ValueError("`low` is not below `high`")
        if self.log and self.low <= 0:
            raise ValueError("`log` requires a `low` above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range is one of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


SPACE: Mapping[str, Range | tuple[Plain, ...]] = MappingProxyType(
    {
        "maps": ("8-16", "16-32", "16-32-64", "32-64", "32-64-128"),
        "kernel": (3, 5),
        "norm": ("batch", "group"),
        "dropout": Range(low=0.0, high=0.5),
        "optimiser": ("adam", "adamw", "sgd"),
        "learning_rate": Range(low=1e-3, high=3e-2, log=True),
        "batch_size": (32, 64, 128),
        "epochs": (5, 10, 20),
        "loss": ("cross-entropy", "generalised", "symmetric", "early-learning"),
        "targets": ("soft", "hard"),
        "augment": ("none", "light", "auto"),
        "average": ("none", "swa", "ema"),
    }
)


class TuneSpec(SweepSpec):
    """The specification of a search; see this module's docstring."""

    seeds: int = Field(8, ge=MIN_SEEDS, le=9999)
    trials: int = Field(64, ge=1, le=9999)
    search: Annotated[tuple[Literal["optuna", "random"], ...], BeforeValidator(listed)] = Field(
        ("optuna",), min_length=1
    )
    seed: int = Field(0, ge=0)
    space: dict[str, Range | Choices] = Field(default_factory=lambda: dict(SPACE), min_length=1)
    refit: bool = True

    @model_validator(mode="after")
    def _check_search(self) -> "TuneSpec":
        for field, given in (("teachers", self.teachers), ("students", self.students)):
            if len(given) > 1:
                raise ValueError(f"{field}: a search has one; write one file for each")
        if len(set(self.search)) < len(self.search):
            raise ValueError("search: one is listed twice")
        if strange := [
            key for key in self.space if key not in {*_RECIPE_FIELDS, _MAPS, *_CNN_KEYS}
        ]:
            known = ", ".join([*sorted(_RECIPE_FIELDS), _MAPS, *_CNN_KEYS])
            raise ValueError(f"space: no such field {strange[0]!r}; there are {known}")
        if _MAPS in self.space and "student" in self.space:
            raise ValueError("space: `maps` and `student` both define the student: keep one")
        if _MAPS not in self.space and (idle := [key for key in _CNN_KEYS if key in self.space]):
            raise ValueError(f"space: {idle[0]!r} has no effect without `maps`: add `maps`")
        return self

    @property
    def start(self) -> Recipe:
        """The recipe that trials change, with its student."""
        recipe, (student,) = get_recipe(self.recipes[0]), self.students
        return recipe if student == OWN else replace(recipe, student=student)


def check_tune(spec: TuneSpec) -> None:
    """Raise a `MedlabelError` for a value of the space that no recipe accepts, before any work."""
    composed = {name: _ends(spec.space[name]) for name in (_MAPS, *_CNN_KEYS) if name in spec.space}
    for name, values in spec.space.items():
        others = {other: ends for other, ends in composed.items() if other != name}
        for value in _ends(values):
            if why := _refusal(spec, name, value, others if name in composed else {}):
                raise MedlabelError(f"space: {name}: {why}")


def _refusal(
    spec: TuneSpec, name: str, value: Plain, others: Mapping[str, tuple[Plain, ...]]
) -> str | None:
    """Why no recipe accepts a value, whatever the other choices; None if one does."""
    first = None
    for chosen in islice(product(*others.values()), _MOST_TRIED):
        try:
            recipe = recipe_of(spec.start, {**dict(zip(others, chosen, strict=True)), name: value})
            check_student(recipe.student, spec.size)
        except MedlabelError as error:
            first = first or str(error)
        else:
            return None
    return first


def _ends(values: Range | tuple[Plain, ...]) -> tuple[Plain, ...]:
    """All choices, or both ends of a range."""
    return (values.low, values.high) if isinstance(values, Range) else values


# ---------------------------------------------------------------- from a choice to a recipe


def recipe_of(start: Recipe, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe of a trial, named by a hash of its content: equal choices give one recipe.

    `average_from_epoch` is scaled with `epochs`, unless it is chosen too, and is always smaller.

    Raises:
        MedlabelError: a field of the recipe does not accept its value.
    """
    values = plain(chosen)
    changes = {key: value for key, value in values.items() if key in _RECIPE_FIELDS}
    if _MAPS in values:
        keys = [f"{key}={values[key]}" for key in _CNN_KEYS if key in values]
        changes["student"] = ",".join([f"cnn:{values[_MAPS]}", *keys])
    epochs = int(changes.get("epochs", start.epochs))
    average_from_epoch = int(
        changes.get("average_from_epoch", round(start.average_from_epoch * epochs / start.epochs))
    )
    changes["average_from_epoch"] = max(0, min(average_from_epoch, epochs - 1))
    try:
        recipe = replace(start, **changes)
    except ValidationError as error:
        raise MedlabelError(first_validation_error(error)) from error
    content = json.dumps({**asdict(recipe), "name": start.name}, sort_keys=True)
    digest = hex_digest(content)
    return replace(recipe, name=f"{start.name}-{digest[:8]}")


def plain(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A choice as plain JSON; numbers are rounded to three significant digits for legibility."""
    return {key: _plain(value) for key, value in chosen.items()}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.3g}") if isinstance(value, float) else value


def changed_fields(recipe: Recipe) -> dict[str, Any]:
    """A recipe as in a recipe file: `base`, and the fields in which it differs from `robust`."""
    start, values = asdict(RECIPES[_START]), asdict(recipe)
    differing = {key: value for key, value in values.items() if value != start[key]}
    return {"base": _START, **{key: value for key, value in differing.items() if key != "name"}}


# ---------------------------------------------------------------- the objective


@dataclass(frozen=True)
class TaskSignals:
    """What one seed of one task shows without true labels.

    Attributes:
        signals: see `medlabel.evaluation.diagnostics`.
        labels: the student's labels, class index by image.
    """

    signals: Signals
    labels: Mapping[str, int]


def agreement(tasks: Sequence[Sequence[TaskSignals]], classes: Sequence[int]) -> dict[str, float]:
    """The objective, and the three measures it is the mean of, each a mean over tasks.

    Args:
        tasks: for each task, the seeds so far, two or more.
        classes: number of classes of each task.
    """
    each = pd.DataFrame(_of_tasks(tasks, classes))
    means = {name: float(each[name].mean()) for name in ("students", "neighbours", "balance")}
    return {"agreement": float(np.mean(list(means.values()))), **means}


def _of_tasks(
    tasks: Sequence[Sequence[TaskSignals]], classes: Sequence[int]
) -> Iterator[dict[str, float | None]]:
    for of_task, k in zip(tasks, classes, strict=True):
        yield {
            "students": student_agreement([seed.labels for seed in of_task], k),
            "neighbours": float(np.mean([seed.signals.neighbours for seed in of_task])),
            "balance": float(np.mean([seed.signals.balance for seed in of_task])),
        }


def best_trial(trials: pd.DataFrame) -> int:
    """The row of the winner: the highest agreement among the trials with the most seeds.

    Trials that were stopped early are not considered: the agreement of fewer seeds may be high by
    chance.

    Raises:
        MedlabelError: no trial could be fitted.
    """
    whole = trials[trials["agreement"] > FAILED_AGREEMENT]
    if whole.empty:
        why = trials["reason"].iloc[0] if len(trials) else "there are none"
        raise MedlabelError(f"no trial could be fitted; the first: {why}")
    longest = whole[whole["seeds"] == whole["seeds"].max()]
    return int(longest["agreement"].idxmax())

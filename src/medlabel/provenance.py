"""What makes a student this student: its key is a hash of all that decides it but the seed."""

import hashlib
import inspect
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel import (
    adjust,
    augment,
    confidence,
    fit,
    losses,
    recipes,
    selection,
    teacher,
    training,
    trusted,
)
from medlabel.recipes import Recipe
from medlabel.students import backbones, cnn, named, student
from medlabel.tasks import Task

__all__ = ["Identity", "digest_scores", "versions", "with_key"]


@dataclass(frozen=True)
class Identity:
    """All that decides the students of a task, but their seeds.

    Attributes:
        task: the classes to be told apart.
        sources: hash of the pixels of each source, by spec.
        teacher: its name, model or scores, captions and adjustment, as plain JSON.
        recipe: how students are trained.
        student: their architecture.
        per_class: at most so many images a class.
    """

    task: Task
    sources: Mapping[str, str]
    teacher: Mapping[str, Any]
    recipe: Recipe
    student: str
    per_class: int | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, with the hash of the code and the key."""
        return dict(self._facts)

    @property
    def key(self) -> str:
        """16 hexadecimal digits."""
        return str(self._facts["key"])

    @cached_property
    def _facts(self) -> dict[str, Any]:
        decisive = {
            "task": self.task.model_dump(mode="json"),
            "sources": dict(self.sources),
            "teacher": dict(self.teacher),
            "recipe": asdict(self.recipe),
            "student": self.student,
            "per_class": self.per_class,
        }
        return with_key(decisive)


def with_key(decisive: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a student, as plain JSON, with the hash of the code and a key of it all."""
    text = json.dumps({**decisive, "code": _code_hash()}, sort_keys=True)
    return {**json.loads(text), "key": hashlib.sha256(text.encode()).hexdigest()[:16]}


@cache
def _code_hash() -> str:
    """Of the modules that decide a student: cells fitted by other code are another run's."""
    data = (adjust, fit, losses, recipes, selection, teacher)
    networks = (augment, backbones, cnn, confidence, named, student, training, trusted)
    sources = [inspect.getsource(module) for module in (*data, *networks)]
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:12]


def versions() -> str:
    """Of the software that decides figures, for the results table and the bundle."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def digest_scores(scores: NDArray[np.float32]) -> str:
    """16 hexadecimal digits that name a matrix of scores."""
    return hashlib.sha256(scores.tobytes()).hexdigest()[:16]

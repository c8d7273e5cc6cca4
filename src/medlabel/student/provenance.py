"""What makes a student this student: its key is a hash of all that decides it but the seed."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel import versions as version_numbers
from medlabel.data.tasks import Task
from medlabel.storage.digests import hex_digest
from medlabel.student.recipes import Recipe

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
        """As plain JSON, with the version numbers and the key."""
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
    """All that decides a student, as plain JSON, with version numbers and the key of it all."""
    numbered = {**decisive, "versions": dict(version_numbers.STUDENT)}
    text = json.dumps(numbered, sort_keys=True)
    return {**json.loads(text), "key": hex_digest(text, 16)}


def versions() -> str:
    """Of the software that decides figures, for the results table and the bundle."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def digest_scores(scores: NDArray[np.float32]) -> str:
    """16 hexadecimal digits that name a matrix of scores."""
    return hex_digest(scores.tobytes(), 16)

"""The identity of a student: a key that hashes everything that decides it except the seed."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.data.tasks import Task
from medlabel.storage.digests import Digests, hex_digest
from medlabel.student.recipes import Recipe
from medlabel.versions import STUDENT

__all__ = ["Identity", "digest_scores", "pool_provenance", "versions", "with_key"]


@dataclass(frozen=True)
class Identity:
    """Everything that decides the students of a task, except their seeds.

    Attributes:
        task: the classes to tell apart.
        sources: SHA-256 of the pixels of each source, by its spec.
        teacher: its name, model or scores, captions and adjustment, as plain JSON.
        recipe: how students are trained.
        student: the name of their architecture.
        per_class: the maximum number of pool images per class; None for no limit.
    """

    task: Task
    sources: Mapping[str, str]
    teacher: Mapping[str, Any]
    recipe: Recipe
    student: str
    per_class: int | None

    def to_json(self) -> dict[str, Any]:
        """These facts as plain JSON, with the version numbers of the code and the key."""
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
    """Facts that decide a student, as plain JSON, with `code_versions` and a `key` over them all.

    The code counts by its version numbers (`medlabel.versions`), not by its text. The versions of
    libraries are recorded elsewhere (`versions`) and are no part of the key.
    """
    numbered = {**decisive, "code_versions": dict(STUDENT)}
    text = json.dumps(numbered, sort_keys=True)
    return {**json.loads(text), "key": hex_digest(text, 16)}


def pool_provenance(
    teacher: Mapping[str, Any], recipe: Recipe, digests: Digests, student: str | None = None
) -> dict[str, Any]:
    """Where a student comes from that learned from a pool of images without a task.

    Args:
        teacher: its name, model or scores, captions and adjustment, as plain JSON.
        recipe: how the student is trained.
        digests: of the contents of the pool, in order.
        student: its architecture, where it is not the recipe's own.

    Returns:
        Plain JSON: the above, their key, and the versions of the software.
    """
    own = {"student": student} if student else {}
    pool = hex_digest(digests.tobytes(), 16)
    facts = with_key({"teacher": dict(teacher), "recipe": asdict(recipe), "pool": pool, **own})
    return {**facts, "versions": versions()}


def versions() -> str:
    """The versions of the software in use, for the record: results, annotations and bundles."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def digest_scores(scores: NDArray[np.float32]) -> str:
    """16 hexadecimal digits of the SHA-256 of a matrix of scores."""
    return hex_digest(scores.tobytes(), 16)

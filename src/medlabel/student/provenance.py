"""The identity of a student: a key that hashes everything that decides it except the seed.

Beside the key, it is recorded whether the images that a student learned from were drawn.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medlabel.data.tasks import Task
from medlabel.storage.digests import Digests, hex_digest
from medlabel.versions import STUDENT

if TYPE_CHECKING:  # it imports torch, which processes that only read files need not load
    from medlabel.student.recipes import Recipe

__all__ = [
    "NOTICES",
    "Identity",
    "LearnedFrom",
    "digest_scores",
    "learned_from",
    "pool_provenance",
    "read_learned_from",
    "versions",
    "with_key",
]

LearnedFrom = Literal["drawn", "mixed", "real"]
_LEARNED_FROM: tuple[LearnedFrom, ...] = get_args(LearnedFrom)
NOTICES: Mapping[LearnedFrom, str] = {
    "drawn": "This student learned from drawn images; it has never seen a real one.",
    "mixed": "This student learned from drawn images as well as real ones.",
    "real": "",
}
"""What people should know who use the labels of a student."""


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


def learned_from(images: Iterable[str]) -> LearnedFrom:
    """Whether a student learned from drawn images.

    >>> learned_from(["phantom:breastmnist", "scans/"])
    'mixed'

    Args:
        images: specifications of their sources, or their ids, which begin with these.
    """
    drawn = {name.startswith("phantom:") for name in images}
    return "mixed" if len(drawn) > 1 else "drawn" if True in drawn else "real"


def read_learned_from(provenance: Mapping[str, Any]) -> LearnedFrom | None:
    """Read from a student's provenance whether it learned from drawn images; None if unknown.

    It is recorded, or follows from the sources of the task. Students of `medlabel label` have no
    task, and earlier versions recorded nothing about their images.
    """
    for known in _LEARNED_FROM:
        if provenance.get("learned_from") == known:
            return known
    classes = (provenance.get("task") or {}).get("classes")
    return learned_from(str(one["source"]) for one in classes) if classes else None


def versions() -> str:
    """The versions of the software in use, for the record: results, annotations and bundles."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def digest_scores(scores: NDArray[np.float32]) -> str:
    """16 hexadecimal digits of the SHA-256 of a matrix of scores."""
    return hex_digest(scores.tobytes(), 16)

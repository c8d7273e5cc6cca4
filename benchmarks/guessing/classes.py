"""What a situation is made of: groups of images, and classes with the names that a user types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.unseen_looks import UNSEEN
from medlabel.teacher.captions import CLASS_NAMES, NO_FINDING, captions_for

__all__ = [
    "PER_TASK", "Group", "NamedClass", "Situation", "finding", "kinds_of", "one_kind", "situation",
    "typed", "unseen_class", "whole_set",
]  # fmt: skip

PER_TASK = 480  # images of a situation, over all classes


@dataclass(frozen=True)
class Group:
    """Images of one set, such as `drawn:octmnist`; all, or those with one of some labels.

    Attributes:
        images: the name of the set (see `benchmarks.guessing.images`).
        labels: labels of the set; None for all images.
        without: labels that the images must not have, for findings that may come together.
        share: of the images of the class, relative to its other groups.
    """

    images: str
    labels: tuple[int, ...] | None = None
    without: tuple[int, ...] | None = None
    share: float = 1.0


@dataclass(frozen=True)
class NamedClass:
    """A class as a user names it: the captions that the teacher reads, and the true images.

    Attributes:
        name: of the class.
        captions: those of a set or of a label of it; empty if only the name is known, as in
            `medlabel label`.
        groups: its images.
        share: of the images, relative to the other classes; 0 if no image belongs to it.
    """

    name: str
    captions: tuple[str, ...]
    groups: tuple[Group, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Situation:
    """A labelling task with a known outcome.

    Attributes:
        name: unique.
        kind: of situation, for the table.
        classes: two or more.
        left_out: looks and kinds that the teachers were not trained on.
        seeds: of the teachers, whose first one labels.
        foreign: groups of images that belong to no class, so that every label of them is wrong.
        foreign_share: of all images.
        distortion: of all images (see `benchmarks.distortions`).
    """

    name: str
    kind: str
    classes: tuple[NamedClass, ...]
    left_out: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    foreign: tuple[Group, ...] = ()
    foreign_share: float = 0.0
    distortion: str | None = None


def whole_set(where: str, flag: str) -> NamedClass:
    """A whole set under its own name."""
    short = flag.removesuffix("mnist")
    return NamedClass(short, captions_for(short), (Group(f"{where}:{flag}"),))


def one_kind(where: str, flag: str, label: int) -> NamedClass:
    """One label of a set, with the captions of that label."""
    name = CLASS_NAMES[flag][label]
    captions = captions_for(name, flag=flag, label=label)
    return NamedClass(name, captions, (Group(f"{where}:{flag}", (label,)),))


def kinds_of(where: str, flag: str, labels: Sequence[int] | None = None) -> tuple[NamedClass, ...]:
    """Some labels of a set, or all."""
    chosen = range(len(CLASS_NAMES[flag])) if labels is None else labels
    return tuple(one_kind(where, flag, label) for label in chosen)


def finding(where: str, label: int) -> tuple[NamedClass, ...]:
    """A chest finding against films without any finding."""
    one = one_kind(where, "chestmnist", label)
    if where == "drawn":
        none = Group("drawn:chestmnist", (14,))
    else:
        none = Group("real:chestmnist", None, tuple(range(14)))
    return one, NamedClass("no finding", NO_FINDING["chestmnist"], (none,))


def typed(name: str, *groups: Group, share: float = 1.0) -> NamedClass:
    """A class that is known by its name alone."""
    return NamedClass(name, (), groups, share)


def unseen_class(flag: str) -> NamedClass:
    """A look that no teacher has learned, under the name that a user would type."""
    return typed(UNSEEN[flag].name, Group(f"unseen:{flag}"))


def _names(classes: Sequence[NamedClass]) -> str:
    return "/".join(one.name for one in classes)


def situation(
    kind: str,
    classes: Sequence[NamedClass],
    note: str = "",
    *,
    left_out: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2),
    foreign: tuple[Group, ...] = (),
    foreign_share: float = 0.0,
    distortion: str | None = None,
) -> Situation:
    """A situation, named after its kind, its classes and their sets of images."""
    sets = "+".join(sorted({group.images for one in classes for group in one.groups}))
    name = f"{kind}: {_names(classes)} ({sets}{note and f'; {note}'})"
    return Situation(
        name, kind, tuple(classes), left_out, seeds, foreign, foreign_share, distortion
    )

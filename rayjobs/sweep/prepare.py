"""Before a sweep fits: spec checked, cells drawn, images embedded, teachers asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medlabel.data.sources import Source
from medlabel.data.tasks import Cell, Task, open_source_specs, sample_cells, sampled_ids
from medlabel.data.truth import SealedTruth
from medlabel.experiments.sweep_spec import SweepSpec, SweepUnit, TeacherSpec, check_sweep, plan
from medlabel.storage.progress import OnProgress
from medlabel.student.provenance import Identity
from medlabel.teacher.clip import Clip
from medlabel.teacher.task_captions import class_captions
from rayjobs.scoring import (
    TeacherScores,
    combine_teachers,
    embed_ids,
    load_teacher,
    score_by_captions,
)

__all__ = [
    "Group",
    "Prepared",
    "Seen",
    "SweepConfig",
    "TaskSample",
    "embed_all",
    "groups",
    "identity_of",
    "prepare",
]


@dataclass(frozen=True)
class SweepConfig:
    """What a sweep is asked for.

    Attributes:
        spec: tasks, teachers, recipes, students and seeds.
        out: folder or bucket of the sweep.
        home: where what can be made again is kept: the phantom CLIP, the embedding table.
        data_root: folder of MedMNIST's files.
        workers: fits at a time; as many as the cluster can hold when None.
        gpus: of each fit, such as 0.1; None for a quarter where there are GPUs.
    """

    spec: SweepSpec
    out: str
    home: Path
    data_root: Path | None = None
    workers: int | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class TaskSample:
    """The cells of one task; `ids` are those of all images drawn, in the order of their rows."""

    task: Task
    sources: Mapping[str, Source]
    cells: tuple[Cell, ...]
    truth: SealedTruth
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A checked plan, and the draws of its tasks by title."""

    units: tuple[SweepUnit, ...]
    draws: Mapping[str, TaskSample]

    @property
    def sources(self) -> dict[str, Source]:
        """All of them, by spec."""
        return {spec: one for draw in self.draws.values() for spec, one in draw.sources.items()}

    @property
    def ids(self) -> list[str]:
        """All images that any task draws, once each, sorted."""
        return sorted({image_id for draw in self.draws.values() for image_id in draw.ids})


@dataclass(frozen=True)
class Seen:
    """One CLIP and its embeddings [M, D] of all drawn images, whose rows go by id."""

    clip: Clip
    embeddings: NDArray[np.floating]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Group:
    """A task by a teacher, and the units that learn from it, by key."""

    draw: TaskSample
    teacher: TeacherSpec
    asked: TeacherScores
    units: Mapping[str, SweepUnit]

    @property
    def rows(self) -> dict[str, int]:
        """Row of each image, by id."""
        return {image_id: row for row, image_id in enumerate(self.draw.ids)}


def prepare(settings: SweepConfig, on_progress: OnProgress, *, one_test: bool = False) -> Prepared:
    """Check the spec, open each source once, and draw the cells of every task.

    With `one_test` all cells of a task are tried on the first one's test images: of a large set two
    draws share hardly any, and students could not be compared.
    """
    spec = settings.spec
    units = plan(spec)
    check_sweep(spec, units)
    tasks = {unit.task.title: unit.task for unit in units}
    on_progress("reading", 0, len(tasks))
    specs = [one.source for task in tasks.values() for one in task.classes]
    opened = open_source_specs(specs, spec.size, settings.data_root)
    draws = {}
    for done, (title, task) in enumerate(tasks.items(), start=1):
        sources = {one.source: opened[one.source] for one in task.classes}
        cells, truth = sample_cells(task, sources, range(spec.seeds), spec.per_class)
        if one_test:
            cells = [replace(cell, test=cells[0].test) for cell in cells]
        draws[title] = TaskSample(task, sources, tuple(cells), truth, tuple(sampled_ids(cells)))
        on_progress("reading", done, len(tasks))
    return Prepared(tuple(units), draws)


def embed_all(
    settings: SweepConfig, prepared: Prepared, on_progress: OnProgress
) -> tuple[dict[str, Seen], int]:
    """Each CLIP with its embeddings of all drawn images, and how many had to be encoded."""
    ids, sources = prepared.ids, prepared.sources
    rows = {image_id: row for row, image_id in enumerate(ids)}
    seen, total = {}, 0
    for name in dict.fromkeys(name for one in settings.spec.teachers for name in one.clip):
        clip = load_teacher(name, settings.home, on_progress)
        embeddings, encoded = embed_ids(clip, settings.home, sources, ids, on_progress)
        seen[name], total = Seen(clip, embeddings, rows), total + encoded
    return seen, total


def groups(settings: SweepConfig, prepared: Prepared, seen: Mapping[str, Seen]) -> Iterator[Group]:
    """Units by task and teacher, one group in memory at a time."""
    for _, members in groupby(prepared.units, key=lambda unit: (unit.task.title, unit.teacher)):
        units = list(members)
        draw, teacher = prepared.draws[units[0].task.title], units[0].teacher
        asked = _ask(settings.home, draw, teacher, seen)
        yield Group(
            draw,
            teacher,
            asked,
            {identity_of(settings.spec, draw, asked, one).key: one for one in units},
        )


def _ask(
    home: Path, draw: TaskSample, teacher: TeacherSpec, seen: Mapping[str, Seen]
) -> TeacherScores:
    captions = [class_captions(one, teacher.captions) for one in draw.task.classes]
    asked = []
    for name in teacher.clip:
        one = seen[name]
        embeddings = one.embeddings[[one.rows[image_id] for image_id in draw.ids]]
        asked.append(score_by_captions(one.clip, home, name, captions, embeddings))
    return combine_teachers(asked)


def identity_of(
    spec: SweepSpec, draw: TaskSample, asked: TeacherScores, unit: SweepUnit
) -> Identity:
    """What decides a unit's students, the same as that of a run of this unit."""
    hashes = {name: source.content_hash for name, source in draw.sources.items()}
    facts = asked.facts_with(unit.teacher.adjustment)
    return Identity(unit.task, hashes, facts, unit.recipe, unit.student, spec.per_class)

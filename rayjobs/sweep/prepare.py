"""The steps before a sweep fits: check the spec, sample cells, embed images, score them."""

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
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.student.provenance import Identity
from medlabel.teacher.clip import Clip
from medlabel.teacher.task_captions import captions_of_task
from rayjobs.fit_placement import FitPlacement
from rayjobs.scoring import (
    TeacherScores,
    combine_teachers,
    embed_ids,
    load_teacher,
    score_by_captions,
)

__all__ = [
    "ClipEmbeddings",
    "PreparedSweep",
    "ScoredTask",
    "SweepConfig",
    "TaskSample",
    "embed_all",
    "identity_of",
    "prepare",
    "scored_tasks",
]


@dataclass(frozen=True)
class SweepConfig:
    """The options of a sweep.

    Attributes:
        spec: tasks, teachers, recipes, students and seeds.
        out: folder or bucket of the sweep.
        home: folder for what can be computed again: the phantom CLIP, the embedding table.
        data_root: folder of MedMNIST's files.
        workers: fits at a time; None for as many as the cluster can hold.
        gpus: GPUs per fit, such as 0.1; None for a quarter where there are GPUs, 0 for CPUs only.
    """

    spec: SweepSpec
    out: str
    home: Path
    data_root: Path | None = None
    workers: int | None = None
    gpus: float | None = None

    @property
    def placement(self) -> FitPlacement:
        """How many fits run at a time, and what each takes of the cluster."""
        return FitPlacement(self.workers, self.gpus)


@dataclass(frozen=True)
class TaskSample:
    """The cells of one task. `ids` names all images in them, in the order of their rows."""

    task: Task
    sources: Mapping[str, Source]
    cells: tuple[Cell, ...]
    truth: SealedTruth
    ids: tuple[str, ...]


@dataclass(frozen=True)
class PreparedSweep:
    """A checked plan, and the sampled cells of its tasks.

    Attributes:
        units: combinations of a task, a teacher, a recipe and a student.
        samples: the cells of each task, by its title.
    """

    units: tuple[SweepUnit, ...]
    samples: Mapping[str, TaskSample]

    @property
    def sources(self) -> dict[str, Source]:
        """The sources of all tasks, by spec."""
        return {spec: one for each in self.samples.values() for spec, one in each.sources.items()}

    @property
    def ids(self) -> list[str]:
        """All images that any task samples, once each, sorted."""
        return sorted({image_id for each in self.samples.values() for image_id in each.ids})


@dataclass(frozen=True)
class ClipEmbeddings:
    """One CLIP and its embeddings [M, D] of all sampled images; `rows` finds them by image id."""

    clip: Clip
    embeddings: NDArray[np.floating]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class ScoredTask:
    """A task as one teacher scores it, and the units that learn from these scores, by key."""

    sample: TaskSample
    teacher: TeacherSpec
    teacher_scores: TeacherScores
    units: Mapping[str, SweepUnit]

    @property
    def rows(self) -> dict[str, int]:
        """Row of each image, by id."""
        return {image_id: row for row, image_id in enumerate(self.sample.ids)}


def prepare(
    config: SweepConfig, on_progress: OnProgress = ignore_progress, *, one_test: bool = False
) -> PreparedSweep:
    """Check the spec, open each source once, and sample the cells of every task.

    Args:
        config: of the sweep.
        on_progress: called with the number of tasks whose cells are sampled.
        one_test: give all cells of a task the test images of the first. Two samples of a large set
            have hardly any images in common, so that students could not be compared on them.
    """
    spec = config.spec
    units = plan(spec)
    check_sweep(spec, units)
    tasks = {unit.task.title: unit.task for unit in units}
    on_progress("reading", 0, len(tasks))
    specs = [one.source for task in tasks.values() for one in task.classes]
    opened = open_source_specs(specs, spec.size, config.data_root)
    samples = {}
    for done, (title, task) in enumerate(tasks.items(), start=1):
        sources = {one.source: opened[one.source] for one in task.classes}
        cells, truth = sample_cells(task, sources, range(spec.seeds), spec.per_class)
        if one_test:
            cells = [replace(cell, test=cells[0].test) for cell in cells]
        samples[title] = TaskSample(task, sources, tuple(cells), truth, tuple(sampled_ids(cells)))
        on_progress("reading", done, len(tasks))
    return PreparedSweep(tuple(units), samples)


def embed_all(
    config: SweepConfig, prepared: PreparedSweep, on_progress: OnProgress
) -> tuple[dict[str, ClipEmbeddings], int]:
    """Each CLIP with its embeddings of all sampled images, and how many had to be computed."""
    ids, sources = prepared.ids, prepared.sources
    rows = {image_id: row for row, image_id in enumerate(ids)}
    embedded, total = {}, 0
    for name in dict.fromkeys(name for one in config.spec.teachers for name in one.clip):
        clip = load_teacher(name, config.home, on_progress)
        embeddings, encoded = embed_ids(clip, config.home, sources, ids, on_progress)
        embedded[name], total = ClipEmbeddings(clip, embeddings, rows), total + encoded
    return embedded, total


def scored_tasks(
    config: SweepConfig, prepared: PreparedSweep, embedded: Mapping[str, ClipEmbeddings]
) -> Iterator[ScoredTask]:
    """Each task by each teacher, one in memory at a time."""
    for _, members in groupby(prepared.units, key=lambda unit: (unit.task.title, unit.teacher)):
        units = list(members)
        sample, teacher = prepared.samples[units[0].task.title], units[0].teacher
        scores = _score(config.home, sample, teacher, embedded)
        by_key = {identity_of(config.spec, sample, scores, unit).key: unit for unit in units}
        yield ScoredTask(sample, teacher, scores, by_key)


def _score(
    home: Path, sample: TaskSample, teacher: TeacherSpec, embedded: Mapping[str, ClipEmbeddings]
) -> TeacherScores:
    found = captions_of_task(sample.task.classes, teacher.captions)
    captions = dict(zip(sample.task.class_names, found, strict=True))
    scored = []
    for name in teacher.clip:
        one = embedded[name]
        embeddings = one.embeddings[[one.rows[image_id] for image_id in sample.ids]]
        scored.append(score_by_captions(one.clip, home, name, captions, embeddings))
    return combine_teachers(scored)


def identity_of(
    spec: SweepSpec, sample: TaskSample, scores: TeacherScores, unit: SweepUnit
) -> Identity:
    """Everything that decides a unit's students; a run of the same unit has the same identity."""
    hashes = {name: source.content_hash for name, source in sample.sources.items()}
    facts = scores.facts_with(unit.teacher.adjustment)
    return Identity(unit.task, hashes, facts, unit.recipe, unit.student, spec.per_class)

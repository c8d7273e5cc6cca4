"""The verdicts of a sweep: whether each teacher reads the images of each task, or guesses.

A verdict is on the teacher's labels of a task, which all recipes and students learn from. It is
reached in the driver, before anything is fitted, from images of the first cell's pool. More seeds
therefore leave it as it is, and no true label is read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from medlabel.data.tasks import gather_images
from medlabel.evaluation.evidence.assess import IMAGES
from medlabel.evaluation.evidence.judge_labels import for_bundle, judge_labels, with_faults
from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.storage.progress import OnProgress
from medlabel.student.verdict import Verdict
from medlabel.teacher.adjust import mean_vote
from medlabel.teacher.task_captions import captions_of_task
from rayjobs.sweep.prepare import (
    ClipEmbeddings,
    PreparedSweep,
    ScoredTask,
    SweepConfig,
    scored_tasks,
)

__all__ = ["judged_labels", "unit_verdicts", "verdict_on"]


def judged_labels(prepared: PreparedSweep) -> set[tuple[str, str]]:
    """The titles of task and teacher of each verdict: those of what a student can learn from."""
    return {(unit.task.title, unit.teacher.title) for unit in prepared.units}


def unit_verdicts(
    config: SweepConfig,
    prepared: PreparedSweep,
    embedded: Mapping[str, ClipEmbeddings],
    on_progress: OnProgress,
) -> Iterator[LabellingVerdict]:
    """The verdict for each unit, from one per task and teacher.

    They are without example images: a sweep's page shows none, and many units share a verdict.
    """
    total = len(judged_labels(prepared))
    on_progress("verdict", 0, total)
    for done, scored in enumerate(scored_tasks(config, prepared, embedded), start=1):
        verdict = for_bundle(verdict_on(scored, config.home), public=False)
        on_progress("verdict", done, total)
        for unit in scored.units.values():
            yield LabellingVerdict(verdict=verdict, **unit.names)


def verdict_on(scored: ScoredTask, home: Path) -> Verdict:
    """The verdict on a teacher's labels of a task, from up to `IMAGES` images of its first pool."""
    sample, teacher = scored.sample, scored.teacher
    pool = sample.cells[0].pool
    ids = [pool[row] for row in np.sort(np.random.default_rng(0).permutation(len(pool))[:IMAGES])]
    captions = captions_of_task(sample.task.classes, teacher.captions)
    by_class = dict(zip(sample.task.class_names, captions, strict=True))
    scores = scored.teacher_scores.scores[..., [scored.rows[image_id] for image_id in ids], :]
    labels = (scores if scores.ndim == 2 else mean_vote(list(scores))).argmax(axis=1)
    images = gather_images(sample.sources, ids)
    verdict = judge_labels(teacher.clip, images, ids, by_class, labels, home)
    return with_faults(verdict, scored.teacher_scores.faults)

"""Correction flows back: train the next student on annotations and on people's answers.

Three more students are fitted without a third of the answers each, and three with none of them, to
measure what the answers changed: every answer is compared with students that did not learn from it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.answers import read_all_answers
from medlabel.annotation.audit import class_names
from medlabel.annotation.retraining import (
    AnswerImpact,
    TrainingSet,
    folds_of,
    make_training_set,
)
from medlabel.errors import MedlabelError
from medlabel.experiments import run_folder as runs
from medlabel.reports.retraining_report import report_retraining
from medlabel.storage.digests import hex_digest
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.provenance import versions, with_key
from medlabel.student.recipes import Recipe
from rayjobs.cluster import connect
from rayjobs.fit import Unit, Workload, fit_cells

__all__ = ["RetrainConfig", "RetrainResult", "retrain"]

MANIFEST = "retrain.json"
_JUDGES = 10_000  # seeds of the students that judge answers; a user's own are below


@dataclass(frozen=True)
class RetrainConfig:
    """What is to be learned from.

    Attributes:
        annotations: folder or bucket of the last student's annotations.
        answers: files of people's answers (see `medlabel.annotation.answers`).
        out: folder or bucket for the next student.
        recipe: how it is trained.
        pool: images to learn from at most, the answered ones apart.
        weight: of an answer; a pseudo-label counts 1.
        seed: of the draw and the student.
    """

    annotations: str
    answers: tuple[Path, ...]
    out: str
    recipe: Recipe
    pool: int = 5000
    weight: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class RetrainResult:
    """What the answers changed, remarks, and the paths of the next student and of the report."""

    impact: AnswerImpact
    answers: list[str]
    bundle: str
    page: str


def retrain(asked: RetrainConfig, on_progress: OnProgress = ignore_progress) -> RetrainResult:
    """Train the next student, doing only what is missing in `asked.out`, and say what it is worth.

    Raises:
        MedlabelError: the answers are too few or contradict each other, or the folder holds another
            student.
    """
    if not asked.weight > 0:
        raise MedlabelError(f"weight {asked.weight:g}: give a number above 0")
    if asked.seed >= _JUDGES:
        raise MedlabelError(f"seed {asked.seed}: give one below {_JUDGES:,}")
    store = Store(asked.out)
    if store.uri == Store(asked.annotations).uri:
        raise MedlabelError(
            f"{store.uri} holds the annotations, and the student that made them: name another "
            "folder for the next one with --out"
        )
    refuse_other_kinds(store, MANIFEST)
    store.check_writable()
    on_progress("reading", 0, 1)
    annotations = Store(asked.annotations)
    answers = read_all_answers(asked.answers, class_names(annotations))
    training_set = make_training_set(annotations, answers, asked.pool, asked.weight, asked.seed)
    workload = _workload(training_set, asked.recipe)
    decisive = {"key": workload.provenance["key"], "pool": asked.pool, "seed": asked.seed}
    if store.exists(MANIFEST):
        what = "another student (it differs"
        refuse_different(store, store.read_json(MANIFEST)["asked"], decisive, what)
    else:
        store.write_json(MANIFEST, {"asked": decisive})
    on_progress("reading", 1, 1)
    connect()
    impact = _fit(store, training_set, workload, asked.seed, partial(on_progress, "fitting"))
    # what made the last student's task look undecidable has not gone away by itself
    runs.publish(store / "with", asked.seed, training_set.bundle.warnings, store)
    remarks = training_set.sentences()
    facts = {"asked": decisive, "impact": asdict(impact), "sentences": remarks + impact.sentences()}
    store.write_json(MANIFEST, {**facts, "provenance": workload.provenance})
    page = report_retraining(store, impact, workload.provenance, remarks)
    return RetrainResult(impact, remarks, store.path(runs.BUNDLE), page)


def _workload(training_set: TrainingSet, recipe: Recipe) -> Workload:
    """What is fitted; nobody knows how many images of each class there are."""
    recipe, last = replace(recipe, balanced=False), training_set.bundle
    taught = last.provenance.get("teacher") or {}
    teacher = {
        "name": f"annotations by {last.id}",
        "model": last.provenance["sha256"],
        "captions": taught.get("captions", []),
        "adjust": [],
    }
    pool = hex_digest(training_set.digests.tobytes(), 16)
    facts = {"teacher": teacher, "recipe": asdict(recipe), "pool": pool}
    keyed = with_key(
        facts | {"human_labels": dict(training_set.facts), "student": last.student.architecture}
    )
    provenance = keyed | {"versions": versions()}
    return Workload(
        training_set.images, training_set.scores, last.classes, recipe, last.student.architecture,
        provenance, human_labels=training_set.human_labels,
    )  # fmt: skip


def _fit(
    store: Store,
    training_set: TrainingSet,
    workload: Workload,
    seed: int,
    on_progress: StageProgress,
) -> AnswerImpact:
    """Fit the next student, and those that judge each answer without having seen its image."""
    folds, rows = folds_of(training_set, seed), np.arange(len(training_set.images))
    units = [Unit(_JUDGES + n, np.setdiff1d(rows, fold), fold) for n, fold in enumerate(folds)]
    alone = replace(workload, human_labels=None)
    fit_cells(store / "with", workload, [Unit(seed, rows, rows), *units], on_progress)
    fit_cells(store / "without", alone, units, on_progress)
    judged = np.concatenate(folds)
    _, once = np.unique(
        training_set.digests[judged], return_index=True
    )  # copies are no more evidence
    return AnswerImpact.of(
        training_set.human_labels.labels[judged][once],
        training_set.scores[judged].argmax(axis=1)[once],
        _labels(store / "without", units)[once],
        _labels(store / "with", units)[once],
    )


def _labels(store: Store, units: Sequence[Unit]) -> NDArray[np.int64]:
    """What the students of some units say of the images that they had not seen."""
    found = [runs.read_cell(store, unit.seed).test.argmax(axis=1) for unit in units]
    return np.concatenate(found)

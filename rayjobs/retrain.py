"""Train the next student on the last one's annotations and on people's answers.

To measure what the answers changed, three more students are trained without a third of the answers
each, and three without any: every answer is compared with students that did not learn from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

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
from medlabel.student.provenance import learned_from, versions, with_key
from medlabel.student.recipes import Recipe
from rayjobs.cluster import connect
from rayjobs.fit import CellRows, Workload, fit_cells

__all__ = ["RetrainConfig", "RetrainResult", "retrain"]

MANIFEST = "retrain.json"
_FIRST_FOLD_SEED = 10_000  # of the students that measure the impact; a user's seed is below it


@dataclass(frozen=True)
class RetrainConfig:
    """Options of `retrain`.

    Attributes:
        annotations: folder or bucket of the last student's annotations.
        answers: files of people's answers (see `medlabel.annotation.answers`).
        out: folder or bucket to write the next student to.
        recipe: how the student is trained.
        pool: maximum number of images to train on besides those with an answer, sampled at random.
        weight: of an answer in training; a pseudo-label has weight 1.
        seed: of the sample and the student.
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
    """What `retrain` returns.

    Attributes:
        impact: what the answers changed.
        answers: sentences on how the answers were used.
        bundle: path or URI of the next student.
        page: path or URI of the report.
    """

    impact: AnswerImpact
    answers: list[str]
    bundle: str
    page: str


def retrain(config: RetrainConfig, on_progress: OnProgress = ignore_progress) -> RetrainResult:
    """Train the next student as far as `config.out` does not have it, and measure its worth.

    Raises:
        MedlabelError: an option is wrong, the answers are too few or contradict each other, or
            `config.out` holds another student.
    """
    store, annotations = Store(config.out), Store(config.annotations)
    _check(config, store, annotations)
    refuse_other_kinds(store, MANIFEST)
    store.check_writable()
    on_progress("reading", 0, 1)
    answers = read_all_answers(config.answers, class_names(annotations))
    training_set = make_training_set(annotations, answers, config.pool, config.weight, config.seed)
    workload = _workload(training_set, config.recipe)
    decisive = {"key": workload.provenance["key"], "pool": config.pool, "seed": config.seed}
    _claim(store, decisive)
    on_progress("reading", 1, 1)
    connect()
    impact = _fit(store, training_set, workload, config.seed, partial(on_progress, "fitting"))
    # the reasons for the last student's warnings have not gone away
    last = training_set.bundle
    runs.publish(store / "with", config.seed, last.warnings, store, last.verdict)
    remarks = training_set.sentences()
    facts = {"asked": decisive, "impact": asdict(impact), "sentences": remarks + impact.sentences()}
    store.write_json(MANIFEST, {**facts, "provenance": workload.provenance})
    page = report_retraining(store, impact, workload.provenance, remarks)
    return RetrainResult(impact, remarks, store.path(runs.BUNDLE), page)


def _check(config: RetrainConfig, store: Store, annotations: Store) -> None:
    """Raise a `MedlabelError` for options that cannot work, before any work."""
    if not config.weight > 0:
        raise MedlabelError(f"weight {config.weight:g}: give a number above 0")
    if config.seed >= _FIRST_FOLD_SEED:
        raise MedlabelError(f"seed {config.seed}: give one below {_FIRST_FOLD_SEED:,}")
    if store.uri == annotations.uri:
        raise MedlabelError(
            f"{store.uri} holds the annotations, and the student that made them: name another "
            "folder for the next one with --out"
        )


def _claim(store: Store, decisive: Mapping[str, Any]) -> None:
    """Reserve a folder for this student, or go on with the same."""
    if store.exists(MANIFEST):
        kept = store.read_json(MANIFEST)["asked"]
        refuse_different(store, kept, decisive, "another student")
    else:
        store.write_json(MANIFEST, {"asked": dict(decisive)})


def _workload(training_set: TrainingSet, recipe: Recipe) -> Workload:
    """What to train on. Nobody knows how many images of each class there are: no balancing."""
    recipe, last = replace(recipe, balanced=False), training_set.bundle
    last_teacher = last.provenance.get("teacher") or {}
    teacher = {
        "name": f"annotations by {last.id}",
        "model": last.provenance["sha256"],
        "captions": last_teacher.get("captions", []),
        "adjust": [],
    }
    pool = hex_digest(training_set.digests.tobytes(), 16)
    facts = {"teacher": teacher, "recipe": asdict(recipe), "pool": pool}
    keyed = with_key(
        facts | {"human_labels": dict(training_set.facts), "student": last.student.architecture}
    )
    origin = learned_from(training_set.sources)
    provenance = keyed | {"versions": versions(), "learned_from": origin}
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
    """Train the next student, and those that are compared with answers they did not learn from."""
    folds, rows = folds_of(training_set, seed), np.arange(len(training_set.images))
    units = [
        CellRows(_FIRST_FOLD_SEED + n, np.setdiff1d(rows, fold), fold)
        for n, fold in enumerate(folds)
    ]
    without = replace(workload, human_labels=None)
    fit_cells(store / "with", workload, [CellRows(seed, rows, rows), *units], on_progress)
    fit_cells(store / "without", without, units, on_progress)
    answered = np.concatenate(folds)
    _, once = np.unique(training_set.digests[answered], return_index=True)  # copies count once
    return AnswerImpact.of(
        training_set.human_labels.labels[answered][once],
        training_set.scores[answered].argmax(axis=1)[once],
        _labels(store / "without", units)[once],
        _labels(store / "with", units)[once],
    )


def _labels(store: Store, units: Sequence[CellRows]) -> NDArray[np.int64]:
    """The labels that the students of some units predict for their test images."""
    found = [runs.read_cell(store, unit.seed).test.argmax(axis=1) for unit in units]
    return np.concatenate(found)

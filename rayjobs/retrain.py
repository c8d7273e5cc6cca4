"""Train the next student on the last one's annotations and on people's answers.

To measure what the answers changed, three more students are trained without a third of the answers
each, and three without any: every answer is compared with students that did not learn from it. The
next student also gets its verdict by them, if there are enough, in place of the last student's: so
answers can turn a student whose teacher was guessing into one whose labels are accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.answer_verdict import verdict_of_answers
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
from medlabel.experiments.verdicts import write_verdict
from medlabel.reports.retraining_report import report_retraining
from medlabel.storage.digests import hex_digest
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.provenance import learned_from, versions, with_key
from medlabel.student.recipes import Recipe
from medlabel.student.verdict import Verdict
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
        verdict: on the labels of the next student: by the answers, if there are enough, else that
            on the last student; None if there was none.
    """

    impact: AnswerImpact
    answers: list[str]
    bundle: str
    page: str
    verdict: Verdict | None


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
    progress = partial(on_progress, "fitting")
    impact, verdict = _fit(store, training_set, workload, config.seed, progress)
    warnings: tuple[str, ...] = ()
    if verdict is None:  # then the reasons for the last student's have not gone away
        verdict, warnings = training_set.bundle.verdict, training_set.bundle.warnings
    warnings = (*impact.warnings(), *warnings)
    runs.publish(store / "with", config.seed, warnings, store, verdict)
    if verdict is not None:
        write_verdict(store, verdict)
    remarks = training_set.sentences()
    facts = {"asked": decisive, "impact": asdict(impact), "sentences": remarks + impact.sentences()}
    store.write_json(MANIFEST, {**facts, "provenance": workload.provenance})
    page = report_retraining(store, impact, workload.provenance, remarks)
    return RetrainResult(impact, remarks, store.path(runs.BUNDLE), page, verdict)


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
) -> tuple[AnswerImpact, Verdict | None]:
    """Train the next student, and those that are compared with answers they did not learn from.

    Returns:
        What the answers changed, and the verdict by the answers if there are enough.
    """
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
    answers = training_set.human_labels.labels[answered][once]
    learned = _probabilities(store / "with", units)[once]
    impact = AnswerImpact.of(
        answers,
        training_set.scores[answered].argmax(axis=1)[once],
        _probabilities(store / "without", units)[once].argmax(axis=1),
        learned.argmax(axis=1),
    )
    return impact, verdict_of_answers(workload.classes, answers, learned, training_set.of_no_class)


def _probabilities(store: Store, units: Sequence[CellRows]) -> NDArray[np.float32]:
    """The calibrated probabilities [N, K] of the students of some units for their test images."""
    found = []
    for unit in units:
        calibration = runs.read_student(store, unit.seed).calibration
        test = runs.read_cell(store, unit.seed).test
        found.append(test if calibration is None else calibration.apply_temperature(test))
    return np.concatenate(found)

"""The loop, end to end: draw, embed, score, fit, evaluate, report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.sources import Source
from medlabel.data.tasks import Cell, Task, gather_images, open_sources, sample_cells, sampled_ids
from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import Diagnostics
from medlabel.experiments import run_folder as runs
from medlabel.experiments.run_tables import (
    ScoredImages,
    adjust_scores,
    adjusted_table,
    baselines_table,
    diagnostics_of,
    recalls_table,
    results_table,
    timings_table,
)
from medlabel.reports.run_report import report_run
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.networks import check_student
from medlabel.student.provenance import Identity, digest_scores, versions
from medlabel.student.recipes import Recipe
from medlabel.teacher.adjust import NO_ADJUSTMENT, Adjustment, mean_vote
from medlabel.teacher.clip import check_clip
from medlabel.teacher.task_captions import class_captions
from medlabel.teacher.zero_shot import read_scores, score_table
from rayjobs.ceiling import fit_ceiling
from rayjobs.fit import Unit, WorkerLimits, Workload, fit_cells
from rayjobs.scoring import (
    TeacherScores,
    combine_teachers,
    embed_ids,
    load_teacher,
    score_by_captions,
    start_ray,
)

__all__ = ["RunConfig", "RunResult", "run"]

_PROVENANCE = ("task", "teacher", "recipe", "code_versions", "versions", "key")  # of a bundle


@dataclass(frozen=True)
class RunConfig:
    """What a run is asked for.

    Attributes:
        task: the classes to be told apart.
        out: folder or bucket of the run.
        recipe: how students are trained.
        home: where what can be made again is kept: the phantom CLIP, the embedding table.
        clips: the teacher, or several that vote, as a user types them (see
        `medlabel.teacher.clip`). captions: caption sets joined by commas (see
        `medlabel.teacher.caption_sets`). scores: a file of scores to use in place of a CLIP.
        adjustment: what becomes of raw scores before anyone learns from them. student: an
        architecture by name; the recipe's own when None. seeds: this many cells, with the seeds
        0, 1, 2, ... per_class: at most so many images per class. data_root: folder of MedMNIST's
        files. ceiling_seeds: on so many seeds the student is fitted on true labels too, to
        compare. elastic: the number of workers follows the cluster (see `rayjobs.fit.fit_cells`).
        workers: fits at a time; as many as the cluster can hold when None. gpus: of each fit,
        such as 0.1; None for a quarter where there are GPUs, 0 for the CPUs.
    """

    task: Task
    out: str
    recipe: Recipe
    home: Path
    clips: tuple[str, ...] = ("phantom",)
    captions: str = "table"
    scores: Path | None = None
    adjustment: Adjustment = NO_ADJUSTMENT
    student: str | None = None
    seeds: int = 30
    per_class: int | None = None
    data_root: Path | None = None
    ceiling_seeds: int = 3
    elastic: bool = False
    workers: int | None = None
    gpus: float | None = None

    @property
    def architecture(self) -> str:
        """The student's architecture."""
        return self.student or self.recipe.student


@dataclass(frozen=True)
class RunResult:
    """What a run ends with, and how much of it was computed now."""

    results: pd.DataFrame
    report: str
    bundle: str
    encoded: int
    fitted: int
    diagnostics: Diagnostics


def run(settings: RunConfig, on_progress: OnProgress = ignore_progress) -> RunResult:
    """Run the whole loop, doing only what is missing in `settings.out` and `settings.home`."""
    _check(settings)
    store = Store(settings.out)
    refuse_other_kinds(store, runs.MANIFEST)
    _check_folder(settings, store)
    on_progress("reading", 0, 1)
    sources = open_sources(settings.task, settings.data_root)
    cells, truth = sample_cells(settings.task, sources, range(settings.seeds), settings.per_class)
    ids = sampled_ids(cells)
    store.check_writable()
    on_progress("reading", 1, 1)
    asked = _ask_teacher(settings, sources, ids, on_progress)
    manifest = _manifest(settings, sources, asked)
    runs.claim(store, manifest)
    names = settings.task.class_names
    rows = {image_id: row for row, image_id in enumerate(ids)}
    judged = adjust_scores(settings.adjustment, cells, rows, asked.scores, asked.embeddings)
    _write_scores(store, ids, names, asked.scores)
    if manifest["teacher"]["adjust"]:
        store.write_table(runs.ADJUSTED, adjusted_table(judged, cells, names))

    board = ScoredImages(
        rows, gather_images(sources, ids), judged, asked.embeddings, _names(settings, manifest)
    )
    workload = Workload(
        board.images,
        asked.scores,
        names,
        settings.recipe,
        settings.architecture,
        {name: manifest[name] for name in _PROVENANCE},
        settings.adjustment,
        asked.embeddings if settings.adjustment.needs_embeddings else None,
    )
    units = {c.seed: Unit(c.seed, board.at(c.pool), board.at(c.test)) for c in cells}
    start_ray(on_progress)
    told = partial(on_progress, "fitting")
    room = WorkerLimits(settings.workers, settings.gpus, elastic=settings.elastic)
    fitted = fit_cells(store, workload, list(units.values()), told, room)
    diagnostics, best = diagnostics_of(store, board, cells)
    store.write_json(runs.DIAGNOSTICS, diagnostics.to_json())
    truth.save(store)  # not before: workers that fit are told this folder
    results = _evaluate(store, board, cells, truth, names)
    _compare(settings, store, board, workload, units, cells, truth, on_progress)
    runs.publish(store, best, diagnostics.warnings)
    on_progress("reporting", 0, 1)
    report = report_run(store, settings.data_root)
    on_progress("reporting", 1, 1)
    return RunResult(results, report, store.path(runs.BUNDLE), asked.encoded, fitted, diagnostics)


def _check(settings: RunConfig) -> None:
    """Raise a `MedlabelError` for what cannot work, before anything is read or made."""
    check_student(settings.architecture, settings.task.size)
    _captions(settings)
    for name in settings.clips if settings.scores is None else ():
        check_clip(name)
    teachers = len(settings.clips) if settings.scores is None else 1
    settings.adjustment.check(
        len(settings.task.classes), teachers, embeddings=settings.scores is None
    )
    if settings.scores is not None and not settings.scores.exists():
        raise MedlabelError(f"{settings.scores}: no such file")


def _check_folder(settings: RunConfig, store: Store) -> None:
    """Refuse a folder of another run before a teacher is trained or asked for it.

    What the teacher and the sources decide is compared when they are there.
    """
    if not store.exists(runs.MANIFEST):
        return
    there = store.read_json(runs.MANIFEST)
    mine = Identity(
        settings.task, there["sources"], there["teacher"], settings.recipe,
        settings.architecture, settings.per_class,
    ).to_json()  # fmt: skip
    refuse_different(store, there, mine, runs.OTHER, {"key", "seeds", "synthetic", "versions"})


def _captions(settings: RunConfig) -> list[tuple[str, ...]]:
    return [class_captions(spec, settings.captions) for spec in settings.task.classes]


def _ask_teacher(
    settings: RunConfig, sources: Mapping[str, Source], ids: Sequence[str], on_progress: OnProgress
) -> TeacherScores:
    """Raw scores from the user's file, from a CLIP, or from several."""
    names = settings.task.class_names
    if settings.scores is not None:
        scores = read_scores(settings.scores, ids, names)
        return TeacherScores(scores, None, settings.scores.stem, {"scores": digest_scores(scores)})
    captions = _captions(settings)
    asked = []
    clips = {n: load_teacher(n, settings.home, on_progress) for n in settings.clips}
    for name, clip in clips.items():
        embeddings, encoded = embed_ids(clip, settings.home, sources, ids, on_progress)
        asked.append(score_by_captions(clip, settings.home, name, captions, embeddings, encoded))
    return combine_teachers(asked)


def _write_scores(
    store: Store, ids: Sequence[str], names: Sequence[str], scores: NDArray[np.float32]
) -> None:
    """Write raw scores: one table, or the teachers' mean and a table for each."""
    one = scores if scores.ndim == 2 else mean_vote(list(scores))
    store.write_table(runs.SCORES, score_table(ids, one, names))
    for number, own in enumerate(scores if scores.ndim == 3 else (), start=1):
        store.write_table(f"scores-{number}.parquet", score_table(ids, own, names))


def _evaluate(
    store: Store,
    board: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    names: Sequence[str],
) -> pd.DataFrame:
    """Open the truth, now that every student is there, and write the tables."""
    results = results_table(store, board, cells, truth)
    store.write_table(runs.RESULTS, results)
    store.write_table(runs.RECALLS, recalls_table(store, board, cells, truth, names))
    store.write_table(runs.TIMINGS, timings_table(store, cells))
    return results


def _compare(
    settings: RunConfig,
    store: Store,
    board: ScoredImages,
    workload: Workload,
    units: Mapping[int, Unit],
    cells: Sequence[Cell],
    truth: SealedTruth,
    on_progress: OnProgress,
) -> None:
    """Write the baselines, the ceiling among them."""
    some = cells[: settings.ceiling_seeds]
    ceiling = fit_ceiling(store, workload, units, some, truth, partial(on_progress, "ceiling"))
    progress = partial(on_progress, "baselines")
    store.write_table(runs.BASELINES, baselines_table(board, cells, truth, ceiling, progress))


def _names(settings: RunConfig, manifest: Mapping[str, Any]) -> dict[str, str]:
    taught = manifest["teacher"]
    return {
        "task": settings.task.title,
        "teacher": ", ".join([taught["name"], *taught["adjust"]]),
        "student": settings.architecture,
        "recipe": settings.recipe.name,
    }


def _manifest(
    settings: RunConfig, sources: Mapping[str, Source], asked: TeacherScores
) -> dict[str, Any]:
    """What makes a run this run, as plain JSON; its hash is the key of all it makes."""
    identity = Identity(
        settings.task,
        {spec: source.content_hash for spec, source in sources.items()},
        asked.facts_with(settings.adjustment),
        settings.recipe,
        settings.architecture,
        settings.per_class,
    )
    synthetic = any(spec.source.startswith("phantom:") for spec in settings.task.classes)
    return {
        **identity.to_json(),
        "seeds": settings.seeds,
        "synthetic": synthetic,
        "versions": versions(),
    }

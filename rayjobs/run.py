"""`medlabel run`, end to end: sample, embed, score, fit, evaluate, report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.sources import Source, is_public
from medlabel.data.tasks import Cell, Task, gather_images, open_sources, sample_cells, sampled_ids
from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import Diagnostics
from medlabel.evaluation.evidence.judge_labels import (
    for_bundle,
    judge_labels,
    with_faults,
    with_warnings,
)
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
from medlabel.experiments.verdicts import write_verdict
from medlabel.reports.run_report import report_run
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.networks import check_student
from medlabel.student.provenance import Identity, digest_scores, versions
from medlabel.student.recipes import Recipe
from medlabel.student.verdict import Verdict
from medlabel.teacher.adjust import NO_ADJUSTMENT, Adjustment, mean_vote
from medlabel.teacher.clip import check_clip
from medlabel.teacher.task_captions import captions_of_task, class_captions
from medlabel.teacher.zero_shot import read_scores, score_table
from rayjobs.ceiling import fit_ceiling
from rayjobs.fit import CellRows, Workload, fit_cells
from rayjobs.fit_placement import FitPlacement
from rayjobs.scoring import (
    TeacherScores,
    combine_teachers,
    embed_classes,
    embed_ids,
    load_teacher,
    score_by_captions,
    start_ray,
)

__all__ = ["RunConfig", "RunResult", "run"]

_PROVENANCE = ("task", "teacher", "recipe", "code_versions", "versions", "key")  # of a bundle


@dataclass(frozen=True)
class RunConfig:
    """The options of a run.

    Attributes:
        task: the classes to tell apart.
        out: folder or bucket of the run.
        recipe: how students are trained.
        home: folder for what can be computed again: the phantom CLIP, the embedding table.
        clips: the teacher, or several that vote, by the names that `medlabel.teacher.clip` reads.
        captions: caption sets joined by commas (see `medlabel.teacher.caption_sets`).
        scores: a file of scores to use in place of a CLIP.
        adjustment: applied to the raw scores before a student learns from them.
        student: an architecture by name; None for the recipe's own.
        seeds: number of cells; their seeds are 0, 1, 2, ...
        per_class: largest number of images per class.
        data_root: folder of MedMNIST's files.
        ceiling_seeds: number of cells whose student is also fitted on true labels, to compare.
        workers: fits at a time; None for as many as the cluster can hold.
        gpus: GPUs per fit, such as 0.1; None for a quarter where there are GPUs, 0 for CPUs only.
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
    workers: int | None = None
    gpus: float | None = None

    @property
    def architecture(self) -> str:
        """The student's architecture."""
        return self.student or self.recipe.student

    @property
    def placement(self) -> FitPlacement:
        """How many fits run at a time, and what each takes of the cluster."""
        return FitPlacement(self.workers, self.gpus)


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run.

    Attributes:
        results: `results.parquet`, a row per seed.
        report: path of the report's page.
        bundle: folder of the best student.
        encoded: images that had to be embedded by this call.
        fitted: students that were fitted by this call.
        diagnostics: evidence, without true labels, on whether the labels can be trusted.
        verdict: whether the teacher read the images or guessed.
    """

    results: pd.DataFrame
    report: str
    bundle: str
    encoded: int
    fitted: int
    diagnostics: Diagnostics
    verdict: Verdict


def run(config: RunConfig, on_progress: OnProgress = ignore_progress) -> RunResult:
    """Run the whole loop, doing only what is missing in `config.out` and `config.home`.

    Raises:
        MedlabelError: an option that cannot work, or a folder that holds another run.
    """
    _check(config)
    store = Store(config.out)
    refuse_other_kinds(store, runs.MANIFEST)
    _check_folder(config, store)
    on_progress("reading", 0, 1)
    sources = open_sources(config.task, config.data_root)
    cells, truth = sample_cells(config.task, sources, range(config.seeds), config.per_class)
    ids = sampled_ids(cells)
    store.check_writable()
    on_progress("reading", 1, 1)
    teacher = _ask_teacher(config, sources, ids, on_progress)
    manifest = _manifest(config, sources, teacher)
    runs.claim(store, manifest)
    scored = _scored_images(config, manifest, cells, ids, gather_images(sources, ids), teacher)
    _write_scores(store, ids, config.task.class_names, teacher.scores)
    if manifest["teacher"]["adjust"]:
        adjusted = adjusted_table(scored.adjusted, cells, config.task.class_names)
        store.write_table(runs.ADJUSTED, adjusted)
    verdict = _judge(config, ids, scored.images, teacher, on_progress)
    write_verdict(store, verdict)
    workload = _workload(config, manifest, scored, teacher)
    rows = {c.seed: CellRows(c.seed, scored.at(c.pool), scored.at(c.test)) for c in cells}
    start_ray(on_progress)
    progress = partial(on_progress, "fitting")
    fitted = fit_cells(store, workload, list(rows.values()), progress, config.placement)
    diagnostics, best = diagnostics_of(store, scored, cells)
    store.write_json(runs.DIAGNOSTICS, diagnostics.to_json())
    verdict = with_warnings(verdict, diagnostics.warnings)
    write_verdict(store, verdict)
    truth.save(store)  # only now: workers that fit know the path of this folder
    results = _evaluate(store, scored, cells, truth, config.task.class_names)
    progress = partial(on_progress, "ceiling")
    some = cells[: config.ceiling_seeds]
    ceiling = fit_ceiling(store, workload, rows, some, truth, progress, config.placement)
    progress = partial(on_progress, "baselines")
    store.write_table(runs.BASELINES, baselines_table(scored, cells, truth, ceiling, progress))
    public = all(is_public(each.source) for each in config.task.classes)
    runs.publish(store, best, diagnostics.warnings, verdict=for_bundle(verdict, public=public))
    on_progress("reporting", 0, 1)
    report = report_run(store, config.data_root)
    on_progress("reporting", 1, 1)
    bundle = store.path(runs.BUNDLE)
    return RunResult(results, report, bundle, teacher.encoded, fitted, diagnostics, verdict)


def _check(config: RunConfig) -> None:
    """Raise a `MedlabelError` for options that cannot work, before anything is read or written."""
    check_student(config.architecture, config.task.size)
    if config.scores is None:
        _captions(config)
    for name in config.clips if config.scores is None else ():
        check_clip(name)
    teachers = len(config.clips) if config.scores is None else 1
    config.adjustment.check(len(config.task.classes), teachers, embeddings=config.scores is None)
    if config.scores is not None and not config.scores.exists():
        raise MedlabelError(f"{config.scores}: no such file")


def _check_folder(config: RunConfig, store: Store) -> None:
    """Refuse a folder of another run early, before a teacher is trained for it.

    Sources and teacher are not known yet; `claim` compares them later.
    """
    if not store.exists(runs.MANIFEST):
        return
    found = store.read_json(runs.MANIFEST)
    mine = Identity(
        config.task, found["sources"], found["teacher"], config.recipe,
        config.architecture, config.per_class,
    ).to_json()  # fmt: skip
    refuse_different(store, found, mine, runs.OTHER, {"key", "seeds", "synthetic", "versions"})


def _captions(config: RunConfig) -> list[tuple[str, ...]]:
    return captions_of_task(config.task.classes, config.captions)


def _ask_teacher(
    config: RunConfig, sources: Mapping[str, Source], ids: Sequence[str], on_progress: OnProgress
) -> TeacherScores:
    """Raw scores from the user's file, from one CLIP, or from several."""
    names = config.task.class_names
    if config.scores is not None:
        scores = read_scores(config.scores, ids, names)
        return TeacherScores(scores, None, config.scores.stem, {"scores": digest_scores(scores)})
    captions = dict(zip(names, _captions(config), strict=True))
    answers = []
    clips = {n: load_teacher(n, config.home, on_progress) for n in config.clips}
    for clip in clips.values():
        embed_classes(clip, config.home, captions)  # so that its warnings come before the work
    for name, clip in clips.items():
        embeddings, encoded = embed_ids(clip, config.home, sources, ids, on_progress)
        answers.append(score_by_captions(clip, config.home, name, captions, embeddings, encoded))
    return combine_teachers(answers)


def _judge(
    config: RunConfig,
    ids: Sequence[str],
    images: NDArray[np.uint8],
    teacher: TeacherScores,
    on_progress: OnProgress,
) -> Verdict:
    """The verdict on the teacher's labels; no true label is at hand here."""
    on_progress("verdict", 0, 1)
    # Scores of the user's own need no captions: a name that is ambiguous for a CLIP is none here.
    texts = (
        _captions(config)
        if config.scores is None
        else [class_captions(spec, config.captions) for spec in config.task.classes]
    )
    by_class = dict(zip(config.task.class_names, texts, strict=True))
    scores = teacher.scores if teacher.scores.ndim == 2 else mean_vote(list(teacher.scores))
    clips = config.clips if config.scores is None else ()
    verdict = judge_labels(clips, images, ids, by_class, scores.argmax(axis=1), config.home)
    on_progress("verdict", 1, 1)
    return with_faults(verdict, teacher.faults)


def _write_scores(
    store: Store, ids: Sequence[str], names: Sequence[str], scores: NDArray[np.float32]
) -> None:
    """Write raw scores: one table, or the mean of several teachers and a table for each."""
    mean = scores if scores.ndim == 2 else mean_vote(list(scores))
    store.write_table(runs.SCORES, score_table(ids, mean, names))
    for number, of_one in enumerate(scores if scores.ndim == 3 else (), start=1):
        store.write_table(f"scores-{number}.parquet", score_table(ids, of_one, names))


def _evaluate(
    store: Store,
    scored: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    names: Sequence[str],
) -> pd.DataFrame:
    """Open the truth, now that every student is finished, and write the tables."""
    results = results_table(store, scored, cells, truth)
    store.write_table(runs.RESULTS, results)
    store.write_table(runs.RECALLS, recalls_table(store, scored, cells, truth, names))
    store.write_table(runs.TIMINGS, timings_table(store, cells))
    return results


def _scored_images(
    config: RunConfig,
    manifest: Mapping[str, Any],
    cells: Sequence[Cell],
    ids: Sequence[str],
    images: NDArray[np.uint8],
    teacher: TeacherScores,
) -> ScoredImages:
    """What the tables of the run are computed from."""
    rows = {image_id: row for row, image_id in enumerate(ids)}
    adjusted = adjust_scores(config.adjustment, cells, rows, teacher.scores, teacher.embeddings)
    return ScoredImages(rows, images, adjusted, teacher.embeddings, _names(config, manifest))


def _workload(
    config: RunConfig, manifest: Mapping[str, Any], scored: ScoredImages, teacher: TeacherScores
) -> Workload:
    """What the workers are given: no image ids and no true labels."""
    return Workload(
        scored.images,
        teacher.scores,
        config.task.class_names,
        config.recipe,
        config.architecture,
        {name: manifest[name] for name in _PROVENANCE},
        config.adjustment,
        teacher.embeddings if config.adjustment.needs_embeddings else None,
    )


def _names(config: RunConfig, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The columns that tell rows of this run apart from those of others."""
    teacher = manifest["teacher"]
    return {
        "task": config.task.title,
        "teacher": ", ".join([teacher["name"], *teacher["adjust"]]),
        "student": config.architecture,
        "recipe": config.recipe.name,
    }


def _manifest(
    config: RunConfig, sources: Mapping[str, Source], teacher: TeacherScores
) -> dict[str, Any]:
    """Everything that decides the results, as plain JSON; its hash is the run's key."""
    identity = Identity(
        config.task,
        {spec: source.content_hash for spec, source in sources.items()},
        teacher.facts_with(config.adjustment),
        config.recipe,
        config.architecture,
        config.per_class,
    )
    synthetic = any(spec.source.startswith("phantom:") for spec in config.task.classes)
    return {
        **identity.to_json(),
        "seeds": config.seeds,
        "synthetic": synthetic,
        "versions": versions(),
    }

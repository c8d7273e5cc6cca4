"""The loop, end to end: draw, embed, score, fit, evaluate, report."""

import hashlib
import inspect
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel import fit, recipes, runs, students, teacher
from medlabel.clip import load_clip
from medlabel.embeddings import EmbeddingTable, embed_captions
from medlabel.recipes import Recipe
from medlabel.run_report import report_run
from medlabel.scoreboard import Board, baselines_table, results_table, timings_table
from medlabel.sources import Source
from medlabel.store import Store
from medlabel.students import student_named
from medlabel.tasks import Cell, Task, draw_cells, gather_images, open_sources, own_image
from medlabel.teacher import class_embeddings, read_scores, score, score_table
from medlabel.truth import SealedTruth
from rayjobs.ceiling import fit_ceiling
from rayjobs.cluster import connect
from rayjobs.embed import embed_drawn
from rayjobs.fit import Unit, Workload, fit_cells
from rayjobs.pretrain import ensure_phantom_clip

__all__ = ["Outcome", "Settings", "run"]

OnProgress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class Settings:
    """What a run is asked for.

    Attributes:
        task: the classes to be told apart.
        out: folder or bucket of the run.
        recipe: how students are trained.
        home: where what can be made again is kept: the phantom CLIP, the embedding table.
        clip: the teacher, as a user types it (see `medlabel.clip`).
        captions: `table` or `paper`.
        scores: a file of scores to use in place of a CLIP.
        student: an architecture by name; the recipe's own when None.
        seeds: this many cells, with the seeds 0, 1, 2, ...
        per_class: at most so many images a class.
        data_root: folder of MedMNIST's files.
        ceiling_seeds: on so many seeds the student is fitted on true labels too, to compare.
    """

    task: Task
    out: str
    recipe: Recipe
    home: Path
    clip: str = "phantom"
    captions: str = "table"
    scores: Path | None = None
    student: str | None = None
    seeds: int = 30
    per_class: int | None = None
    data_root: Path | None = None
    ceiling_seeds: int = 3

    @property
    def architecture(self) -> str:
        """The student's architecture."""
        return self.student or self.recipe.student


@dataclass(frozen=True)
class Outcome:
    """What a run ends with, and how much of it was computed now."""

    results: pd.DataFrame
    report: str
    bundle: str
    encoded: int
    fitted: int


@dataclass(frozen=True)
class _Teacher:
    """Scores float32 [N, K] of the drawn images, and where they come from."""

    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    name: str
    facts: Mapping[str, Any]
    encoded: int = 0


def run(settings: Settings, on_progress: OnProgress = lambda stage, done, total: None) -> Outcome:
    """Run the whole loop, doing only what is missing in `settings.out` and `settings.home`."""
    student_named(settings.architecture)
    store = Store(settings.out)
    on_progress("reading", 0, 1)
    sources = open_sources(settings.task, settings.data_root)
    cells, truth = draw_cells(settings.task, sources, range(settings.seeds), settings.per_class)
    ids = _drawn_ids(cells)
    store.check_writable()
    on_progress("reading", 1, 1)
    asked = _ask_teacher(settings, sources, ids, on_progress)
    manifest = _manifest(settings, sources, asked)
    runs.claim(store, manifest)
    truth.save(store)
    names = settings.task.class_names
    store.write_table(runs.SCORES, score_table(ids, asked.scores, names))

    board = Board(
        {image_id: row for row, image_id in enumerate(ids)},
        gather_images(sources, ids),
        asked.scores,
        asked.embeddings,
        _names(settings, asked),
    )
    workload = Workload(
        board.images,
        board.scores,
        names,
        settings.recipe,
        settings.architecture,
        {key: manifest[key] for key in ("task", "teacher", "recipe", "versions", "key")},
    )
    units = {c.seed: Unit(c.seed, board.at(c.pool), board.at(c.test)) for c in cells}
    _start_ray(on_progress)
    fitted = fit_cells(store, workload, list(units.values()), partial(on_progress, "fitting"))
    results = _evaluate(store, board, cells, truth)
    _compare(settings, store, board, workload, units, cells, truth, on_progress)
    runs.publish_best(store, list(units))
    on_progress("reporting", 0, 1)
    report = report_run(store, settings.data_root)
    on_progress("reporting", 1, 1)
    return Outcome(results, report, store.path(runs.BUNDLE), asked.encoded, fitted)


def _drawn_ids(cells: Sequence[Cell]) -> list[str]:
    """Ids of all drawn images, shuffled: in order of name, a row's number would tell its class."""
    ids = sorted({image_id for cell in cells for image_id in (*cell.pool, *cell.test)})
    return [ids[row] for row in np.random.default_rng(0).permutation(len(ids))]


def _ask_teacher(
    settings: Settings, sources: Mapping[str, Source], ids: Sequence[str], on_progress: OnProgress
) -> _Teacher:
    """Scores from the user's file, or from a CLIP by way of the embedding table."""
    names = settings.task.class_names
    if settings.scores is not None:
        scores = read_scores(settings.scores, ids, names)
        return _Teacher(scores, None, settings.scores.stem, {"scores": _digest(scores)})
    if settings.clip == "phantom":
        _start_ray(on_progress)
        folder = ensure_phantom_clip(settings.home, on_progress=on_progress)
    clip = load_clip(folder if settings.clip == "phantom" else settings.clip, "cpu")
    captions = [spec.resolved_captions(settings.captions) for spec in settings.task.classes]
    table = EmbeddingTable(Store(str(settings.home / "embeddings")), clip.key)
    _start_ray(on_progress)
    drawn = {image_id: own_image(sources, image_id) for image_id in ids}
    embeddings, encoded = embed_drawn(clip, drawn, table, partial(on_progress, "embedding"))
    texts = EmbeddingTable(Store(str(settings.home / "captions")), clip.key)
    embed_texts = partial(embed_captions, texts, embed=clip.embed_texts)
    scores = score(embeddings, class_embeddings(captions, embed_texts), clip.logit_scale)
    facts = {"model": clip.key, "captions": captions}
    return _Teacher(scores, embeddings, settings.clip, facts, encoded)


def _start_ray(on_progress: OnProgress) -> None:
    """Start or join Ray; said aloud, for it takes some seconds."""
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)


def _evaluate(
    store: Store, board: Board, cells: Sequence[Cell], truth: SealedTruth
) -> pd.DataFrame:
    """Open the truth, now that every student is there, and write the tables."""
    results = results_table(store, board, cells, truth)
    store.write_table(runs.RESULTS, results)
    store.write_table(runs.TIMINGS, timings_table(store, cells))
    return results


def _compare(
    settings: Settings,
    store: Store,
    board: Board,
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


def _names(settings: Settings, asked: _Teacher) -> dict[str, str]:
    return {
        "task": settings.task.title,
        "teacher": asked.name,
        "student": settings.architecture,
        "recipe": settings.recipe.name,
    }


def _manifest(settings: Settings, sources: Mapping[str, Source], asked: _Teacher) -> dict[str, Any]:
    """What makes this run this run, as plain JSON; its hash is the key of all it makes."""
    decisive = {
        "task": settings.task.model_dump(mode="json"),
        "sources": {spec: source.content_hash for spec, source in sources.items()},
        "teacher": {"name": asked.name, **asked.facts},
        "recipe": asdict(settings.recipe),
        "student": settings.architecture,
        "per_class": settings.per_class,
        "code": _code_hash(),
    }
    text = json.dumps(decisive, sort_keys=True)
    synthetic = any(spec.source.startswith("phantom:") for spec in settings.task.classes)
    return {
        **json.loads(text),
        "key": hashlib.sha256(text.encode()).hexdigest()[:16],
        "seeds": settings.seeds,
        "synthetic": synthetic,
        "versions": _versions(),
    }


def _code_hash() -> str:
    """Of the modules that decide a student: cells fitted by other code are another run's."""
    sources = [inspect.getsource(module) for module in (fit, recipes, students, teacher)]
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:12]


def _versions() -> str:
    """Of the software that decides figures, for the results table and the bundle."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def _digest(scores: NDArray[np.float32]) -> str:
    return hashlib.sha256(scores.tobytes()).hexdigest()[:16]

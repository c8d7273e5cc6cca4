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

from medlabel import (
    adjust,
    augment,
    confidence,
    fit,
    losses,
    recipes,
    runs,
    selection,
    teacher,
    training,
)
from medlabel.adjust import RAW, Adjustment, vote_mean
from medlabel.clip import Clip, load_clip
from medlabel.embeddings import EmbeddingTable, embed_captions
from medlabel.recipes import Recipe
from medlabel.run_report import report_run
from medlabel.scoreboard import (
    Board,
    adjusted_table,
    baselines_table,
    judge,
    recalls_table,
    results_table,
    timings_table,
    trust_of,
)
from medlabel.sources import Source
from medlabel.store import Store
from medlabel.students import backbones, check_student, cnn, named, student
from medlabel.tasks import Cell, Task, draw_cells, gather_images, open_sources, own_image
from medlabel.teacher import class_embeddings, read_scores, score, score_table
from medlabel.trust import Trust
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
        clips: the teacher, or several that vote, as a user types them (see `medlabel.clip`).
        captions: caption sets joined by commas (see `medlabel.caption_sets`).
        scores: a file of scores to use in place of a CLIP.
        adjustment: what becomes of raw scores before anyone learns from them.
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
    clips: tuple[str, ...] = ("phantom",)
    captions: str = "table"
    scores: Path | None = None
    adjustment: Adjustment = RAW
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
    trust: Trust


@dataclass(frozen=True)
class _Teacher:
    """Raw scores float32 [N, K] of the drawn images ([T, N, K] of several teachers) and origin."""

    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    name: str
    facts: Mapping[str, Any]
    encoded: int = 0


def run(settings: Settings, on_progress: OnProgress = lambda stage, done, total: None) -> Outcome:
    """Run the whole loop, doing only what is missing in `settings.out` and `settings.home`."""
    _check(settings)
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
    rows = {image_id: row for row, image_id in enumerate(ids)}
    judged = judge(settings.adjustment, cells, rows, asked.scores, asked.embeddings)
    _write_scores(store, ids, names, asked.scores)
    if manifest["teacher"]["adjust"]:
        store.write_table(runs.ADJUSTED, adjusted_table(judged, cells, names))

    board = Board(
        rows, gather_images(sources, ids), judged, asked.embeddings, _names(settings, manifest)
    )
    workload = Workload(
        board.images,
        asked.scores,
        names,
        settings.recipe,
        settings.architecture,
        {key: manifest[key] for key in ("task", "teacher", "recipe", "versions", "key")},
        settings.adjustment,
        asked.embeddings if settings.adjustment.sees_images else None,
    )
    units = {c.seed: Unit(c.seed, board.at(c.pool), board.at(c.test)) for c in cells}
    _start_ray(on_progress)
    fitted = fit_cells(store, workload, list(units.values()), partial(on_progress, "fitting"))
    trust = trust_of(store, board, cells)
    store.write_json(runs.TRUST, trust.to_json())
    results = _evaluate(store, board, cells, truth, names)
    _compare(settings, store, board, workload, units, cells, truth, on_progress)
    runs.publish_best(store, list(units))
    on_progress("reporting", 0, 1)
    report = report_run(store, settings.data_root)
    on_progress("reporting", 1, 1)
    return Outcome(results, report, store.path(runs.BUNDLE), asked.encoded, fitted, trust)


def _check(settings: Settings) -> None:
    """Raise a `MedlabelError` for what cannot work, before anything is read or made."""
    check_student(settings.architecture, settings.task.size)
    _captions(settings)
    teachers = len(settings.clips) if settings.scores is None else 1
    settings.adjustment.check(
        len(settings.task.classes), teachers, embeddings=settings.scores is None
    )


def _captions(settings: Settings) -> list[tuple[str, ...]]:
    return [spec.resolved_captions(settings.captions) for spec in settings.task.classes]


def _drawn_ids(cells: Sequence[Cell]) -> list[str]:
    """Ids of all drawn images, shuffled: in order of name, a row's number would tell its class."""
    ids = sorted({image_id for cell in cells for image_id in (*cell.pool, *cell.test)})
    return [ids[row] for row in np.random.default_rng(0).permutation(len(ids))]


def _ask_teacher(
    settings: Settings, sources: Mapping[str, Source], ids: Sequence[str], on_progress: OnProgress
) -> _Teacher:
    """Raw scores from the user's file, from a CLIP, or from several."""
    names = settings.task.class_names
    if settings.scores is not None:
        scores = read_scores(settings.scores, ids, names)
        return _Teacher(scores, None, settings.scores.stem, {"scores": _digest(scores)})
    clips = {name: _load(name, settings.home, on_progress) for name in settings.clips}
    asked = [_ask_clip(settings, n, c, sources, ids, on_progress) for n, c in clips.items()]
    return asked[0] if len(asked) == 1 else _together(asked)


def _load(name: str, home: Path, on_progress: OnProgress) -> Clip:
    if name == "phantom":
        _start_ray(on_progress)
        name = ensure_phantom_clip(home, on_progress=on_progress)
    return load_clip(name, "cpu")


def _ask_clip(
    settings: Settings,
    name: str,
    clip: Clip,
    sources: Mapping[str, Source],
    ids: Sequence[str],
    on_progress: OnProgress,
) -> _Teacher:
    """Scores from one CLIP by way of the embedding table."""
    captions = _captions(settings)
    table = EmbeddingTable(Store(str(settings.home / "embeddings")), clip.key)
    _start_ray(on_progress)
    drawn = {image_id: own_image(sources, image_id) for image_id in ids}
    embeddings, encoded = embed_drawn(clip, drawn, table, partial(on_progress, "embedding"))
    texts = EmbeddingTable(Store(str(settings.home / "captions")), clip.key)
    embed_texts = partial(embed_captions, texts, embed=clip.embed_texts)
    scores = score(embeddings, class_embeddings(captions, embed_texts), clip.logit_scale)
    facts = {"model": clip.key, "captions": captions}
    return _Teacher(scores, embeddings, name, facts, encoded)


def _together(asked: Sequence[_Teacher]) -> _Teacher:
    """Several teachers: scores [T, N, K], and embeddings whose cosine is the mean of theirs."""
    seen = [one.embeddings for one in asked if one.embeddings is not None]
    return _Teacher(
        np.stack([one.scores for one in asked]),
        np.concatenate([np.float32(matrix) for matrix in seen], axis=1) / np.sqrt(len(seen)),
        " & ".join(one.name for one in asked),
        {
            "model": " & ".join(str(one.facts["model"]) for one in asked),
            "captions": asked[0].facts["captions"],
        },
        sum(one.encoded for one in asked),
    )


def _write_scores(
    store: Store, ids: Sequence[str], names: Sequence[str], scores: NDArray[np.float32]
) -> None:
    """Write raw scores: one table, or the teachers' mean and a table for each."""
    one = scores if scores.ndim == 2 else vote_mean(list(scores))
    store.write_table(runs.SCORES, score_table(ids, one, names))
    for number, own in enumerate(scores if scores.ndim == 3 else (), start=1):
        store.write_table(f"scores-{number}.parquet", score_table(ids, own, names))


def _start_ray(on_progress: OnProgress) -> None:
    """Start or join Ray; said aloud, for it takes some seconds."""
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)


def _evaluate(
    store: Store, board: Board, cells: Sequence[Cell], truth: SealedTruth, names: Sequence[str]
) -> pd.DataFrame:
    """Open the truth, now that every student is there, and write the tables."""
    results = results_table(store, board, cells, truth)
    store.write_table(runs.RESULTS, results)
    store.write_table(runs.RECALLS, recalls_table(store, board, cells, truth, names))
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


def _names(settings: Settings, manifest: Mapping[str, Any]) -> dict[str, str]:
    taught = manifest["teacher"]
    return {
        "task": settings.task.title,
        "teacher": ", ".join([taught["name"], *taught["adjust"]]),
        "student": settings.architecture,
        "recipe": settings.recipe.name,
    }


def _manifest(settings: Settings, sources: Mapping[str, Source], asked: _Teacher) -> dict[str, Any]:
    """What makes this run this run, as plain JSON; its hash is the key of all it makes."""
    decisive = {
        "task": settings.task.model_dump(mode="json"),
        "sources": {spec: source.content_hash for spec, source in sources.items()},
        "teacher": {"name": asked.name, **asked.facts, "adjust": _adjust_names(settings, asked)},
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


def _adjust_names(settings: Settings, asked: _Teacher) -> list[str]:
    """The vote, where there is one, and the steps, as they are typed."""
    vote = [f"vote={settings.adjustment.vote}"] if asked.scores.ndim == 3 else []
    return vote + [str(step) for step in settings.adjustment.steps]


def _code_hash() -> str:
    """Of the modules that decide a student: cells fitted by other code are another run's."""
    data = (adjust, fit, losses, recipes, selection, teacher)
    networks = (augment, backbones, cnn, confidence, named, student, training)
    sources = [inspect.getsource(module) for module in (*data, *networks)]
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:12]


def _versions() -> str:
    """Of the software that decides figures, for the results table and the bundle."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("medlabel", "torch", "ray"))
    return f"{packages}, python {platform.python_version()}"


def _digest(scores: NDArray[np.float32]) -> str:
    return hashlib.sha256(scores.tobytes()).hexdigest()[:16]

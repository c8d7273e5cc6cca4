"""`medlabel sweep`: every task by every teacher, recipe and student, with all seeds, on a cluster.

Images are embedded once for all tasks. Each cell is written as soon as it is fitted, into a folder
named for everything that decides it. So a sweep that was killed, or a larger one in the same
folder, computes only what is missing.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from medlabel.errors import MedlabelError
from medlabel.experiments import sweep_tables as tables
from medlabel.experiments.run_tables import ScoredImages, adjust_scores
from medlabel.experiments.sweep_spec import (
    CAPTIONS_READ,
    SweepSpec,
    SweepUnit,
    captions_of_plan,
)
from medlabel.experiments.verdicts import write_verdicts
from medlabel.reports.sweep_report import report_sweep
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.provenance import versions
from rayjobs.scoring import start_ray
from rayjobs.sweep.fitting import fit_sweep
from rayjobs.sweep.prepare import (
    ClipEmbeddings,
    PreparedSweep,
    ScoredTask,
    SweepConfig,
    embed_all,
    prepare,
    scored_tasks,
)
from rayjobs.sweep.verdicts import unit_verdicts

__all__ = ["Clock", "SweepConfig", "SweepResult", "judge_units", "sweep"]

_UNIT = ["task", "teacher", "recipe", "student"]  # the columns that tell units apart


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        results: `results.parquet`, a row per cell.
        failures: a row per cell that could not be fitted, with the reason.
        leaderboard: a row per teacher, recipe and student.
        report: path of the report's page.
        encoded: images that had to be embedded by this call.
        fitted: cells that were fitted by this call.
    """

    results: pd.DataFrame
    failures: pd.DataFrame
    leaderboard: pd.DataFrame
    report: str
    encoded: int
    fitted: int


def sweep(config: SweepConfig, on_progress: OnProgress = ignore_progress) -> SweepResult:
    """Compute what is missing of a sweep, and write its tables and its report.

    Raises:
        MedlabelError: the spec cannot work, or no cell could be fitted.
    """
    store = Store(config.out)
    refuse_other_kinds(store, tables.MANIFEST)
    clock = Clock()
    prepared = prepare(config, on_progress)
    store.check_writable()
    clock.lap("reading")
    start_ray(on_progress)
    clock.lap("starting")
    embedded, encoded = embed_all(config, prepared, on_progress)
    clock.lap("embedding")
    verdicts = list(unit_verdicts(config, prepared, embedded, on_progress))
    clock.lap("verdicts")
    fits = fit_sweep(config, store, prepared, embedded, partial(on_progress, "fitting"))
    clock.lap("fitting")
    results, seconds = _judge(config, store, prepared, embedded, partial(on_progress, "judging"))
    clock.lap("judging")
    if results.empty:
        raise MedlabelError(f"no cell could be fitted; the first: {fits.failures[0]['reason']}")
    cost = {
        "encoded": encoded,
        "fitted": fits.fitted,
        "seconds": clock.laps,
        "workers": config.placement.capacity(),
    }
    manifest = _manifest(config.spec, prepared)
    store.write_json(CAPTIONS_READ, captions_of_plan(prepared.units))  # beside its results only
    tables.write_tables(store, manifest, results, seconds, fits.failures, cost)
    fitted = set(results[_UNIT].itertuples(index=False, name=None))
    write_verdicts(store, [verdict for verdict in verdicts if verdict.key in fitted])
    on_progress("reporting", 0, 1)
    report = report_sweep(store)
    on_progress("reporting", 1, 1)
    leaderboard = store.read_table(tables.LEADERBOARD)
    failures = tables.failure_table(fits.failures)
    return SweepResult(results, failures, leaderboard, report, encoded, fits.fitted)


class Clock:
    """Measures the seconds that each stage of a job takes."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Record the time since the last call as this stage's."""
        now = time.perf_counter()
        self.laps[stage], self._last = now - self._last, now


def _judge(
    config: SweepConfig,
    store: Store,
    prepared: PreparedSweep,
    embedded: Mapping[str, ClipEmbeddings],
    on_progress: StageProgress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Open the truth, now that every student is finished: results and seconds, a row per cell."""
    done, total = 0, len(prepared.units)
    found: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    for scored in scored_tasks(config, prepared, embedded):
        for tables_of_unit in judge_units(store, scored, scored.units):
            found.append(tables_of_unit)
            done += 1
            on_progress(done, total)
    results, fits = (pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True))
    return results, fits


def judge_units(
    store: Store, scored: ScoredTask, units: Mapping[str, SweepUnit]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Open the truth of a task: results and fits of the finished cells of these units, by key."""
    sample, rows, found = scored.sample, scored.rows, scored.teacher_scores
    adjustment = scored.teacher.adjustment
    adjusted = adjust_scores(adjustment, sample.cells, rows, found.scores, found.embeddings)
    for key, unit in units.items():
        images = ScoredImages(rows, np.zeros((0, 0, 0), np.uint8), adjusted, None, unit.names)
        yield tables.unit_tables(
            store / tables.unit_folder(key), images, sample.cells, sample.truth
        )


def _manifest(spec: SweepSpec, prepared: PreparedSweep) -> dict[str, Any]:
    """What the report needs in addition to the tables."""
    return {
        "spec": spec.model_dump(mode="json"),
        "tasks": tables.task_rows([one.task for one in prepared.samples.values()], spec.modalities),
        "recipes": {unit.recipe.name: asdict(unit.recipe) for unit in prepared.units},
        "sources": {name: one.content_hash for name, one in prepared.sources.items()},
        "synthetic": any(name.startswith("phantom:") for name in prepared.sources),
        "versions": versions(),
    }

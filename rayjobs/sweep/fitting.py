"""Fit the cells of a sweep: what the fits of each task share, and what is still to be fitted."""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import ray

from medlabel.experiments import sweep_tables as tables
from medlabel.storage.progress import StageProgress
from medlabel.storage.store import Store
from rayjobs.fit_placement import FitJob, FitSummary, run_fits
from rayjobs.sweep.prepare import (
    ClipEmbeddings,
    PreparedSweep,
    ScoredTask,
    SweepConfig,
    scored_tasks,
)
from rayjobs.sweep.sharing import SharedPixels, fit_task_cell, task_data

__all__ = ["fit_sweep"]


def fit_sweep(
    config: SweepConfig,
    store: Store,
    prepared: PreparedSweep,
    embedded: Mapping[str, ClipEmbeddings],
    on_progress: StageProgress,
) -> FitSummary:
    """Fit every cell that is missing; a cell that cannot be fitted is reported and skipped."""
    jobs = _jobs(config, store, prepared, embedded)
    total = len(prepared.units) * config.spec.seeds
    return run_fits(jobs, config.placement, on_progress, total=total)


def _jobs(
    config: SweepConfig,
    store: Store,
    prepared: PreparedSweep,
    embedded: Mapping[str, ClipEmbeddings],
) -> Iterator[FitJob]:
    """One job per task, teacher, recipe and student, made when a worker is free for it."""
    pixels = SharedPixels(prepared)
    for scored in scored_tasks(config, prepared, embedded):
        shared = cache(partial(_share, scored, pixels))
        seeds = tuple(cell.seed for cell in scored.sample.cells)
        for key, unit in scored.units.items():
            fit = partial(fit_task_cell, recipe=unit.recipe, architecture=unit.student)
            yield FitJob(store / tables.unit_folder(key), seeds, fit, shared, unit.names)


def _share(scored: ScoredTask, pixels: SharedPixels) -> tuple["ray.ObjectRef[Any]", ...]:
    return ray.put(task_data(scored, pixels)), *pixels.refs

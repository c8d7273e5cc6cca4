"""A sweep: every task by every teacher, recipe and student, with all seeds, on a whole cluster.

Images are embedded once over all tasks. A cell is a durable file as soon as it is fitted, in a
folder named for all that decides it, so a killed sweep, or a larger one in the same folder, goes on
with what is missing.
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
from medlabel.experiments.sweep_spec import SweepSpec, SweepUnit
from medlabel.reports.sweep_report import report_sweep
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.provenance import versions
from rayjobs.scoring import start_ray
from rayjobs.sweep.fitting import fit_all, room
from rayjobs.sweep.prepare import (
    Group,
    Prepared,
    Seen,
    SweepConfig,
    embed_all,
    groups,
    prepare,
)

__all__ = ["Clock", "SweepConfig", "SweepResult", "judge_units", "sweep"]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep ends with, and how much of it was computed now."""

    results: pd.DataFrame
    failures: pd.DataFrame
    leaderboard: pd.DataFrame
    report: str
    encoded: int
    fitted: int


def sweep(settings: SweepConfig, on_progress: OnProgress = ignore_progress) -> SweepResult:
    """Do what is missing of a sweep, and write its tables and its report."""
    store = Store(settings.out)
    refuse_other_kinds(store, tables.MANIFEST)
    clock = Clock()
    prepared = prepare(settings, on_progress)
    store.check_writable()
    clock.lap("reading")
    start_ray(on_progress)
    clock.lap("starting")
    seen, encoded = embed_all(settings, prepared, on_progress)
    clock.lap("embedding")
    fitted, failures = fit_all(settings, store, prepared, seen, partial(on_progress, "fitting"))
    clock.lap("fitting")
    progress = partial(on_progress, "judging")
    results, fits = _judge(settings, store, prepared, seen, progress)
    clock.lap("judging")
    if results.empty:
        raise MedlabelError(f"no cell could be fitted; the first: {failures[0]['reason']}")
    cost = {"encoded": encoded, "fitted": fitted, "seconds": clock.laps, "workers": room(settings)}
    tables.write_tables(store, _manifest(settings.spec, prepared), results, fits, failures, cost)
    on_progress("reporting", 0, 1)
    report = report_sweep(store)
    on_progress("reporting", 1, 1)
    board = store.read_table(tables.LEADERBOARD)
    return SweepResult(results, tables.failure_table(failures), board, report, encoded, fitted)


class Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """What passed since the last lap was this stage's."""
        now = time.perf_counter()
        self.laps[stage], self._last = now - self._last, now


def _judge(
    settings: SweepConfig,
    store: Store,
    prepared: Prepared,
    seen: Mapping[str, Seen],
    on_progress: StageProgress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Open the truth, now that every student is there: results and fits, a row per cell."""
    done, total = 0, len(prepared.units)
    found: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    for group in groups(settings, prepared, seen):
        for tables_of_unit in judge_units(store, group, group.units):
            found.append(tables_of_unit)
            done += 1
            on_progress(done, total)
    results, fits = (pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True))
    return results, fits


def judge_units(
    store: Store, group: Group, units: Mapping[str, SweepUnit]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Open the truth of a task: results and fits of what is finished of these units, by key."""
    draw, asked, rows = group.draw, group.asked, group.rows
    judged = adjust_scores(
        group.teacher.adjustment, draw.cells, rows, asked.scores, asked.embeddings
    )
    for key, unit in units.items():
        board = ScoredImages(rows, np.zeros((0, 0, 0), np.uint8), judged, None, unit.names)
        yield tables.unit_tables(store / tables.unit_folder(key), board, draw.cells, draw.truth)


def _manifest(spec: SweepSpec, prepared: Prepared) -> dict[str, Any]:
    """What the report needs beside the tables."""
    return {
        "spec": spec.model_dump(mode="json"),
        "tasks": tables.task_rows([draw.task for draw in prepared.draws.values()], spec.modalities),
        "recipes": {unit.recipe.name: asdict(unit.recipe) for unit in prepared.units},
        "sources": {name: one.content_hash for name, one in prepared.sources.items()},
        "synthetic": any(name.startswith("phantom:") for name in prepared.sources),
        "versions": versions(),
    }

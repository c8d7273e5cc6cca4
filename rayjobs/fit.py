"""Fit one cell, or all cells of a folder on a Ray cluster.

A cell is one task with one seed: a pool of images that a student learns from and a held-out test
set. `fit_cell` is the unit of work of every job; `rayjobs.fit_placement` decides where it runs.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import write_cell
from medlabel.storage.device import default_device
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.fit import predict_proba
from medlabel.student.human_labels import HumanLabels
from medlabel.student.recipes import Recipe
from medlabel.student.trained import train_student
from medlabel.teacher.adjust import NO_ADJUSTMENT, Adjustment
from rayjobs.fit_placement import WHOLE_CLUSTER, FitJob, FitPlacement, run_fits

__all__ = ["CellRows", "Workload", "fit_cell", "fit_cells"]


@dataclass(frozen=True)
class CellRows:
    """One cell as row numbers into a workload. It holds no image ids and no true labels.

    Attributes:
        seed: of the cell.
        pool: rows of the images that the student learns from, int64 [N].
        test: rows of the held-out images, int64 [M].
    """

    seed: int
    pool: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True)
class Workload:
    """What all cells of a task share: N distinct images, the teacher's scores, and how to train.

    Attributes:
        images: uint8 [N, S, S] or [N, S, S, 3].
        scores: the teacher's raw scores, float32 [N, K], or [T, N, K] of T teachers.
        classes: K names.
        recipe: how the student is trained.
        architecture: the student's network by name.
        provenance: facts that are written into the student's bundle.
        adjustment: applied to the scores of a pool before a student learns from them.
        embeddings: the teacher's, [N, D]; needed only if the adjustment uses them.
        human_labels: labels that people gave to some of the images.
    """

    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    recipe: Recipe
    architecture: str
    provenance: Mapping[str, Any]
    adjustment: Adjustment = NO_ADJUSTMENT
    embeddings: NDArray[np.floating] | None = None
    human_labels: HumanLabels | None = None

    def adjusted(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores float32 [len(rows), K], adjusted with the statistics of these rows alone."""
        embeddings = None if self.embeddings is None else self.embeddings[rows]
        return self.adjustment(self.scores[..., rows, :], embeddings)


def fit_cells(
    store: Store,
    workload: Workload,
    cells: Sequence[CellRows],
    on_progress: StageProgress = ignore_progress,
    placement: FitPlacement = WHOLE_CLUSTER,
    *,
    keep_students: bool = True,
) -> int:
    """Fit the cells that are not finished yet, and return how many that were.

    Args:
        store: the folder of the cells. A finished cell's folder is its checkpoint: a later call
            goes on with the cells that have none.
        workload: what the cells share; it is put into Ray's object store once.
        cells: all cells.
        on_progress: called with the number of finished cells and the number of all.
        placement: how many fits run at a time, and what each takes of the cluster.
        keep_students: whether the networks are written, or only their predictions.

    Raises:
        MedlabelError: a cell could not be fitted. Finished cells are kept.
    """

    @cache
    def shared() -> tuple["ray.ObjectRef[Any]", ...]:
        return ray.put(workload), ray.put({rows.seed: rows for rows in cells})

    seeds = tuple(rows.seed for rows in cells)
    fit_one = partial(_fit_shared, keep_student=keep_students)
    summary = run_fits(
        [FitJob(store, seeds, fit_one, shared)],
        placement,
        on_progress,
        total=len(cells),
        stop_at_error=True,  # the others have the same recipe and would fail in the same way
    )
    if summary.failures:
        first = summary.failures[0]
        raise MedlabelError(
            f"fitting failed for {len(summary.failures)} of {len(cells)} cells, the first of them "
            f"seed {first['seed']}: {first['reason']}. "
            "What is finished is kept; run the same command to go on"
        )
    return summary.fitted


def _fit_shared(
    store: Store,
    seed: int,
    device: str,
    workload: Workload,
    cells: Mapping[int, CellRows],
    *,
    keep_student: bool,
) -> None:
    fit_cell(store, workload, cells[seed], keep_student=keep_student, device=device)


def fit_cell(
    store: Store,
    workload: Workload,
    rows: CellRows,
    *,
    keep_student: bool = True,
    device: str | None = None,
) -> None:
    """Fit one cell in this process and write it; the cell counts once its last file is there.

    Raises:
        MedlabelError: training diverged.
    """
    start = time.perf_counter()
    images, scores = workload.images, workload.adjusted(rows.pool)
    human_labels = (
        None if workload.human_labels is None else workload.human_labels.subset(rows.pool)
    )
    trained = train_student(
        images[rows.pool],
        scores,
        workload.classes,
        workload.recipe,
        rows.seed,
        architecture=workload.architecture,
        device=device or default_device(),
        human_labels=human_labels,
        calibrated=keep_student,
    )
    write_cell(
        store,
        rows.seed,
        trained.fit,
        trained.pool,
        predict_proba(trained.fit.student, images[rows.test]),
        seconds=time.perf_counter() - start,
        provenance=workload.provenance,
        keep_student=keep_student,
        calibration=trained.calibration,
    )

"""The ceiling: the same student and recipe on true labels. Part of evaluation, apart from fitting.

It runs after the students are there, in tasks of its own. Its networks are not kept: predictions
for one row of the baselines table are all that comes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import ray
from numpy.typing import NDArray

from medlabel.data.tasks import Cell
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.metrics import true_scores
from medlabel.experiments.run_folder import CEILING, finished_seeds, read_cell
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.adjust import NO_ADJUSTMENT
from rayjobs.cluster import fitting_resources, one_line_errors
from rayjobs.fit import Unit, Workload, fit_unit

__all__ = ["fit_ceiling"]


@ray.remote(max_retries=3)
def _fit(uri: str, workload: Workload, unit: Unit, scores: NDArray[np.float32]) -> None:
    everywhere = np.zeros((len(workload.images), scores.shape[1]), dtype=np.float32)
    everywhere[unit.pool] = scores
    true = replace(workload, scores=everywhere, adjustment=NO_ADJUSTMENT, embeddings=None)
    fit_unit(Store(uri), true, unit, keep_student=False)


def fit_ceiling(
    store: Store,
    workload: Workload,
    units: Mapping[int, Unit],
    cells: Sequence[Cell],
    truth: SealedTruth,
    on_progress: StageProgress = ignore_progress,
) -> dict[int, NDArray[np.float32]]:
    """Test probabilities float32 [N, K] a seed of students that learned from the truth."""
    if not cells:
        return {}
    apart = store / CEILING
    finished = finished_seeds(apart)
    shared = ray.put(workload)
    _, share = fitting_resources(len(cells))
    fit_on_share = _fit.options(num_cpus=share["CPU"], num_gpus=share.get("GPU", 0))
    pending = [
        fit_on_share.remote(apart.uri, shared, units[cell.seed], _truth_of(cell, truth, workload))
        for cell in cells
        if cell.seed not in finished
    ]
    total = len(pending)
    while pending:
        done, pending = ray.wait(pending, timeout=1)
        with one_line_errors("fitting on true labels"):
            ray.get(done)
        on_progress(total - len(pending), total)
    return {cell.seed: read_cell(apart, cell.seed).test for cell in cells}


def _truth_of(cell: Cell, truth: SealedTruth, workload: Workload) -> NDArray[np.float32]:
    return true_scores(truth, cell.pool, len(workload.classes))

"""The ceiling: the same student and recipe, trained on true labels. It is part of evaluation.

It is fitted after the students are finished. Its networks are not kept, only their predictions, for
one row per seed in the table of baselines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medlabel.data.tasks import Cell
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.metrics import true_scores
from medlabel.experiments.run_folder import CEILING, read_cell
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.adjust import NO_ADJUSTMENT
from rayjobs.fit import CellRows, Workload, fit_cells
from rayjobs.fit_placement import WHOLE_CLUSTER, FitPlacement

__all__ = ["fit_ceiling"]


def fit_ceiling(
    store: Store,
    workload: Workload,
    rows: Mapping[int, CellRows],
    cells: Sequence[Cell],
    truth: SealedTruth,
    on_progress: StageProgress = ignore_progress,
    placement: FitPlacement = WHOLE_CLUSTER,
) -> dict[int, NDArray[np.float32]]:
    """Test probabilities, float32 [N, K] by seed, of students that learned from the truth.

    Args:
        store: the folder of the run.
        workload: what the students shared; true labels take the place of its scores.
        rows: the rows of every cell, by seed.
        cells: those to fit.
        truth: opened here for the pools of these cells.
        on_progress: called with the number of finished cells and the number of all.
        placement: how many fits run at a time, and what each takes of the cluster.
    """
    if not cells:
        return {}
    k, folder = len(workload.classes), store / CEILING
    scores = np.zeros((len(workload.images), k), dtype=np.float32)
    for cell in cells:
        scores[rows[cell.seed].pool] = true_scores(truth, cell.pool, k)
    on_truth = replace(workload, scores=scores, adjustment=NO_ADJUSTMENT, embeddings=None)
    wanted = [rows[cell.seed] for cell in cells]
    fit_cells(folder, on_truth, wanted, on_progress, placement, keep_students=False)
    return {cell.seed: read_cell(folder, cell.seed).test for cell in cells}

"""The tables of a run: one row a seed for teacher and student, one a seed for each baseline.

The teacher is judged, and learned from, by its adjusted scores, those of each pool and of each test
adjusted on their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.tasks import Cell
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.baselines import embedding_clusters, majority_class, pixel_statistics
from medlabel.evaluation.diagnostics import (
    Diagnostics,
    best_seed_index,
    compute_signals,
    pixel_features,
    student_agreement,
    summarise_diagnostics,
)
from medlabel.evaluation.metrics import evaluate_baseline, evaluate_cell, recall_rows
from medlabel.experiments.run_folder import CellResult, read_cell
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.adjust import Adjustment
from medlabel.teacher.zero_shot import score_table

__all__ = [
    "CellScores",
    "ScoredImages",
    "adjust_scores",
    "adjusted_table",
    "baselines_table",
    "diagnostics_of",
    "recalls_table",
    "result_row",
    "results_table",
    "timings_table",
]


@dataclass(frozen=True)
class CellScores:
    """The teacher's adjusted scores of one cell, float32 [N, K] each, in the cell's order."""

    pool: NDArray[np.float32]
    test: NDArray[np.float32]


@dataclass(frozen=True)
class ScoredImages:
    """What the tables are made of: rows of distinct images, by id.

    Attributes:
        images: uint8 [N, S, S] or [N, S, S, 3].
        adjusted: the teacher's adjusted scores, by seed.
        embeddings: the teacher's, [N, D]; None where the teacher is a file of scores.
        names: the columns that say which run a row is of (task, teacher, student, recipe).
    """

    rows: Mapping[str, int]
    images: NDArray[np.uint8]
    adjusted: Mapping[int, CellScores]
    embeddings: NDArray[np.floating] | None
    names: Mapping[str, str]

    def at(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of some images."""
        return np.array([self.rows[image_id] for image_id in image_ids])


def adjust_scores(
    adjustment: Adjustment,
    cells: Sequence[Cell],
    rows: Mapping[str, int],
    scores: NDArray[np.float32],
    embeddings: NDArray[np.floating] | None,
) -> dict[int, CellScores]:
    """Adjust raw scores [N, K] (or [T, N, K]) for each cell, its pool and its test apart."""

    def adjusted(image_ids: Sequence[str]) -> NDArray[np.float32]:
        at = np.array([rows[image_id] for image_id in image_ids])
        return adjustment(scores[..., at, :], None if embeddings is None else embeddings[at])

    return {cell.seed: CellScores(adjusted(cell.pool), adjusted(cell.test)) for cell in cells}


def adjusted_table(
    judged: Mapping[int, CellScores], cells: Sequence[Cell], class_names: Sequence[str]
) -> pd.DataFrame:
    """`adjusted.parquet`: seed, split, image_id and one float32 column a class."""
    frames = []
    for cell in cells:
        found = judged[cell.seed]
        for split, ids, scores in (
            ("pool", cell.pool, found.pool),
            ("test", cell.test, found.test),
        ):
            frame = score_table(ids, scores, class_names)
            frame.insert(0, "split", split)
            frame.insert(0, "seed", cell.seed)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def results_table(
    store: Store, board: ScoredImages, cells: Sequence[Cell], truth: SealedTruth
) -> pd.DataFrame:
    """`results.parquet`: how right teacher and student are on each seed's test."""
    return pd.DataFrame(
        [result_row(board, cell, read_cell(store, cell.seed), truth) for cell in cells]
    )


def result_row(
    board: ScoredImages, cell: Cell, fitted: CellResult, truth: SealedTruth
) -> dict[str, Any]:
    """One row of `results.parquet`."""
    judged = board.adjusted[cell.seed]
    metrics = evaluate_cell(truth, cell.pool, cell.test, judged.pool, judged.test, fitted.test)
    names = {"task": board.names["task"], "seed": cell.seed, **board.names}
    return {**names, **metrics, "versions": fitted.versions}


def recalls_table(
    store: Store,
    board: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """`recalls.parquet`: a row a seed, teacher or student, and class, on each seed's test."""
    rows = []
    for cell in cells:
        student = read_cell(store, cell.seed).test
        for who, found in (("teacher", board.adjusted[cell.seed].test), ("student", student)):
            names = {"task": board.names["task"], "seed": cell.seed, "who": who}
            rows += [names | row for row in recall_rows(truth, cell.test, found, class_names)]
    return pd.DataFrame(rows)


def diagnostics_of(
    store: Store, board: ScoredImages, cells: Sequence[Cell]
) -> tuple[Diagnostics, int]:
    """`diagnostics.json`, and the seed of the best student; no truth has a part in either."""
    each, draws = [], []
    for cell in cells:
        student, at = read_cell(store, cell.seed).test, board.at(cell.test)
        if board.embeddings is None:
            features = pixel_features(board.images[at])
        else:
            features = np.asarray(board.embeddings[at], np.float32)
        each.append(compute_signals(board.adjusted[cell.seed].test, student, features))
        draws.append(dict(zip(cell.test, student.argmax(axis=1).tolist(), strict=True)))
    k = student.shape[1]
    return summarise_diagnostics(each, student_agreement(draws, k)), cells[
        best_seed_index(each, draws, k)
    ].seed


def timings_table(store: Store, cells: Sequence[Cell]) -> pd.DataFrame:
    """`timings.parquet`: seconds a fit. Apart, so that equal runs have equal results tables."""
    seconds = [(cell.seed, read_cell(store, cell.seed).seconds) for cell in cells]
    return pd.DataFrame(seconds, columns=["seed", "seconds"])


def baselines_table(
    board: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    ceiling: Mapping[int, NDArray[np.float32]],
    on_progress: StageProgress = ignore_progress,
) -> pd.DataFrame:
    """`baselines.parquet`. `ceiling` has the probabilities of students fitted on truth, by seed."""
    rows = []
    for done, cell in enumerate(cells, start=1):
        answers = _answers(board, cell)
        if cell.seed in ceiling:
            answers["true labels"] = ceiling[cell.seed]
        for name, probabilities in answers.items():
            metrics = evaluate_baseline(truth, cell.test, probabilities)
            rows.append(
                {"task": board.names["task"], "seed": cell.seed, "baseline": name, **metrics}
            )
        on_progress(done, len(cells))
    return pd.DataFrame(rows)


def _answers(board: ScoredImages, cell: Cell) -> dict[str, NDArray[np.float32]]:
    """What each truth-free baseline says of the test, float32 [N, K]."""
    pool, test = board.at(cell.pool), board.at(cell.test)
    scores = board.adjusted[cell.seed].pool
    answers = {
        "majority class": majority_class(scores, len(test)),
        "pixel statistics": pixel_statistics(board.images[pool], scores, board.images[test]),
    }
    if board.embeddings is not None:
        answers["embedding clusters"] = embedding_clusters(
            board.embeddings[pool], scores, board.embeddings[test], cell.seed
        )
    return answers

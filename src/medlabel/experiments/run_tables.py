"""The tables of a run: metrics of teacher and student per seed, and of each baseline per seed.

Both for training and for evaluation, the teacher's scores are the adjusted ones. Those of a
training pool and of a test set are adjusted separately.
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
    """The inputs of the tables: N distinct images with the teacher's scores and embeddings.

    Attributes:
        rows: row number by image id.
        images: uint8 [N, S, S] or [N, S, S, 3].
        adjusted: the teacher's adjusted scores, by seed.
        embeddings: the teacher's, [N, D]; None if the scores were read from a file.
        names: the columns that identify the run (task, teacher, student, recipe).
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
    """Adjust raw scores for each cell, separately for its pool and its test set.

    Args:
        adjustment: the vote and the steps.
        cells: of the run.
        rows: row number by image id.
        scores: raw scores, float32 [N, K], or [T, N, K] of T teachers.
        embeddings: [N, D], for adjustments that need them.

    Returns:
        adjusted scores by seed.
    """

    def adjusted(image_ids: Sequence[str]) -> NDArray[np.float32]:
        at = np.array([rows[image_id] for image_id in image_ids])
        return adjustment(scores[..., at, :], None if embeddings is None else embeddings[at])

    return {cell.seed: CellScores(adjusted(cell.pool), adjusted(cell.test)) for cell in cells}


def adjusted_table(
    adjusted: Mapping[int, CellScores], cells: Sequence[Cell], class_names: Sequence[str]
) -> pd.DataFrame:
    """`adjusted.parquet`: seed, split, image_id and one float32 column per class."""
    frames = []
    for cell in cells:
        found = adjusted[cell.seed]
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
    store: Store, scored: ScoredImages, cells: Sequence[Cell], truth: SealedTruth
) -> pd.DataFrame:
    """`results.parquet`: metrics of teacher and student on each seed's test set."""
    return pd.DataFrame(
        [result_row(scored, cell, read_cell(store, cell.seed), truth) for cell in cells]
    )


def result_row(
    scored: ScoredImages, cell: Cell, fitted: CellResult, truth: SealedTruth
) -> dict[str, Any]:
    """One row of `results.parquet`."""
    adjusted = scored.adjusted[cell.seed]
    metrics = evaluate_cell(truth, cell.pool, cell.test, adjusted.pool, adjusted.test, fitted.test)
    names = {"task": scored.names["task"], "seed": cell.seed, **scored.names}
    return {**names, **metrics, "versions": fitted.versions}


def recalls_table(
    store: Store,
    scored: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """`recalls.parquet`: one row per seed, labeller (teacher or student) and class."""
    rows = []
    for cell in cells:
        student = read_cell(store, cell.seed).test
        for who, found in (("teacher", scored.adjusted[cell.seed].test), ("student", student)):
            names = {"task": scored.names["task"], "seed": cell.seed, "who": who}
            rows += [names | row for row in recall_rows(truth, cell.test, found, class_names)]
    return pd.DataFrame(rows)


def diagnostics_of(
    store: Store, scored: ScoredImages, cells: Sequence[Cell]
) -> tuple[Diagnostics, int]:
    """`diagnostics.json`, and the seed of the best student; neither uses true labels."""
    each, labels_of_seeds = [], []
    for cell in cells:
        student, at = read_cell(store, cell.seed).test, scored.at(cell.test)
        if scored.embeddings is None:
            features = pixel_features(scored.images[at])
        else:
            features = np.asarray(scored.embeddings[at], np.float32)
        each.append(compute_signals(scored.adjusted[cell.seed].test, student, features))
        labels_of_seeds.append(dict(zip(cell.test, student.argmax(axis=1).tolist(), strict=True)))
    k = student.shape[1]
    return summarise_diagnostics(each, student_agreement(labels_of_seeds, k)), cells[
        best_seed_index(each, labels_of_seeds, k)
    ].seed


def timings_table(store: Store, cells: Sequence[Cell]) -> pd.DataFrame:
    """`timings.parquet`: seconds per fit, kept apart so that equal runs have equal results."""
    seconds = [(cell.seed, read_cell(store, cell.seed).seconds) for cell in cells]
    return pd.DataFrame(seconds, columns=["seed", "seconds"])


def baselines_table(
    scored: ScoredImages,
    cells: Sequence[Cell],
    truth: SealedTruth,
    ceiling: Mapping[int, NDArray[np.float32]],
    on_progress: StageProgress = ignore_progress,
) -> pd.DataFrame:
    """`baselines.parquet`: metrics of each baseline on each seed's test set.

    Args:
        scored: images, scores and embeddings.
        cells: of the run.
        truth: true labels, for evaluation.
        ceiling: test probabilities of students that were trained on true labels, by seed.
        on_progress: is called after each cell.
    """
    rows = []
    for done, cell in enumerate(cells, start=1):
        predictions = _predictions(scored, cell)
        if cell.seed in ceiling:
            predictions["true labels"] = ceiling[cell.seed]
        for name, probabilities in predictions.items():
            metrics = evaluate_baseline(truth, cell.test, probabilities)
            rows.append(
                {"task": scored.names["task"], "seed": cell.seed, "baseline": name, **metrics}
            )
        on_progress(done, len(cells))
    return pd.DataFrame(rows)


def _predictions(scored: ScoredImages, cell: Cell) -> dict[str, NDArray[np.float32]]:
    """The test predictions of each baseline that needs no true labels, float32 [N, K]."""
    pool, test = scored.at(cell.pool), scored.at(cell.test)
    scores = scored.adjusted[cell.seed].pool
    predictions = {
        "majority class": majority_class(scores, len(test)),
        "pixel statistics": pixel_statistics(scored.images[pool], scores, scored.images[test]),
    }
    if scored.embeddings is not None:
        predictions["embedding clusters"] = embedding_clusters(
            scored.embeddings[pool], scores, scored.embeddings[test], cell.seed
        )
    return predictions

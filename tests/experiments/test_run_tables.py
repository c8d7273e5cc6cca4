import numpy as np
import pandas as pd
import pytest

from medlabel.data.tasks import Cell
from medlabel.data.truth import SealedTruth
from medlabel.experiments.run_folder import CellResult
from medlabel.experiments.run_tables import (
    ScoredImages,
    adjust_scores,
    adjusted_table,
    diagnostics_of,
    recalls_table,
)
from medlabel.teacher.adjust import NO_ADJUSTMENT, Adjustment, match_prior, parse_steps

ROWS = {f"s/train/{i}": i for i in range(40)} | {f"s/test/{i}": 40 + i for i in range(20)}
POOL, TEST = (tuple(i for i in ROWS if f"/{split}/" in i) for split in ("train", "test"))
CELLS = [Cell(3, POOL, TEST)]


def scores(seed):
    first = np.random.default_rng(seed).uniform(0.4, 1, 60)
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_raw_scores_are_unchanged_without_adjustment():
    found = adjust_scores(NO_ADJUSTMENT, CELLS, ROWS, scores(0), None)[3]
    np.testing.assert_array_equal(found.pool, scores(0)[:40])
    np.testing.assert_array_equal(found.test, scores(0)[40:])


def test_pool_and_test_are_adjusted_each_on_their_own():
    found = adjust_scores(Adjustment(parse_steps("prior")), CELLS, ROWS, scores(0), None)[3]
    np.testing.assert_array_equal(found.pool, match_prior(scores(0)[:40]))
    changed = scores(0)
    changed[:40] = 0.5
    again = adjust_scores(Adjustment(parse_steps("prior")), CELLS, ROWS, changed, None)[3]
    np.testing.assert_array_equal(found.test, again.test)


def test_several_teachers_are_averaged():
    votes = np.stack([scores(0), scores(1)])
    found = adjust_scores(NO_ADJUSTMENT, CELLS, ROWS, votes, None)[3]
    np.testing.assert_allclose(found.test, votes[:, 40:].mean(axis=0), atol=1e-6)


def test_the_adjusted_table_has_a_row_for_each_cell_and_image():
    judged = adjust_scores(NO_ADJUSTMENT, CELLS, ROWS, scores(0), None)
    table = adjusted_table(judged, CELLS, ("a", "b"))
    assert list(table.columns) == ["seed", "split", "image_id", "a", "b"]
    assert table["image_id"].tolist() == [*POOL, *TEST]
    np.testing.assert_array_equal(table["a"], scores(0)[:, 0])


@pytest.fixture
def board(monkeypatch):
    """Two groups of images that the student tells apart and the teacher does not."""
    labels = np.arange(60) % 2
    images = np.full((60, 28, 28), 50, np.uint8) + 100 * labels[:, None, None].astype(np.uint8)
    student = np.eye(2, dtype=np.float32)[labels]
    fitted = CellResult(3, student[:40], student[40:], pd.DataFrame(), 0, 0.0, 0.0, "")
    monkeypatch.setattr("medlabel.experiments.run_tables.read_cell", lambda store, seed: fitted)
    return ScoredImages(
        ROWS,
        images,
        adjust_scores(NO_ADJUSTMENT, CELLS, ROWS, scores(0), None),
        None,
        {"task": "t"},
    )


def test_recalls_have_a_row_for_each_seed_class_and_labeller(board):
    truth = SealedTruth(list(ROWS), [row % 2 for row in ROWS.values()])
    table = recalls_table(None, board, CELLS, truth, ("a", "b"))
    assert table[table["who"] == "student"]["recall"].tolist() == [1, 1]
    assert len(table) == 4


def test_diagnostics_use_pixels_if_the_teacher_has_no_embeddings(board):
    diagnostics, best = diagnostics_of(None, board, CELLS)
    assert (diagnostics.n_seeds, diagnostics.students, best) == (1, None, CELLS[0].seed)
    assert diagnostics.signals.neighbours == pytest.approx(1)
    assert diagnostics.warnings[0].startswith("This task looks undecidable")

from dataclasses import replace

import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds, read_cell
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import RECIPES
from rayjobs.fit import CellRows, Workload, fit_cell, fit_cells

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def workload():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = rng.integers(0, 100, (60, 28, 28), dtype=np.uint8)
    images[labels == 1] += 100
    return Workload(
        images,
        np.eye(2, dtype=np.float32)[labels],
        ("a", "b"),
        replace(RECIPES["robust"], epochs=1, min_steps=None, average_from_epoch=0),
        "small",
        {"key": "k", "versions": "v"},
    )


def cells(n):
    rows = np.arange(60)
    return [CellRows(seed, rows[:40], rows[40:]) for seed in range(n)]


def contents(store):
    return {seed: read_cell(store, seed).test.tobytes() for seed in finished_seeds(store)}


@pytest.mark.usefixtures("one_thread")
def test_finished_cells_are_not_fitted_again_and_the_rest_comes_out_the_same(workload, tmp_path):
    bare, resumed = Store(str(tmp_path / "bare")), Store(str(tmp_path / "resumed"))
    for rows in cells(3):
        fit_cell(bare, workload, rows)
    reported = []
    assert fit_cells(resumed, workload, cells(1)) == 1
    first = resumed.read("cells/seed-0000/cell.json")
    assert fit_cells(resumed, workload, cells(3), lambda *p: reported.append(p)) == 2
    assert reported[-1] == (3, 3)
    assert resumed.read("cells/seed-0000/cell.json") == first
    assert contents(bare) == contents(resumed)
    assert fit_cells(resumed, workload, cells(3)) == 0


def test_students_are_kept_only_where_they_are_asked_for(workload, tmp_path):
    store = Store(str(tmp_path))
    fit_cells(store, workload, cells(1), keep_students=False)
    assert finished_seeds(store) == {0}
    assert store.list("cells/*/bundle") == []


def test_a_fit_that_cannot_succeed_ends_in_one_line(workload, tmp_path):
    with pytest.raises(MedlabelError, match="run the same command to go on") as error:
        fit_cells(Store(str(tmp_path)), replace(workload, architecture="none"), cells(2))
    assert str(error.value).startswith("fitting failed: unknown student")
    assert "\n" not in str(error.value)


def test_a_fitted_student_is_calibrated_on_its_pool(workload, tmp_path):
    store = Store(str(tmp_path))
    (rows,) = cells(1)
    fit_cell(store, workload, rows)
    bundle = load_bundle(store.path("cells/seed-0000/bundle"))
    assessment = bundle.assess(workload.images[rows.pool])
    assert assessment.calibrated
    assert (assessment.ood_score <= 1.01).mean() > 0.9

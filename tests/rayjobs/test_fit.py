from dataclasses import replace

import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds, read_cell
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import RECIPES
from rayjobs import fit
from rayjobs.fit import Unit, Workload, fit_cells, fit_unit

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


def units(n):
    rows = np.arange(60)
    return [Unit(seed, rows[:40], rows[40:]) for seed in range(n)]


def contents(store):
    return {seed: read_cell(store, seed).test.tobytes() for seed in finished_seeds(store)}


@pytest.mark.usefixtures("one_thread")
def test_finished_cells_are_not_fitted_again_and_the_rest_comes_out_the_same(workload, tmp_path):
    bare, resumed = Store(str(tmp_path / "bare")), Store(str(tmp_path / "resumed"))
    for unit in units(3):
        fit_unit(bare, workload, unit)
    told = []
    assert fit_cells(resumed, workload, units(1)) == 1
    first = resumed.read("cells/seed-0000/cell.json")
    assert fit_cells(resumed, workload, units(3), lambda *p: told.append(p)) == 2
    assert told[-1] == (3, 3)
    assert resumed.read("cells/seed-0000/cell.json") == first
    assert contents(bare) == contents(resumed)
    assert fit_cells(resumed, workload, units(3)) == 0
    assert resumed.list(".train*") == []


@pytest.mark.parametrize(
    ("resources", "size"),
    [({"CPU": 1}, (1, 4)), ({"CPU": 1, "GPU": 0.25}, 4), ({"GPU": 1}, (1, 4))],
)
def test_workers_follow_the_cluster_where_ray_can_count_them(resources, size):
    assert fit._size(4, resources, elastic=True) == size
    assert fit._size(4, resources, elastic=False) == 4
    assert fit._size(1, resources, elastic=True) == 1


@pytest.mark.usefixtures("one_thread")
def test_an_elastic_fit_comes_out_the_same(workload, tmp_path):
    fixed, elastic = Store(str(tmp_path / "fixed")), Store(str(tmp_path / "elastic"))
    fit_unit(fixed, workload, units(1)[0])
    fit_unit(fixed, workload, units(2)[1])
    assert fit_cells(elastic, workload, units(2), room=fit.WorkerLimits(elastic=True)) == 2
    assert contents(fixed) == contents(elastic)


def test_a_fit_that_cannot_succeed_ends_in_one_line(workload, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "_CRASHES", 0)  # each costs a start of the workers
    with pytest.raises(MedlabelError, match="run the same command to go on") as error:
        fit_cells(Store(str(tmp_path)), replace(workload, architecture="none"), units(1))
    assert "unknown student" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_fitted_student_is_calibrated_on_its_pool(workload, tmp_path):
    store = Store(str(tmp_path))
    (unit,) = units(1)
    fit_unit(store, workload, unit)
    bundle = load_bundle(store.path("cells/seed-0000/bundle"))
    assessment = bundle.assess(workload.images[unit.pool])
    assert assessment.calibrated
    assert (assessment.ood_score <= 1.01).mean() > 0.9

import math

import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import claim, finished_seeds, publish, read_cell, write_cell
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.decision import review_reasons
from medlabel.student.fit import Epoch, FitResult
from medlabel.student.networks import Student
from medlabel.student.verdict import Verdict

MANIFEST = {"task": "t", "recipe": "robust", "seeds": 3, "versions": "1"}
PROVENANCE = {"key": "k", "versions": "1"}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "run"))


def fitted(loss):
    epochs = (Epoch(0, 0.9, 0.5, 0.9, 0.5), Epoch(1, 0.2, 0.9, loss, 0.8))
    return FitResult(Student("small", 1, ["a", "b"]), (epochs,), (1,))


def write(store, seed, loss=0.3):
    pool = np.full((4, 2), 0.5, np.float32)
    test = np.eye(2, dtype=np.float32)
    write_cell(store, seed, fitted(loss), pool, test, seconds=1.5, provenance=PROVENANCE)


def test_a_run_goes_on_in_its_folder_with_more_seeds_or_newer_software(store):
    claim(store, MANIFEST)
    claim(store, {**MANIFEST, "seeds": 9, "versions": "2"})
    assert store.read_json("run.json")["seeds"] == 9


def test_a_different_run_is_refused_and_changes_nothing(store):
    claim(store, MANIFEST)
    with pytest.raises(MedlabelError, match=r"different recipe\): choose another --out"):
        claim(store, {**MANIFEST, "recipe": "paper"})
    assert store.read_json("run.json") == MANIFEST


def test_a_cell_is_read_as_it_was_written(store):
    write(store, 7)
    cell = read_cell(store, 7)
    np.testing.assert_array_equal(cell.test, np.eye(2))
    assert (cell.pool.shape, cell.seconds, cell.best_epoch, cell.versions) == ((4, 2), 1.5, 1, "1")
    assert cell.history["validation_loss"].tolist() == [0.9, 0.3]


def test_a_cell_without_its_last_file_does_not_count(store):
    write(store, 1)
    write(store, 2)
    store.remove("cells/seed-0001/cell.json")
    assert finished_seeds(store) == {2}


def test_a_seeds_bundle_is_published(store):
    for seed in (0, 1, 2):
        write(store, seed)
    publish(store, 1, ["This task looks undecidable."])
    assert store.read_json("bundle/provenance.json")["bundle_id"] == "k-seed-0001"
    bundle = load_bundle(store.path("bundle"))
    assert bundle.warnings == ("This task looks undecidable.",)
    assessment = bundle.assess(np.zeros((1, 28, 28), np.uint8))
    assert "guessing" in review_reasons(assessment, 0.0)[0]


def test_a_bundle_is_published_with_its_verdict_or_not_at_all(store, monkeypatch):
    write(store, 1)
    verdict, written = Verdict("doubtful", "Some words are unknown.", auto_above=0.97), []
    monkeypatch.setattr(Store, "write", _recorded(Store.write, written))
    publish(store, 1, verdict=verdict)
    assert load_bundle(store.path("bundle")).verdict == verdict
    assert (written[-1], written.count("provenance.json")) == ("config.json", 1)


def _recorded(write, names):
    def record(store, name, data):
        names.append(name)
        write(store, name, data)

    return record


def test_a_loss_that_is_no_number_is_null_in_the_file_and_reads_back(store):
    write(store, 0, loss=math.nan)
    assert b'"validation_loss": null' in store.read("cells/seed-0000/cell.json")
    assert math.isnan(read_cell(store, 0).validation_loss)

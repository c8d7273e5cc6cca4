"""A trial that cannot be fitted ranks last; one that cannot be stored shows nothing of a recipe."""

from types import SimpleNamespace

import pytest

from medlabel.errors import MedlabelError
from medlabel.student.recipes import RECIPES
from rayjobs.cluster import StorageError
from rayjobs.tune.search import _refuse_lost
from rayjobs.tune.trial import Trial


@pytest.fixture
def failing(monkeypatch):
    """A function that runs a step of a trial whose fits fail for a cause."""

    def step(cause):
        def fail(*_):
            raise MedlabelError("it failed") from cause

        trial = Trial.__new__(Trial)
        trial._data = SimpleNamespace(start=RECIPES["adam"], tasks=[0])
        trial._begin({})
        monkeypatch.setattr(trial, "_add_seed", fail)
        return trial.step()

    return step


def test_a_recipe_that_cannot_be_fitted_counts_least(failing):
    found = failing(ValueError("a layer is too small"))
    assert (found["agreement"], found["reason"], found["done"]) == (-1, "it failed", True)


def test_a_full_disk_is_no_fault_of_the_recipe(failing):
    with pytest.raises(StorageError, match="it failed"):
        failing(OSError(28, "No space left on device"))


def test_a_search_whose_trial_could_not_be_stored_stops():
    _refuse_lost([SimpleNamespace(error=None), SimpleNamespace(error=ValueError())])
    with pytest.raises(MedlabelError, match="the disk is full"):
        _refuse_lost([SimpleNamespace(error=StorageError("the disk is full"))])

"""Finished units are lines that are never computed again, and recipes are taken apart."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ledger
from benchmarks.units import Unit, without
from medlabel.student.recipes import get_recipe

ROBUST, PAPER = get_recipe("robust"), get_recipe("paper")
UNIT = Unit("chest-breast", "symmetric-20", ROBUST, 0, 100, Path("images"))


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Ask for units; nothing is fitted, but what would be is noted down."""
    fitted = []
    monkeypatch.setattr(ledger, "_fit_missing", lambda units, *_: fitted.extend(units))

    def ask(units, only="*"):
        ledger.run_units(units, Namespace(out=tmp_path, only=[only], table=False, workers=1))
        return fitted

    rows = {"task": "chest-breast", "noise": "symmetric-20", "recipe": "robust", "seed": 0}
    (tmp_path / "lines.jsonl").write_text(json.dumps({"key": UNIT.key, **rows}) + '\n{"key": "tor')
    return ask


def test_what_is_finished_is_not_fitted_again_but_another_seed_is(asked):
    other = replace(UNIT, seed=1)
    assert asked([UNIT, other]) == [other]


def test_a_recipe_that_has_changed_is_another_unit(asked):
    changed = replace(UNIT, recipe=replace(ROBUST, self_training_rounds=3))
    assert asked([UNIT, changed]) == [changed]


def test_only_what_was_asked_for(asked):
    assert asked([UNIT, replace(UNIT, seed=1)], only="four/*") == []


def test_each_ingredient_is_taken_out_alone():
    taken = without(ROBUST, PAPER)
    assert taken["ensemble_size"] == replace(
        ROBUST, ensemble_size=PAPER.ensemble_size, name="robust-without-ensemble_size"
    )
    assert taken["optimiser"].epochs == PAPER.epochs
    assert taken["optimiser"].ensemble_size == ROBUST.ensemble_size

from dataclasses import asdict

import pytest
from support_tunes import results, trials
from support_verdicts import GUESSING, READ

from medlabel.experiments.tune_spec import recipe_of
from medlabel.experiments.tune_tables import Baseline, comparison, evaluate_trials
from medlabel.experiments.verdicts import write_verdict
from medlabel.reports.rebuild import rebuild
from medlabel.storage.store import Store
from medlabel.student.recipes import RECIPES

START = RECIPES["robust"]


@pytest.fixture
def store(tmp_path):
    """A search whose winner is worse than the default."""
    store = Store(str(tmp_path / "search"))
    recipe = recipe_of(START, {"loss": "symmetric"})
    made = trials([0.6, 0.4, -1.0]).assign(recipe=[recipe.name, "r1", "r2"])
    found = results({recipe.name: 0.75, "r1": 0.7, "robust": 0.8})
    table = evaluate_trials(made, found)
    spec = {"name": "a <search>", "search": ["optuna"], "trials": 3, "seeds": 4, "seed": 0}
    store.write_json("tune.json", {
        "spec": {**spec, "per_class": None}, "tasks": [{"task": "a-vs-b"}],
        "start": asdict(START), "sources": {"a": "0" * 64}, "synthetic": True, "versions": "1",
    })  # fmt: skip
    store.write_json("winner.json", {"recipe": asdict(recipe)})
    store.write_table("evaluated.parquet", table)
    compared = comparison(table, found, [Baseline("robust", "small", 0.5)])
    store.write_table("comparison.parquet", compared)
    store.write_json("cost.json", {"encoded": 7, "workers": 1, "seconds": {"tuning": 3.0}})
    return store


def test_the_page_says_how_the_winner_stands_and_that_truth_had_no_part(store):
    page = store.read(rebuild(store.uri).removeprefix(store.uri + "/")).decode()
    assert "a &lt;search&gt;" in page
    assert "it is worse than the recipe that the search started from" in page
    assert "it ranks 1 of 2 different recipes" in page
    assert "1 trial could not be fitted" in page
    assert "cross-entropy" not in page
    assert "symmetric" in page
    assert "Synthetic data" in page
    assert store.list("report/figures/*") == ["report/figures/agreement.png"]


def test_the_page_shows_the_verdict_on_the_winner(store):
    write_verdict(store / "winner/a-vs-b", GUESSING)
    page = store.read(rebuild(store.uri).removeprefix(store.uri + "/")).decode()
    assert "Do not use these labels" in page
    assert "The verdicts on" not in page


def test_the_winner_of_several_tasks_has_a_table_of_verdicts(store):
    manifest = store.read_json("tune.json")
    store.write_json("tune.json", {**manifest, "tasks": [{"task": "a-vs-b"}, {"task": "c-vs-d"}]})
    for task, verdict in (("a-vs-b", GUESSING), ("c-vs-d", READ)):
        write_verdict(store / f"winner/{task}", verdict)
    page = store.read(rebuild(store.uri).removeprefix(store.uri + "/")).decode()
    assert "The verdicts on 2 tasks" in page

from dataclasses import asdict

import pytest
from support_tunes import results, trials
from support_verdicts import GUESSING, READ

from medlabel.errors import MedlabelError
from medlabel.experiments.tune_choice import Choice
from medlabel.experiments.tune_spec import recipe_of
from medlabel.experiments.tune_tables import Baseline, comparison, evaluate_trials
from medlabel.experiments.verdicts import write_verdict
from medlabel.reports.rebuild import rebuild
from medlabel.storage.store import Store
from medlabel.student.recipes import RECIPES

START = RECIPES["robust"]


@pytest.fixture
def store(tmp_path):
    """A search whose best trial replaces the default, and is worse by true labels."""
    store = Store(str(tmp_path / "search"))
    write_search(store, Choice(4, 0.6, 0.5, 0.05, 0.15))
    return store


def write_search(store, choice, also=0.2):
    recipe = recipe_of(START, {"loss": "symmetric"})
    made = trials([0.6, 0.4, -1.0]).assign(recipe=[recipe.name, "r1", "r2"])
    found = results({recipe.name: 0.75, "r1": 0.7, "robust": 0.8, "adam": 0.7})
    table = evaluate_trials(made, found)
    spec = {"name": "a <search>", "search": ["optuna"], "trials": 3, "seeds": 4, "seed": 0}
    store.write_json("tune.json", {
        "spec": {**spec, "per_class": None}, "tasks": [{"task": "a-vs-b"}],
        "start": asdict(START), "sources": {"a": "0" * 64}, "synthetic": True, "versions": "1",
    })  # fmt: skip
    trial = {"recipe": asdict(recipe)}
    winner = START if choice.keeps_default else recipe
    store.write_json("winner.json", {
        "recipe": asdict(winner), "choice": choice.to_json(), "best_trial": trial,
    })  # fmt: skip
    store.write_table("evaluated.parquet", table)
    baselines = [Baseline("robust", "small", choice.default), Baseline("adam", "small", also)]
    compared = comparison(table, found, baselines, choice)
    store.write_table("comparison.parquet", compared)
    store.write_json("cost.json", {"encoded": 7, "workers": 1, "seconds": {"tuning": 3.0}})


def page_of(store):
    return store.read(rebuild(store.uri).removeprefix(store.uri + "/")).decode()


def test_the_page_says_how_the_winner_stands_and_that_truth_had_no_part(store):
    page = page_of(store)
    assert "a &lt;search&gt;" in page
    assert "The default is replaced. Over 4 seeds the best trial has an agreement of 0.600" in page
    assert "only compared, has" not in page
    assert "it is worse than the recipe that the search started from" in page
    assert "it ranks 1 of 2 different recipes" in page
    assert "1 trial could not be fitted" in page
    assert "cross-entropy" not in page
    assert "symmetric" in page
    assert "Synthetic data" in page
    assert store.list("report/figures/*") == ["report/figures/agreement.png"]


def test_the_page_says_that_the_default_stays_and_which_compared_recipe_agrees_more(store):
    write_search(store, Choice(4, 0.699, 0.853, -0.2, -0.1), also=0.9)
    page = page_of(store)
    assert "The default stays: no trial is shown to be better." in page
    assert "agreement of 0.699 and the default 0.853, a difference of -0.154" in page
    assert "adam, which was only compared, has a higher agreement than the winner" in page
    assert "winner.yaml is the default, which stays" in page
    assert "symmetric" in page  # what the best trial changes


def test_a_search_of_an_older_version_is_refused_with_the_reason(store):
    store.write_json("winner.json", {"recipe": asdict(START)})
    with pytest.raises(MedlabelError, match="a search of an older medlabel"):
        rebuild(store.uri)


def test_the_page_shows_the_verdict_on_the_winner(store):
    write_verdict(store / "winner/a-vs-b", GUESSING)
    page = page_of(store)
    assert "Do not use these labels" in page
    assert "The verdicts on" not in page


def test_the_winner_of_several_tasks_has_a_table_of_verdicts(store):
    manifest = store.read_json("tune.json")
    store.write_json("tune.json", {**manifest, "tasks": [{"task": "a-vs-b"}, {"task": "c-vs-d"}]})
    for task, verdict in (("a-vs-b", GUESSING), ("c-vs-d", READ)):
        write_verdict(store / f"winner/{task}", verdict)
    page = page_of(store)
    assert "The verdicts on 2 tasks" in page

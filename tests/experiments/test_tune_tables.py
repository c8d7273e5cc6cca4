import numpy as np
import pytest
from support_tunes import results, trials

from medlabel.experiments.tune_choice import Choice
from medlabel.experiments.tune_tables import Baseline, comparison, correlation, evaluate_trials

BASELINES = [Baseline("robust", "small", 0.5)]
REPLACED = Choice(4, 0.6, 0.5, 0.05, 0.15)
KEPT = Choice(4, 0.4, 0.5, -0.15, -0.05)


def test_ranks_by_truth_go_by_the_draws_that_all_have():
    some = results({"r0": 0.7, "r1": 0.9})
    short = some[(some["recipe"] == "r0") | (some["seed"] < 2)]
    table = evaluate_trials(trials([0.1, 0.2], seeds=[4, 2]), short)
    assert table["truth_rank"].tolist() == [2, 1]
    assert table["accuracy"].tolist() == pytest.approx([0.7015, 0.9005])
    assert table["first_accuracy"].tolist() == pytest.approx([0.7005, 0.9005])


def test_a_recipe_that_was_tried_twice_or_failed_takes_no_rank():
    made = trials([0.1, 0.3, 0.3, -1.0]).assign(recipe=["r0", "r1", "r1", "r3"])
    table = evaluate_trials(made, results({"r0": 0.7, "r1": 0.9}))
    assert table["truth_rank"].tolist()[:3] == [2, 1, 1]
    assert table["truth_rank"].isna().tolist() == [False, False, False, True]


def test_correlation_is_one_where_agreement_knows_and_nothing_where_it_cannot():
    made = trials([0.1, 0.2, 0.3])
    assert correlation(evaluate_trials(made, results({"r0": 0.7, "r1": 0.8, "r2": 0.9}))) == 1
    assert correlation(evaluate_trials(made, results({"r0": 0.9, "r1": 0.8, "r2": 0.7}))) == -1
    assert np.isnan(
        correlation(evaluate_trials(trials([0.1] * 3), results({"r0": 0.7, "r1": 0.8})))
    )


def test_the_winner_is_compared_with_the_default_search_by_search_and_with_a_random_trial():
    found = results({"r0": 0.9, "r1": 0.7, "robust": 0.8})
    table = evaluate_trials(trials([0.6, 0.4], kinds=["optuna", "random"]), found)
    rows = comparison(table, found, BASELINES, REPLACED).set_index("who")
    assert "best trial" not in rows.index
    assert rows.loc["winner", "gain"] == pytest.approx(0.1)
    assert rows.loc["winner", "truth_rank"] == 1
    assert rows.loc["winner of random search", "gain"] == pytest.approx(-0.1)
    assert rows.loc["default", ["gain", "truth_rank"]].tolist() == [0, 2]
    assert rows.loc["a random trial", "accuracy"] == pytest.approx(0.8005)


def test_where_the_default_stays_it_is_the_winner_and_the_best_trial_has_a_row_of_its_own():
    found = results({"r0": 0.7, "robust": 0.8})
    table = evaluate_trials(trials([0.4]), found)
    rows = comparison(table, found, BASELINES, KEPT).set_index("who")
    assert list(rows.index) == ["winner", "best trial", "default", "a random trial"]
    assert rows.loc["winner", ["recipe", "agreement", "gain"]].tolist() == ["robust", 0.5, 0]
    assert rows.loc["best trial", ["recipe", "agreement"]].tolist() == ["r0", 0.4]
    assert rows.loc["best trial", "gain"] == pytest.approx(-0.1)

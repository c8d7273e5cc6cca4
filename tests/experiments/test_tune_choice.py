import json

import numpy as np
import pytest

from medlabel.evaluation.diagnostics import Signals
from medlabel.experiments.tune_choice import Choice, agreement_by_seed, choose
from medlabel.experiments.tune_spec import TaskSignals, agreement

IMAGES = 60


def seeds_of(wrong, n=8, neighbours=0.8, spread=0.0, salt=0):
    """Seeds whose students each give a share of two classes' images another label."""
    rng = np.random.default_rng(salt)
    seeds = []
    for _ in range(n):
        labels = (np.arange(IMAGES) % 2) ^ (rng.random(IMAGES) < wrong)
        near = float(neighbours + rng.normal(0, spread))
        seeds.append(TaskSignals(Signals(0, 0, near, 0.9, 0, 0), dict(enumerate(labels))))
    return [seeds]


def chosen(trial, default):
    return choose(trial, default, [2], n_train=100, n_test=IMAGES)


def test_a_trial_that_agrees_less_than_the_default_does_not_replace_it():
    choice = chosen(seeds_of(0.3, neighbours=0.6), seeds_of(0.05, salt=1))
    assert choice.keeps_default
    assert choice.high < 0
    assert choice.gain == pytest.approx(choice.best_trial - choice.default)
    assert choice.gain < -0.2


def test_a_trial_that_agrees_more_on_every_seed_replaces_the_default():
    choice = chosen(seeds_of(0.0), seeds_of(0.25, neighbours=0.5, salt=1))
    assert not choice.keeps_default
    assert 0 < choice.low < choice.gain < choice.high


def test_a_trial_that_is_better_by_chance_does_not_replace_the_default():
    default = seeds_of(0.1, spread=0.1, salt=3)
    choice = chosen(seeds_of(0.1, neighbours=0.85, spread=0.1, salt=4), default)
    assert choice.gain > 0
    assert choice.low < 0 < choice.high
    assert choice.keeps_default


def test_the_default_wins_a_tie():
    choice = chosen(seeds_of(0.2), seeds_of(0.2))
    assert (choice.gain, choice.low, choice.high) == (0, 0, 0)
    assert choice.keeps_default


def test_two_seeds_hardly_show_anything_and_are_compared_all_the_same():
    choice = chosen(seeds_of(0.1, n=2, spread=0.05), seeds_of(0.2, n=2, spread=0.05, salt=1))
    assert choice.seeds == 2
    assert choice.gain > 0
    assert choice.keeps_default


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_mean_over_seeds_is_the_objective(n):
    tasks = [*seeds_of(0.1, n), *seeds_of(0.3, n, neighbours=0.4, spread=0.1, salt=1)]
    values = agreement_by_seed(tasks, [2, 2])
    assert values.shape == (n,)
    assert values.mean() == pytest.approx(agreement(tasks, [2, 2])["agreement"])


def test_a_seed_that_contradicts_the_others_has_the_lowest_value():
    (seeds,) = seeds_of(0.05)
    seeds[5] = TaskSignals(
        seeds[5].signals, {image: 1 - label for image, label in seeds[5].labels.items()}
    )
    assert agreement_by_seed([seeds], [2]).argmin() == 5


def test_the_interval_holds_the_difference_in_most_searches():
    """Two recipes that are alike: the default stays in about 39 of 40 searches, or more."""
    kept = [
        choose(
            seeds_of(0.2, spread=0.05, salt=2 * n), seeds_of(0.2, spread=0.05, salt=2 * n + 1),
            [2], n_train=10**9, n_test=1,
        ).keeps_default
        for n in range(60)
    ]  # fmt: skip
    assert np.mean(kept) > 0.9


@pytest.mark.parametrize("high", [0.09, float("nan")])
def test_a_choice_comes_back_from_its_file(high):
    choice = Choice(8, 0.9, 0.8, -0.01, high)
    text = json.dumps(choice.to_json(), allow_nan=False)
    assert repr(Choice.from_json(json.loads(text))) == repr(choice)


def test_the_sentence_says_what_stays_and_by_how_much():
    assert Choice(3, 0.699, 0.853, -0.2, -0.1).sentence() == (
        "The default stays: no trial is shown to be better. Over 3 seeds the best trial has an "
        "agreement of 0.699 and the default 0.853, a difference of -0.154 "
        "(95 % interval -0.200 to -0.100)."
    )
    assert Choice(3, 0.9, 0.8, 0.05, 0.15).sentence().startswith("The default is replaced. Over 3")

from dataclasses import asdict

import pytest
import yaml
from support_tunes import trials

from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import Signals
from medlabel.experiments.sweep_spec import read_sweep
from medlabel.experiments.tune_spec import (
    SPACE,
    Range,
    TaskSignals,
    TuneSpec,
    agreement,
    best_trial,
    changed_fields,
    check_tune,
    recipe_of,
)
from medlabel.student.recipes import RECIPES, get_recipe

ROBUST = RECIPES["robust"]


def draw(*labels, neighbours=0.5, balance=0.5):
    signals = Signals(0, 0, neighbours, balance, 0, 0)
    return TaskSignals(signals, {str(image): label for image, label in enumerate(5 * labels)})


def test_the_objective_is_the_mean_of_three_figures():
    same = [draw(0, 1, 0, 1, neighbours=0.4, balance=0.2)] * 2
    found = agreement([same], [2])
    assert found["students"] == pytest.approx(1)
    assert found["agreement"] == pytest.approx((1 + 0.4 + 0.2) / 3)


def test_students_that_contradict_each_other_agree_less_and_tasks_count_alike():
    same, other = [draw(0, 1, 0, 1)] * 2, [draw(0, 1, 0, 1), draw(1, 0, 1, 0)]
    one, two = agreement([same], [2]), agreement([other], [2])
    assert two["students"] == pytest.approx(-1)
    both = agreement([same, other], [2, 2])
    assert both["agreement"] == pytest.approx((one["agreement"] + two["agreement"]) / 2)


def test_most_draws_come_before_agreement():
    assert best_trial(trials([0.9, 0.6, 0.7], seeds=[2, 8, 8])) == 2
    assert best_trial(trials([0.7, 0.7])) == 0


def test_where_nothing_could_be_fitted_the_reason_is_given():
    with pytest.raises(MedlabelError, match="no trial could be fitted; the first: woe"):
        best_trial(trials([-1.0]).assign(reason="woe"))


def test_equal_choices_are_one_recipe_and_others_are_another():
    first = recipe_of(ROBUST, {"learning_rate": 0.0123456, "loss": "symmetric"})
    assert first.learning_rate == 0.0123
    assert recipe_of(ROBUST, {"loss": "symmetric", "learning_rate": 0.01229}) == first
    assert recipe_of(ROBUST, {"loss": "symmetric"}).name != first.name


def test_epochs_take_what_is_settled_along():
    assert recipe_of(ROBUST, {"epochs": 20}).average_from_epoch == 8
    assert recipe_of(ROBUST, {"epochs": 1}).average_from_epoch == 0
    assert recipe_of(ROBUST, {"epochs": 3, "average_from_epoch": 7}).average_from_epoch == 2


def test_maps_and_their_kin_spell_a_student():
    recipe = recipe_of(ROBUST, {"maps": "8-16", "dropout": 0.25, "kernel": 3})
    assert recipe.student == "cnn:8-16,kernel=3,dropout=0.25"


def test_a_recipe_comes_back_from_its_file(tmp_path):
    recipe = recipe_of(ROBUST, {"maps": "8-16", "epochs": 5, "average": "none"})
    (tmp_path / "winner.yaml").write_text(yaml.safe_dump(changed_fields(recipe)))
    read = asdict(get_recipe(str(tmp_path / "winner.yaml")))
    assert {**read, "name": recipe.name} == asdict(recipe)


def test_every_choice_of_the_default_space_is_allowed():
    spec = TuneSpec(sources=["chestmnist", "breastmnist"])
    assert spec.space == SPACE
    check_tune(spec)


def test_a_search_is_a_sweeps_spec_with_more(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "sources: [a=a.npz, b=b.npz]\nsearch: random\nstudents: paper\n"
        "space: {epochs: {low: 2, high: 9}, learning_rate: {low: 0.1, high: 1, log: true}}\n"
    )
    spec = read_sweep(tmp_path / "s.yaml", TuneSpec)
    assert spec.sources[0].source == str(tmp_path / "a.npz")
    assert (spec.search, spec.start.student) == (("random",), "paper")
    assert spec.space["epochs"] == Range(low=2, high=9)
    assert (spec.space["epochs"].whole, spec.space["learning_rate"].whole) == (True, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seeds: 1", "seeds: Input should be greater"),
        ("teachers: [phantom, RN50]", "teachers: a search has one"),
        ("search: grid", "search.0: Input should be 'optuna' or 'random'"),
        ("search: [random, random]", "search: one is listed twice"),
        ("space: {speed: [1]}", "space: no such field 'speed'"),
        ("space: {maps: ['8'], student: [small]}", "both define the student"),
        ("space: {kernel: [3]}", "add `maps`"),
        ("space: {epochs: {low: 3, high: 3}}", "`low` is not below `high`"),
        ("space: {epochs: {low: 0, high: 3, log: true}}", "`log` requires a `low` above 0"),
        ("space: {loss: [mine]}", "space: loss: "),
        ("space: {maps: [junk]}", "space: maps: "),
        ("space: {maps: ['8'], dropout: {low: 0, high: 2}}", "space: dropout: "),
        ("space: {batch_size: {low: 0, high: 9}}", "space: batch_size: "),
        ("space: {student: [none]}", "unknown student 'none'"),
        ("space: {}", "space: "),
    ],
)
def test_a_mistake_is_one_line_that_names_its_field(tmp_path, text, reason):
    (tmp_path / "s.yaml").write_text(f"sources: [a, b]\n{text}\n")
    with pytest.raises(MedlabelError) as error:
        check_tune(read_sweep(tmp_path / "s.yaml", TuneSpec))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_part_that_is_a_network_beside_some_others_is_allowed(tmp_path):
    text = "space: {maps: [8-16, 16-32-64], pool: [2-2, 2-2-2]}"
    (tmp_path / "s.yaml").write_text(f"sources: [a, b]\n{text}\n")
    check_tune(read_sweep(tmp_path / "s.yaml", TuneSpec))
